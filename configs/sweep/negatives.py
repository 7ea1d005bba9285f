"""Which negatives help: random, hard, denoised hard, and denoised with unfollowing ones.

The paper's Figure 7 in small (TART, 5.3): the same queries, steps and number of negatives. Made by
scripts/real_tasks.sh: the mined examples and the teacher; and, over the same queries as the
teacher's, tart-jax mine --config=configs/mine/teacher.py --config.teacher.model="" \
    --workdir=runs/real_tasks_hard
Hardware: 2 cores. Observed: not run.
"""

import runpy
from pathlib import Path

from ml_collections import ConfigDict

HARD = "data.train=runs/real_tasks_hard/mined.jsonl; data.hard_ratio=0.7"
DENOISED = "data.train=runs/real_tasks_taught/mined.jsonl; data.hard_ratio=0.7"


def get_config(arg: str = "") -> ConfigDict:
    default = runpy.run_path(str(Path(__file__).with_name("default.py")))["get_config"]
    config = default(arg)
    config.variants = (
        "random: data.train=runs/real_tasks_hard/mined.jsonl; data.hard_ratio=0.0",
        f"hard: {HARD}; data.unfollowing_cap=0",
        f"denoised: {DENOISED}; data.unfollowing_cap=0",
        f"denoised and unfollowing: {DENOISED}",
    )
    if arg != "quicktest":
        config.max_queries = 100
        config.max_documents = 1_500
    return config
