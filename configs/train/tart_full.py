"""TART-full (Asai et al. 2022, section 4 and appendix C.1): a T5 encoder that scores pairs.

Initial encoders (config.model.source): bigscience/T0_3B and google/flan-t5-xl, which were released
(facebook/tart-full-t0-3b, facebook/tart-full-flan-t5-xl); allenai/tk-instruct-3b-def; and, for the
paper's scaling, google/t5-base-lm-adapt, t5-large-lm-adapt, t5-xl-lm-adapt. All of T5's vocabulary.
Source: the paper, and the README of its code where the paper is silent. Hardware: 8 GPUs there.
A step there: 64 pairs, 1 on each of 8 GPUs, accumulated 8 times. Here: 13 queries with a positive
and 4 negatives each, 65 pairs, one query at a time. Weights and their moments are divided over all
devices (mesh.tensor), the batch over none.
Instruction and query are joined by the letters "[SEP]", as in the paper's evaluation; its training
scripts wrote "</s>": config.data.separator.
Command: tart-jax train --config=configs/train/tart_full.py --workdir=runs/tart_full \
    --config.data.train=berri.jsonl --config.data.instructions=bank:berri
Observed: not run at full size.
"""

import runpy
from pathlib import Path

from ml_collections import ConfigDict

# Made by: tart-jax prepare --config=configs/prepare/python_library.py --workdir=runs/python_library
QUICK_DATA = "runs/python_library"


def get_config(arg: str = "") -> ConfigDict:
    default = runpy.run_path(str(Path(__file__).with_name("default.py")))["get_config"]
    config = default(arg)
    config.objective.name = "cross_pointwise"
    config.model.new_head = True
    config.model.dropout = 0.1
    config.data.num_negatives = 4
    if arg == "quicktest":  # the same method on the user's own Python, from the packaged MiniLM
        config.data.train = f"{QUICK_DATA}/train.jsonl"
        config.data.instructions = f"{QUICK_DATA}/instructions.tsv"
        config.eval.directory = f"{QUICK_DATA}/dev"
        config.eval.instructions = f"{QUICK_DATA}/instructions.tsv"
        config.eval.candidates = 5
        return config
    config.model.source = "google/flan-t5-xl"
    config.model.dtype = "bfloat16"
    config.model.remat = "layer"
    config.model.scan = True
    config.mesh.data = 1
    config.mesh.tensor = -1
    config.steps = 10_000
    config.data.batch_size = 13
    config.data.pair_length = 512
    config.data.hard_ratio = 0.5
    config.data.separator = "[SEP]"
    config.data.workers = 4
    config.optimizer.accumulation = 13
    config.optimizer.peak_lr = 1e-5
    config.checkpoint.save_every = 2_000
    config.eval.every = 2_000
    config.log.every = 50
    return config
