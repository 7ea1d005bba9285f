"""A dual encoder that learns from a cross-encoder: relabelled examples, and KL over its scores.

The examples are those of configs/mine/teacher.py. Soft distillation as it stands: the contrastive
loss and KL over each query's documents. Hard distillation alone: the command with
`--config.objective.name=dual_contrastive`. scripts/real_tasks.sh runs both in their place.
Hardware: 2 cores, 11 minutes each. Observed on 2026-11-26, seed 0: dev nDCG@10 0.937 (hard) and
0.938 (soft), both at step 50, the encoder it starts from 0.936. Held-out tasks (100 queries each),
nDCG@10 of hard distillation and its paired difference to that encoder, closed; pooled: HotpotQA
0.831 +0.015 [0.002, 0.030]; 0.799 +0.020 [0.007, 0.037], CoSQA 0.573 +0.020 [0.004, 0.039]; 0.566
+0.021 [0.005, 0.040], NFCorpus 0.299 +0.015 [0.000, 0.032]; 0.250 +0.010 [-0.001, 0.025]; of
soft: 0.839 +0.023 [0.005, 0.044]; 0.808 +0.029 [0.009, 0.053], 0.571 +0.018 [-0.003, 0.041]; 0.563
+0.018 [-0.004, 0.041], 0.303 +0.019 [0.000, 0.041]; 0.253 +0.013 [-0.002, 0.030].
How much of it is the teacher and how much 50 more steps was not told apart: one seed, no control.
Command: tart-jax train --config=configs/train/distill.py --workdir=runs/distill
"""

import runpy
from pathlib import Path

from ml_collections import ConfigDict

DATA = "runs/real_tasks"


def get_config(arg: str = "") -> ConfigDict:
    default = runpy.run_path(str(Path(__file__).with_name("default.py")))["get_config"]
    config = default(arg)
    config.model.source = "runs/real_tasks_train/model"
    config.objective.name = "dual_distill"
    config.objective.teaching = "kl"
    config.objective.teaching_temperature = 2.0
    config.data.train = "runs/real_tasks_taught/mined.jsonl"
    config.data.instructions = f"{DATA}/instructions.tsv"
    config.data.mixing = "temperature"
    config.data.instruction_dropout = 0.1
    config.data.hard_ratio = 0.7
    config.eval.directory = f"{DATA}/dev"
    config.eval.instructions = f"{DATA}/dev/instructions.tsv"
    if arg == "quicktest":
        config.data.num_negatives = 3
        return config
    config.steps = 100
    config.data.batch_size = 12
    config.data.num_negatives = 3
    config.optimizer.peak_lr = 2e-5
    config.optimizer.warmup_steps = 10
    config.checkpoint.save_every = 50
    config.eval.every = 50
    config.eval.max_queries = 20
    config.eval.max_documents = 1_000
    return config
