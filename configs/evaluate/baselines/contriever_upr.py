"""Contriever's best 100 reranked by UPR, a T5's likelihood of the query (Sachan et al. 2022).

Command: tart-jax evaluate --config=configs/evaluate/baselines/contriever_upr.py \\
             --config.root=data --workdir=runs/baselines/contriever_upr
"""

import runpy
from pathlib import Path

from ml_collections import ConfigDict


def get_config(arg: str = "") -> ConfigDict:
    config = runpy.run_path(str(Path(__file__).with_name("contriever.py")))["get_config"](arg)
    config.reranker = "google/t5-large-lm-adapt"
    config.reranker_kind = "upr"
    config.candidates = 100
    return config
