"""The 2x2 grid: trained with and without instructions, tested with and without; same data, steps.

Command: tart-jax sweep --config=configs/sweep/grid.py --workdir=runs/grid
"""

import runpy
from pathlib import Path

from ml_collections import ConfigDict

BUDGET = "steps=120; optimizer.warmup_steps=12; eval.directory="


def get_config(arg: str = "") -> ConfigDict:
    default = runpy.run_path(str(Path(__file__).with_name("default.py")))["get_config"]
    config = default(arg)
    config.variants = (
        f"with instructions: {BUDGET}; data.instruction_dropout=0.1",
        f"without instructions: {BUDGET}; data.instruction_dropout=1.0",
    )
    config.tested = ("right", "none")
    config.seeds = (0,)
    if arg != "quicktest":
        config.max_queries = 100
        config.max_documents = 600
    return config
