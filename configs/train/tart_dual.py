"""TART-dual (Asai et al. 2022, section 4 and appendix C.1): Contriever with instructions.

Source: the paper, and the README of its code. Hardware: 64 GPUs there, 16 queries on each.
Where the two differ, the paper: 30,000 steps (README 50,000). Negatives: 5 (C.1 says 7).
Command: tart-jax train --config=configs/train/tart_dual.py --workdir=runs/tart_dual \
    --config.data.train=berri.jsonl --config.data.instructions=instructions.tsv
Observed: not run at full size.
"""

import runpy
from pathlib import Path

from ml_collections import ConfigDict

# Made by: tart-jax prepare --config=configs/prepare/python_library.py --workdir=runs/python_library
QUICK_DATA = "runs/python_library"


def get_config(arg: str = "") -> ConfigDict:
    default = runpy.run_path(str(Path(__file__).with_name("default.py")))["get_config"]
    config = default(arg)
    config.model.tied = True
    config.model.dropout = 0.1
    config.data.hard_ratio = 0.1
    config.objective.temperature = 0.05
    if arg == "quicktest":  # the same method on the user's own Python, from the packaged MiniLM
        config.data.train = f"{QUICK_DATA}/train.jsonl"
        config.data.instructions = f"{QUICK_DATA}/instructions.tsv"
        config.eval.directory = f"{QUICK_DATA}/dev"
        config.eval.instructions = f"{QUICK_DATA}/instructions.tsv"
        return config
    config.model.source = "facebook/contriever-msmarco"
    config.model.pooling = "mean"
    config.model.normalize = False
    config.steps = 30_000
    config.data.batch_size = 1024
    config.data.num_negatives = 5
    config.data.query_length = 256
    config.data.document_length = 256
    config.data.workers = 4
    config.optimizer.peak_lr = 1e-5
    config.optimizer.warmup_steps = 1_000
    config.checkpoint.save_every = 1_000
    config.log.every = 50
    config.eval.every = 5_000
    return config
