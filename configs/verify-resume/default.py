"""Prove on this machine that a killed training ends as one that was never killed, bit for bit.

tart-jax verify-resume --config.train=configs/train/tart_dual.py --workdir=runs/verify
    --config.train_options="('data.train=train.jsonl',)"
Trains a few steps once without and once with kills (SIGKILL), and compares every step and weight.
"""

from ml_collections import ConfigDict


def get_config(arg: str = "") -> ConfigDict:
    if arg not in ("", "quicktest"):
        raise ValueError(f"variant {arg!r} is not known; there is 'quicktest'.")
    config = ConfigDict()
    config.train = "configs/train/default.py"  # config of the training
    config.train_options = ()  # ("data.train=x.jsonl", ...): its keys, set over that file
    config.steps = 20  # updates of each of the two trainings; a checkpoint after every one
    config.kills = 3  # of the second one, each after a checkpoint of its own
    config.seed = 0  # of the moments
    if arg == "quicktest":
        config.train += ":quicktest"
        config.steps = 8
        config.kills = 1
    return config
