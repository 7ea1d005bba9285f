"""TART-full as in the paper (arXiv:2211.09260, section 4 and footnote 8).

The 100 candidates come from Contriever-MSMARCO, which reads no instruction; TART-full reads it.
Only the 100 are kept, by the cross-encoder's score alone. 3B parameters, half of them used.
Expected nDCG@10 over nine sets of BEIR: 44.1 (T0-3B), 44.8 (FLAN-T5-XL).

tart-jax search --config.instruction="" --config.k=100 --config.queries=... --workdir=runs/a/search
tart-jax rerank --config=configs/rerank/tart_full.py --config.run=runs/a/search/run.trec
    --config.instructions=bank:tart_table9 --config.task=scifact --config.model=... ...
Observed: not run at full size.
"""

import runpy
from pathlib import Path

from ml_collections import ConfigDict

get_default = runpy.run_path(str(Path(__file__).with_name("default.py")))["get_config"]


def get_config(arg: str = "") -> ConfigDict:
    config = get_default(arg)
    config.k = 100
    config.plain_first_stage = True
    config.max_length = 512
    config.compute_dtype = "bfloat16"
    return config
