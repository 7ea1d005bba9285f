"""UPR over Contriever, as in Sachan et al. 2022 (arXiv:2204.07496).

1000 candidates of Contriever, as pretrained, without instructions; score: mean log probability of
the query after `Passage: ... Please write a question based on this passage.` An instruction would
be part of what is to be written, so none is given; run.json records that as instruction "". Set
--config.instruction=... to have `instruction [SEP] query` written instead.
Expected top-20 accuracy on Natural Questions' test: 80.4, of Contriever alone 67.9. UPR's code puts
a question mark behind these questions; here a query is scored as it stands.

tart-jax search --config.instruction="" --config.k=1000 --config.queries=... --workdir=runs/a/search
tart-jax rerank --config=configs/rerank/upr.py --config.run=runs/a/search/run.trec
    --config.corpus=... --config.queries=... --workdir=runs/a/upr
Observed: not run at full size.
"""

import runpy
from pathlib import Path

from ml_collections import ConfigDict

get_default = runpy.run_path(str(Path(__file__).with_name("default.py")))["get_config"]


def get_config(arg: str = "") -> ConfigDict:
    config = get_default(arg)
    config.kind = "upr"
    config.model = "bigscience/T0_3B"
    config.k = 1000
    config.instruction = ""
    config.plain_first_stage = True
    config.max_length = 512
    config.compute_dtype = "bfloat16"
    return config
