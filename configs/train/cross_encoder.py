"""TART-full in small: MiniLM as a cross-encoder on seven real tasks, three others held out.

Random, hard and unfollowing negatives, as configs/mine/real_tasks.py mines them; dev reranks BM25's
best 10. scripts/real_tasks.sh runs it in its place.
Hardware: 2 cores, within an hour.
Command: tart-jax train --config=configs/train/cross_encoder.py --workdir=runs/cross_encoder
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
    config.data.train = "runs/real_tasks_mined/mined.jsonl"
    config.data.instructions = f"{DATA}/instructions.tsv"
    config.data.mixing = "temperature"
    config.data.instruction_dropout = 0.1
    config.data.hard_ratio = 0.7
    config.eval.directory = f"{DATA}/dev"
    config.eval.instructions = f"{DATA}/dev/instructions.tsv"
    config.eval.candidates = 10
    if arg == "quicktest":
        return config
    config.steps = 420
    config.data.batch_size = 12
    config.data.num_negatives = 4
    config.data.pair_length = 128
    config.optimizer.peak_lr = 5e-5
    config.optimizer.warmup_steps = 42
    config.checkpoint.save_every = 70
    config.eval.every = 210
    config.eval.max_queries = 10
    config.eval.max_documents = 1_000
    return config
