"""A dual encoder that learns a cross-encoder's scores: KL over each query's documents.

The examples are those of mining with a teacher: documents carry its `score` (a logit). Both losses
count, the contrastive one as in configs/train/real_tasks.py.
Hardware: 2 cores, an estimated 20 minutes. Observed: not run at full size.
Command: tart-jax train --config=configs/train/distill.py --workdir=runs/distill \
    --config.data.train=SCORED_EXAMPLES --config.model.source=runs/real_tasks_train/model
"""

import runpy
from pathlib import Path

from ml_collections import ConfigDict

DATA = "runs/real_tasks"


def get_config(arg: str = "") -> ConfigDict:
    default = runpy.run_path(str(Path(__file__).with_name("default.py")))["get_config"]
    config = default(arg)
    config.objective.name = "dual_distill"
    config.objective.teaching = "kl"
    config.objective.teaching_temperature = 2.0
    config.data.train = f"{DATA}/distill/train.jsonl"
    config.data.instructions = f"{DATA}/instructions.tsv"
    config.data.mixing = "temperature"
    config.data.instruction_dropout = 0.1
    config.data.hard_ratio = 1.0
    config.eval.directory = f"{DATA}/dev"
    config.eval.instructions = f"{DATA}/dev/instructions.tsv"
    if arg == "quicktest":
        config.data.num_negatives = 3
        return config
    config.steps = 150
    config.data.batch_size = 12
    config.data.num_negatives = 3
    config.optimizer.peak_lr = 3e-5
    config.optimizer.warmup_steps = 15
    config.checkpoint.save_every = 50
    config.eval.every = 75
    config.eval.max_queries = 20
    config.eval.max_documents = 1_000
    return config
