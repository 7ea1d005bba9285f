"""KILT (Petroni et al. 2021) by its own rules: pages and passages of one corpus, all tasks.

config.benchmark is the folder of `tart-jax prepare --config=configs/prepare/kilt.py`. Every item
of a gold file is asked and counts; TriviaQA's file is the one with its questions merged in.
Retrieval of all eight:

tart-jax evaluate --config=configs/evaluate/kilt.py --config.benchmark=runs/kilt \\
    --config.gold="('nq=nq-dev-kilt.jsonl','fever=fever-dev-kilt.jsonl')" \\
    --config.retriever=runs/dpr/model --workdir=runs/dpr/kilt

Answers, of a file of predictions:

tart-jax evaluate --config=configs/evaluate/kilt.py --config.run=predictions.jsonl \\
    --config.qrels=nq-dev-kilt.jsonl --config.measures="('em','f1','KILT-em','KILT-f1')" \\
    --workdir=runs/dpr/answers
"""

import runpy
from pathlib import Path

from ml_collections import ConfigDict


def get_config(arg: str = "") -> ConfigDict:
    config = runpy.run_path(str(Path(__file__).with_name("default.py")))["get_config"](arg)
    config.measures = (
        "Rprec",
        "passage-Rprec",
        "precision@1",
        "recall@5",
        "success_rate@5",
        "passage-recall@20",
    )
    config.instruction = ("none",)  # DPR's queries have none; markers are part of the model
    if arg == "quicktest":
        config.max_queries = 5
    return config
