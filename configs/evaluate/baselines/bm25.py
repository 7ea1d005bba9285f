"""BM25, 1,000 documents a query.

A document without any word of the query is no hit. On NFCorpus that is R@100 0.2469; lists filled
up to 100 with such documents, in the order bm25s' numpy selection leaves them, give 0.2552.
Baselines read no instruction. Another benchmark: --config.benchmark=configs/evaluate/x2.tsv.
Command: tart-jax evaluate --config=configs/evaluate/baselines/bm25.py \\
             --config.root=data --workdir=runs/baselines/bm25
"""

import runpy
from pathlib import Path

from ml_collections import ConfigDict


def get_config(arg: str = "") -> ConfigDict:
    path = Path(__file__).parents[1] / "beir.py"
    config = runpy.run_path(str(path))["get_config"](arg)
    config.instruction = ("none",)
    config.retriever = "BM25"
    config.k = 1000
    return config
