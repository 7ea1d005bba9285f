"""BEIR's public sets: nDCG@10, CQADupStack as the mean of its twelve, MS MARCO's dev split.

Command: tart-jax evaluate --config=configs/evaluate/beir.py --config.root=data/beir \
             --config.download=True --config.retriever=runs/a/model --workdir=runs/a/beir
"""

import runpy
from pathlib import Path

from ml_collections import ConfigDict


def get_config(arg: str = "") -> ConfigDict:
    config = runpy.run_path(str(Path(__file__).with_name("default.py")))["get_config"](arg)
    config.benchmark = "configs/evaluate/beir.tsv"
    if arg == "quicktest":
        config.max_queries = 5
        config.max_documents = 50
    return config
