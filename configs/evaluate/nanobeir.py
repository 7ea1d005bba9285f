"""NanoBEIR: 50 queries of each of 13 BEIR sets over a few thousand documents; nDCG@10.

Through the package ir_datasets, which downloads it: pip install 'tart-jax[ir]'.
Command: tart-jax evaluate --config=configs/evaluate/nanobeir.py \
             --config.retriever=runs/a/model --workdir=runs/a/nanobeir
"""

import runpy
from pathlib import Path

from ml_collections import ConfigDict


def get_config(arg: str = "") -> ConfigDict:
    config = runpy.run_path(str(Path(__file__).with_name("default.py")))["get_config"](arg)
    config.benchmark = "configs/evaluate/nanobeir.tsv"
    if arg == "quicktest":
        config.max_queries = 5
        config.max_documents = 50
    return config
