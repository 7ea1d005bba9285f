"""Rounds of training and mining with the model trained last (multi-task DPR, 3.2: one round).

tart-jax rounds --config=configs/rounds/default.py --workdir=runs/rounds
    --config.examples=train.jsonl --config.corpus=corpora/{task}
    --config.train_options="('eval.directory=dev',)"
A killed run continues where it was.
"""

from ml_collections import ConfigDict


def get_config(arg: str = "") -> ConfigDict:
    if arg not in ("", "quicktest"):
        raise ValueError(f"variant {arg!r} is not known; there is 'quicktest'.")
    config = ConfigDict()
    config.rounds = (
        1  # minings, each with a training from the start after it; round 0 has no mining
    )
    config.examples = ""  # what round 0 trains on: files, folders, several between commas
    config.instructions = ""  # the instruction table, for training and mining; '': none
    config.corpus = ""  # what is encoded and mined; "{task}" in the path: each task's own
    config.train = "configs/train/default.py"  # config of each round's training
    config.train_options = ()  # ("steps=500", ...): its keys, set over that file
    config.mine = "configs/mine/default.py"  # config of the minings
    config.mine_options = ()  # ("hard.count=4", ...): its keys, set over that file
    if arg == "quicktest":
        config.train += ":quicktest"
        config.mine += ":quicktest"
    return config
