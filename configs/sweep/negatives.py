"""Which negatives help: random, hard, denoised hard, and denoised with unfollowing ones.

The paper's Figure 7 in small (TART, 5.3): the same queries, steps and number of negatives.
scripts/negatives.sh mines the examples and runs it.
Hardware: 2 cores (busy); 72 minutes for the twelve models, before them 62 for scripts/negatives.sh
up to the teacher's 1,050 examples. Observed on 2026-11-26, seeds 0 to 2, 80 steps of 10 queries,
1,000 test queries of ten tasks, nDCG@10 closed; pooled over all, and paired difference to random:
random 0.811; 0.795. hard 0.791 -0.020 [-0.026, -0.013]; 0.774 -0.021 [-0.027, -0.014]. denoised
0.812 +0.001 [-0.002, 0.005]; 0.795 +0.001 [-0.003, 0.004]. denoised and unfollowing 0.810 -0.000
[-0.004, 0.003]; 0.796 +0.001 [-0.003, 0.004]. Hard negatives as they are found
do harm, and denoising undoes it. Of their six a query the teacher kept 20% for Climate-FEVER, which
lost 0.049 (closed), 25% SciTLDR -0.069, 38% AG News -0.021, 41% SQuAD -0.020, 60% PubMedQA -0.003,
65% AltLex 0.000, but 26% Quora +0.001. Unfollowing ones gain nothing here: 69.8% of the pooled hits
are of the wanted kind with random negatives and with them. Perhaps because a batch of many tasks
has documents of the wrong kinds for every query anyway; batches of one task were not tried.
80 steps are few: the logged loss has hardly left its start.
"""

import runpy
from pathlib import Path

from ml_collections import ConfigDict

BUDGET = (
    "steps=200; model.layers=3; data.batch_size=10; data.num_negatives=3; data.document_length=64;"
    "optimizer.peak_lr=1e-4; optimizer.warmup_steps=20; eval.directory="
)
HARD = f"{BUDGET}; data.train=runs/negatives/hard/mined.jsonl"
DENOISED = f"{BUDGET}; data.train=runs/negatives/denoised/mined.jsonl; data.hard_ratio=0.7"


def get_config(arg: str = "") -> ConfigDict:
    default = runpy.run_path(str(Path(__file__).with_name("default.py")))["get_config"]
    config = default("" if arg == "one_task" else arg)
    if arg == "one_task":
        denoised = f"{DENOISED}; data.homogeneous=True"
        config.variants = (
            f"denoised: {denoised}; data.unfollowing_cap=0",
            f"denoised and unfollowing: {denoised}",
        )
    else:
        config.variants = (
            f"random: {HARD}; data.hard_ratio=0.0",
            f"hard: {HARD}; data.hard_ratio=0.7; data.unfollowing_cap=0",
            f"denoised: {DENOISED}; data.unfollowing_cap=0",
            f"denoised and unfollowing: {DENOISED}",
        )
    if arg != "quicktest":
        config.max_queries = 100
        config.max_documents = 600
    return config
