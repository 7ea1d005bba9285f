"""BM25's best 1,000 reranked by MonoT5 (Nogueira et al. 2020).

Command: tart-jax evaluate --config=configs/evaluate/baselines/bm25_monot5.py \\
             --config.root=data --workdir=runs/baselines/bm25_monot5
"""

import runpy
from pathlib import Path

from ml_collections import ConfigDict


def get_config(arg: str = "") -> ConfigDict:
    config = runpy.run_path(str(Path(__file__).with_name("bm25.py")))["get_config"](arg)
    config.reranker = "castorini/monot5-base-msmarco"
    config.reranker_kind = "monot5"
    config.candidates = 1000
    return config
