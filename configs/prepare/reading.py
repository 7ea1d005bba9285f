"""What a reader reads of a KILT task: inputs, answers, and gold, found or no passages.

tart-jax prepare --config=configs/prepare/reading.py --workdir=runs/reading/fever \\
    --config.kilt=runs/kilt --config.gold=fever=fever-dev-kilt.jsonl --config.passages=run \\
    --config.run=runs/dpr/kilt/results/none/fever/closed/run/run.trec
"""

from ml_collections import ConfigDict


def get_config(arg: str = "") -> ConfigDict:
    if arg not in ("", "quicktest"):
        raise ValueError(f"variant {arg!r} is not known; there is 'quicktest'.")
    config = ConfigDict()
    config.builder = "reading"  # what is built
    config.kilt = ""  # a folder of configs/prepare/kilt.py
    config.gold = ""  # "task=file", a KILT file
    config.passages = "gold"  # gold, run (what a retriever found), none
    config.run = ""  # passages=run: a TREC run over the folder's passages
    config.count = 3  # passages of an item, at most
    config.answered = True  # only items with an answer; False: all, as a test file has them
    return config
