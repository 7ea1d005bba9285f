"""Hard and unfollowing negatives for the seven real tasks, from the dual encoder trained on them.

The kinds of document that a task does not want are in real_tasks_kinds.tsv; every kind is some
task's target. scripts/real_tasks.sh makes what this reads.
Command: tart-jax mine --config=configs/mine/real_tasks.py --workdir=runs/real_tasks_mined
"""

import runpy
from pathlib import Path

from ml_collections import ConfigDict

HERE = Path(__file__).parent
DATA, MODEL = "runs/real_tasks", "runs/real_tasks_train"


def get_config(arg: str = "") -> ConfigDict:
    config = runpy.run_path(str(HERE / "default.py"))["get_config"](arg)
    config.examples = f"{DATA}/train"
    config.max_per_task = 800
    config.index = f"{MODEL}/index/{{task}}"
    config.exclude = f"{DATA}/dev,{DATA}/test"
    config.instructions = f"{DATA}/instructions.tsv"
    config.retriever.model = f"{MODEL}/model"
    config.hard.first_rank = 5
    config.hard.last_rank = 50
    config.hard.sampling = "random"
    config.hard.count = 4
    config.unfollowing.table = str(HERE / "real_tasks_kinds.tsv")
    if arg == "quicktest":
        config.max_per_task = 32
    return config
