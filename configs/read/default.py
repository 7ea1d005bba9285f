"""Answers of a reader (T5 or BART), as KILT's predictions.

tart-jax read --config.model=runs/reader/model --config.examples=runs/reading/fever \\
    --workdir=runs/reader/fever
Scores: tart-jax evaluate --config=configs/evaluate/kilt.py --config.run=.../predictions.jsonl
"""

from ml_collections import ConfigDict


def get_config(arg: str = "") -> ConfigDict:
    if arg not in ("", "quicktest"):
        raise ValueError(f"variant {arg!r} is not known; there is 'quicktest'.")
    config = ConfigDict()
    config.model = ""  # a reader that `tart-jax train` wrote, a folder of T5 or BART, a hub id
    config.examples = ""  # a folder of configs/prepare/reading.py, or its examples.jsonl
    config.beams = 1  # 1: the likeliest token each time; more: so many beams
    config.length_penalty = 1.0  # beams: scores are divided by length to this power
    config.block_size = 32  # inputs at a time; a killed run loses one such block at most
    config.compute_dtype = "float32"  # float32 or bfloat16
    config.overwrite = False  # True: drop the blocks of another, unfinished reading
    return config
