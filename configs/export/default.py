"""Export training examples, or a run, to another format; None means the format's own default.

tart-jax export --config.format=dpr --config.path=runs/nq/train.jsonl --workdir=runs/nq-dpr
"""

from ml_collections import ConfigDict
from ml_collections.config_dict import placeholder


def get_config(arg: str = "") -> ConfigDict:
    if arg not in ("", "quicktest"):
        raise ValueError(f"variant {arg!r} is not known; there is 'quicktest'.")
    config = ConfigDict()
    config.format = ""  # tart_dual, tart_full, dpr, beir, pairs, tevatron, kilt_predictions
    config.path = ""  # training examples (.jsonl); for kilt_predictions a TREC run
    config.options = ConfigDict()
    config.options.separator = placeholder(str)  # tart_*: between instruction and query; [SEP]
    config.options.order = placeholder(str)  # tart_dual: instruction_first (default), query_first
    config.options.negatives_per_positive = placeholder(int)  # tart_full: at most so many; 4
    config.options.num_negatives = placeholder(int)  # pairs: columns of negatives; 0
    config.options.split = placeholder(
        str
    )  # beir: name of the judgements, qrels/<split>.tsv; train
    config.options.corpus = placeholder(str)  # kilt_predictions: passages with a wikipedia_id
    config.options.queries = placeholder(str)  # kilt_predictions: the inputs, as for the search
    return config
