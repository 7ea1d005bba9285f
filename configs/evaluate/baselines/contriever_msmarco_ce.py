"""Contriever-MS MARCO, its best 100 reranked by a cross-encoder (TART, section 5.2).

Baselines read no instruction. Another benchmark: --config.benchmark=configs/evaluate/x2.tsv.
Command: tart-jax evaluate --config=configs/evaluate/baselines/contriever_msmarco_ce.py \\
             --config.root=data --workdir=runs/baselines/contriever_msmarco_ce
"""

import runpy
from pathlib import Path

from ml_collections import ConfigDict


def get_config(arg: str = "") -> ConfigDict:
    path = Path(__file__).parents[1] / "beir.py"
    config = runpy.run_path(str(path))["get_config"](arg)
    config.instruction = ("none",)
    config.retriever = "facebook/contriever-msmarco"
    config.encode_options = ("document_length=512",)
    config.retriever_options = ("query_length=512",)
    config.reranker = "cross-encoder/ms-marco-MiniLM-L-6-v2"
    config.candidates = 100
    return config
