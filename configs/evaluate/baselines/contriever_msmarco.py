"""Contriever fine-tuned on MS MARCO (Izacard et al. 2022), 512 tokens.

Command: tart-jax evaluate --config=configs/evaluate/baselines/contriever_msmarco.py \\
             --config.root=data --workdir=runs/baselines/contriever_msmarco
"""

import runpy
from pathlib import Path

from ml_collections import ConfigDict


def get_config(arg: str = "") -> ConfigDict:
    config = runpy.run_path(str(Path(__file__).with_name("contriever.py")))["get_config"](arg)
    config.retriever = "facebook/contriever-msmarco"
    return config
