"""An X2 of real collections: ten tasks of six domains, each in its own corpus and in all of them.

The pool also holds what looks like an answer and is of the wrong kind: headlines beside news, paper
abstracts beside their summaries, questions beside passages and abstracts (those of the training
split). scripts/x2.sh prepares the data, trains the systems and reports; docs/x2/report.md is its
report of 2026-11-26 (2 busy cores, seed 0; trainings 10, 9 and 12 minutes, the rest 28).
Command: tart-jax evaluate --config=configs/evaluate/real_tasks.py --config.retriever=BM25 \\
             --workdir=runs/x2/bm25
"""

import runpy
from pathlib import Path

from ml_collections import ConfigDict


def get_config(arg: str = "") -> ConfigDict:
    config = runpy.run_path(str(Path(__file__).with_name("default.py")))["get_config"](arg)
    config.benchmark = "configs/evaluate/real_tasks.tsv"
    config.root = "runs/real_tasks"
    config.pooled = True
    config.max_queries = 50
    config.max_documents = 600
    if arg == "quicktest":
        config.max_queries = 5
        config.max_documents = 50
    return config
