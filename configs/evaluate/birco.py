"""BIRCO's pools: each query ranks the 50 or so documents that were judged for it.

Command: tart-jax evaluate --config=configs/evaluate/birco.py --config.root=data \
             --config.retriever=runs/a/model --workdir=runs/a/birco
"""

import runpy
from pathlib import Path

from ml_collections import ConfigDict


def get_config(arg: str = "") -> ConfigDict:
    config = runpy.run_path(str(Path(__file__).with_name("default.py")))["get_config"](arg)
    config.benchmark = "configs/evaluate/birco.tsv"
    config.pools = True
    config.tasks = ("birco-arguana", "birco-relic", "birco-wtb")
    if arg == "quicktest":
        config.max_queries = 5
        config.max_documents = 50
    return config
