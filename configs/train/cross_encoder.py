"""TART-full in small: MiniLM as a cross-encoder on seven real tasks, three others held out.

Trained and evaluated on what configs/train/real_tasks.py is; dev reranks BM25's best 10.
Hardware: 2 cores, an estimated 40 minutes. Observed: not run at full size.
Command: tart-jax prepare --config=configs/prepare/real_tasks.py --workdir=runs/real_tasks \
             --config.root=FOLDER_OF_COLLECTIONS
         tart-jax train --config=configs/train/cross_encoder.py --workdir=runs/cross_encoder
"""

import runpy
from pathlib import Path

from ml_collections import ConfigDict

DATA = "runs/real_tasks"


def get_config(arg: str = "") -> ConfigDict:
    default = runpy.run_path(str(Path(__file__).with_name("default.py")))["get_config"]
    config = default(arg)
    config.objective.name = "cross_pointwise"
    config.model.new_head = True
    config.data.train = f"{DATA}/train"
    config.data.instructions = f"{DATA}/instructions.tsv"
    config.data.mixing = "temperature"
    config.data.instruction_dropout = 0.1
    config.data.hard_ratio = 0.0
    config.eval.directory = f"{DATA}/dev"
    config.eval.instructions = f"{DATA}/dev/instructions.tsv"
    config.eval.candidates = 10
    if arg == "quicktest":
        return config
    config.steps = 400
    config.data.batch_size = 16
    config.data.num_negatives = 4
    config.data.pair_length = 96
    config.optimizer.peak_lr = 5e-5
    config.optimizer.warmup_steps = 40
    config.checkpoint.save_every = 100
    config.eval.every = 100
    config.eval.max_queries = 10
    config.eval.max_documents = 1_000
    return config
