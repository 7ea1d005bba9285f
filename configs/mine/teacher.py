"""The cross-encoder's opinion of what the dual encoder finds: the examples of both distillations.

Candidates below 0.1 become hard negatives, above 0.9 positives, the rest is dropped (TART, 4.3);
every document keeps the teacher's score, for soft distillation.
Command: tart-jax mine --config=configs/mine/teacher.py --workdir=runs/real_tasks_taught
"""

import runpy
from pathlib import Path

from ml_collections import ConfigDict


def get_config(arg: str = "") -> ConfigDict:
    config = runpy.run_path(str(Path(__file__).with_name("real_tasks.py")))["get_config"](arg)
    config.max_per_task = 150
    config.hard.first_rank = 1
    config.hard.last_rank = 20
    config.hard.sampling = "top"
    config.hard.count = 6
    config.teacher.model = "runs/cross_encoder/model"
    if arg == "quicktest":
        config.max_per_task = 8
    return config
