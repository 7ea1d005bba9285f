"""Contriever-MS MARCO, its best 100 reranked by a cross-encoder (TART, section 5.2).

Command: tart-jax evaluate --config=configs/evaluate/baselines/contriever_msmarco_ce.py \\
             --config.root=data --workdir=runs/baselines/contriever_msmarco_ce
"""

import runpy
from pathlib import Path

from ml_collections import ConfigDict


def get_config(arg: str = "") -> ConfigDict:
    config = runpy.run_path(str(Path(__file__).with_name("contriever_msmarco.py")))["get_config"](
        arg
    )
    config.reranker = "cross-encoder/ms-marco-MiniLM-L-6-v2"
    config.candidates = 100
    return config
