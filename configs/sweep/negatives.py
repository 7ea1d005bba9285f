"""Which negatives help: random, hard, denoised hard, and denoised with unfollowing ones.

The paper's Figure 7 in small (TART, 5.3): the same queries, steps and number of negatives.
scripts/negatives.sh mines the examples and runs it.
Hardware: 2 cores. Observed: not run.
"""

import runpy
from pathlib import Path

from ml_collections import ConfigDict

BUDGET = (
    "steps=80; data.batch_size=10; data.num_negatives=3; data.document_length=64;"
    "optimizer.peak_lr=5e-5; optimizer.warmup_steps=8; eval.directory="
)
HARD = f"{BUDGET}; data.train=runs/negatives/hard/mined.jsonl"
DENOISED = f"{BUDGET}; data.train=runs/negatives/denoised/mined.jsonl; data.hard_ratio=0.7"


def get_config(arg: str = "") -> ConfigDict:
    default = runpy.run_path(str(Path(__file__).with_name("default.py")))["get_config"]
    config = default(arg)
    config.variants = (
        f"random: {HARD}; data.hard_ratio=0.0",
        f"hard: {HARD}; data.hard_ratio=0.7; data.unfollowing_cap=0",
        f"denoised: {DENOISED}; data.unfollowing_cap=0",
        f"denoised and unfollowing: {DENOISED}",
    )
    if arg != "quicktest":
        config.max_queries = 100
        config.max_documents = 600
    return config
