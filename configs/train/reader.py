"""A reader for one KILT task, as KILT's BART with DPR: three passages before the input.

Petroni et al. 2021, section 4.2: BART-large with the top three passages prepended, fine-tuned for
each task. config.data.fusion=True reads each passage by itself (Fusion-in-Decoder).
config.eval.examples: a dev file, whose answers' F1 chooses the checkpoint. The rates are ours:
neither paper gives them.

tart-jax prepare --config=configs/prepare/reading.py ... --workdir=runs/reading/fever_train
tart-jax train --config=configs/train/reader.py --workdir=runs/reader/fever \\
    --config.data.train=runs/reading/fever_train/examples.jsonl
"""

import runpy
from pathlib import Path

from ml_collections import ConfigDict


def get_config(arg: str = "") -> ConfigDict:
    default = runpy.run_path(str(Path(__file__).with_name("default.py")))["get_config"]
    config = default(arg)
    config.model.source = "facebook/bart-large"
    config.objective.name = "reading"
    config.data.train = "runs/reading/train/examples.jsonl"
    config.data.passages = 3
    config.data.pair_length = 512
    config.data.answer_length = 32
    config.optimizer.weight_decay = 0.01
    config.optimizer.clip_norm = 0.1
    config.eval.directory = ""
    if arg == "quicktest":
        return config
    config.steps = 20_000
    config.data.batch_size = 64
    config.optimizer.peak_lr = 3e-5
    config.optimizer.warmup_steps = 500
    return config
