"""X2 (TART, section 4.2): six tasks, each in its own corpus and in all of them with NQ's.

Read from the authors' archive, cross_task_cross_domain_final.zip.
Command: tart-jax evaluate --config=configs/evaluate/x2.py --config.root=data \
             --config.retriever=runs/a/model --workdir=runs/a/x2
"""

import runpy
from pathlib import Path

from ml_collections import ConfigDict


def get_config(arg: str = "") -> ConfigDict:
    config = runpy.run_path(str(Path(__file__).with_name("default.py")))["get_config"](arg)
    config.benchmark = "configs/evaluate/x2.tsv"
    config.pooled = True
    if arg == "quicktest":
        config.max_queries = 5
        config.max_documents = 50
    return config
