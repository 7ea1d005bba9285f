"""The studies of configs/sweep/multitask_dpr.py on a small KILT-like world; :table3, 5, 6, 7.

Each model 200 steps of 16; a task-specific one 70, few-shot tuning 40. Hardware: 2 cores (busy),
150 to 650 seconds a model, 73 to 200 a task-specific one, 1 to 17 minutes to encode 19,928
passages.
Observed on 2026-11-27, seed 0, 800 test queries of six tasks, mean over tasks of R-precision by
page [paired 95%] and by passage. :table3 multi-task 0.273 [0.245, 0.301] and 0.235; task-specific
0.195, -0.078 [-0.105, -0.051], and 0.166; BM25 0.638, +0.365 [0.332, 0.398], and 0.562. Two layers
and 200 steps are far from BM25 here, but trained on all tasks they are ahead of one task each.
:table6 base 0.273; task markers 0.259, -0.014 [-0.028, -0.001]; task-specific query encoders 0.209,
-0.064 [-0.087, -0.042] (each tower has seen a fifth of the batches); one shared tower 0.268, -0.005
[-0.023, 0.014]; from random weights 0.000. :table7 an adversarial round for nq 0.303, +0.030
[0.011, 0.049]. :table5, fever and nq, 300 queries: multi-task 0.233, without the task 0.220, -0.013
[-0.053, 0.027], then 128 examples 0.197, -0.037 [-0.077, 0.003], these alone 0.130, -0.103 [-0.153,
-0.053]. Tables: docs/kilt_world/.

tart-jax sweep --config=configs/sweep/kilt_world.py:table3 --workdir=runs/kilt_world/table3
"""

import runpy
from pathlib import Path

from ml_collections import ConfigDict

DATA = "runs/kilt_world"
TASKS = ("fever", "aidayago2", "structured_zeroshot", "nq", "hotpotqa", "wow")
CLASSES = ("qa=nq,hotpotqa", "claims=fever", "entities=aidayago2", "slots=structured_zeroshot",
           "dialogue=wow")  # fmt: skip


def get_config(arg: str = "") -> ConfigDict:
    full = runpy.run_path(str(Path(__file__).with_name("multitask_dpr.py")))
    some = dict(left_out=("fever", "nq"), shots=(128,))
    variants = full["studies"](
        TASKS, CLASSES, **some, single="steps=70; optimizer.warmup_steps=7",
        adversarial=f"{DATA}/adversarial/mined.jsonl",
        tuning="steps=40; optimizer.warmup_steps=4; optimizer.peak_lr=5e-5",
    )  # fmt: skip
    return full["sweep"](
        arg, variants, TASKS, **some, train="configs/train/kilt_world.py", kilt=f"{DATA}/kilt",
        gold=f"{DATA}/raw/{{task}}-dev-kilt.jsonl",
    )  # fmt: skip
