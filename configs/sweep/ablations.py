"""What the training mixture and the first encoder are worth on tasks that training never saw.

TART's Figures 4 to 6 in small: tests are of HotpotQA, CoSQA and NFCorpus, whose sets no variant
trains on; same steps, same batch. Variants, each a sweep of its own (:NAME-quicktest is
small):
  :datasets  two, four or seven sets (section 6.3: number of data sets)
  :domains   three sets of Wikipedia, or three of different domains
  :tasks     three sets that ask for passages, or three of different intents
  :sizes     two, three or all six layers of MiniLM
  :encoders  MiniLM's weights, or its shape from random ones
Kinds of negative: configs/sweep/negatives.py. Instructions: configs/sweep/grid.py.
Hardware: 2 cores (busy), 329 to 468 seconds a model. Observed on 2026-11-27, seed 0, 60 steps, 300
test queries, nDCG@10 [paired 95%], closed and pooled: two sets 0.680 and 0.665; four -0.001
[-0.005, 0.004] and -0.003 [-0.008, 0.001]; seven +0.004 [-0.002, 0.011] and -0.000 [-0.008, 0.008]:
no difference that so short a training shows. The other variants were not run.

Command: tart-jax prepare --config=configs/prepare/real_tasks.py --workdir=runs/real_tasks \
             --config.root=FOLDER_OF_COLLECTIONS
         tart-jax sweep --config=configs/sweep/ablations.py:datasets --workdir=runs/datasets
"""

import runpy
from pathlib import Path

from ml_collections import ConfigDict

SETS = ("agnews", "altlex", "climate-fever", "pubmedqa", "quora", "scitldr", "squad")
UNSEEN = ("hotpotqa", "codesearch_py", "nfcorpus")
BUDGET = "steps=60; optimizer.warmup_steps=6; eval.directory="


def of(*names: str) -> str:
    """The options of a training on these sets alone."""
    others = ",".join(f"'{name}'" for name in SETS if name not in names)
    return f"{BUDGET}; data.held_out=({others}{',' if others else ''})"


ABLATIONS = {
    "datasets": (
        f"two: {of('squad', 'agnews')}",
        f"four: {of('squad', 'agnews', 'pubmedqa', 'quora')}",
        f"seven: {of(*SETS)}",
    ),
    "domains": (
        f"Wikipedia: {of('altlex', 'climate-fever', 'squad')}",
        f"three domains: {of('agnews', 'pubmedqa', 'squad')}",
    ),
    "tasks": (
        f"passages: {of('climate-fever', 'pubmedqa', 'squad')}",
        f"three intents: {of('quora', 'scitldr', 'squad')}",
    ),
    "sizes": tuple(f"{layers} layers: {BUDGET}; model.layers={layers}" for layers in (2, 3, 6)),
    "encoders": (
        f"MiniLM: {BUDGET}",
        f"random weights: {BUDGET}; model.from_scratch=True",
    ),
}


def get_config(arg: str = "") -> ConfigDict:
    name, _, form = ("datasets-quicktest" if arg == "quicktest" else arg or "datasets").partition(
        "-"
    )
    if name not in ABLATIONS or form not in ("", "quicktest"):
        raise ValueError(f"variant {arg!r} is not known; there are {', '.join(ABLATIONS)}, each"
                         " also as NAME-quicktest")  # fmt: skip
    config = runpy.run_path(str(Path(__file__).with_name("default.py")))["get_config"](form)
    config.variants = ABLATIONS[name]
    config.tasks = UNSEEN
    if not form:
        config.seeds = (0,)
        config.max_queries = 100
        config.max_documents = 600
    return config
