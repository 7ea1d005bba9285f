"""MonoT5 over BM25, as in Nogueira et al. 2020 (arXiv:2003.06713).

1000 candidates of BM25; score: log P("true") after `Query: ... Document: ... Relevant:`. MonoT5 was
not trained to read instructions, so it is given none; run.json records that as instruction "".
Expected on MS MARCO's dev queries (6,980): MRR@10 0.380, of BM25 alone 0.187; its authors counted
26 hours on one V100.

tart-jax search --config.k=1000 --config.queries=... --config.index=... --workdir=runs/a/search
tart-jax rerank --config=configs/rerank/monot5.py --config.run=runs/a/search/run.trec
    --config.corpus=... --config.queries=... --workdir=runs/a/monot5
Observed: not run at full size.
"""

import runpy
from pathlib import Path

from ml_collections import ConfigDict

get_default = runpy.run_path(str(Path(__file__).with_name("default.py")))["get_config"]


def get_config(arg: str = "") -> ConfigDict:
    config = get_default(arg)
    config.kind = "monot5"
    config.model = "castorini/monot5-base-msmarco"
    config.k = 1000
    config.instruction = ""
    config.plain_first_stage = True
    config.max_length = 512
    return config
