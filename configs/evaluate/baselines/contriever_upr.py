"""Contriever's best 100 reranked by UPR, a T5's likelihood of the query (Sachan et al. 2022).

Baselines read no instruction. Another benchmark: --config.benchmark=configs/evaluate/x2.tsv.
Command: tart-jax evaluate --config=configs/evaluate/baselines/contriever_upr.py \\
             --config.root=data --workdir=runs/baselines/contriever_upr
"""

import runpy
from pathlib import Path

from ml_collections import ConfigDict


def get_config(arg: str = "") -> ConfigDict:
    path = Path(__file__).parents[1] / "beir.py"
    config = runpy.run_path(str(path))["get_config"](arg)
    config.instruction = ("none",)
    config.retriever = "facebook/contriever"
    config.encode_options = ("document_length=512",)
    config.retriever_options = ("query_length=512",)
    config.reranker = "google/t5-large-lm-adapt"
    config.reranker_kind = "upr"
    config.candidates = 100
    return config
