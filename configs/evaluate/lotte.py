"""LoTTE: Success@5 of search and forum questions, by domain and pooled as its authors pool.

The instruction names the forum; query 0 counts. lotte.tar.gz is unpacked under the root.
Command: tart-jax evaluate --config=configs/evaluate/lotte.py --config.root=data \
             --config.retriever=runs/a/model --workdir=runs/a/lotte
"""

import runpy
from pathlib import Path

from ml_collections import ConfigDict


def get_config(arg: str = "") -> ConfigDict:
    config = runpy.run_path(str(Path(__file__).with_name("default.py")))["get_config"](arg)
    config.benchmark = "configs/evaluate/lotte.tsv"
    config.measures = ("Success@5", "nDCG@10")
    if arg == "quicktest":
        config.max_queries = 5
        config.max_documents = 50
    return config
