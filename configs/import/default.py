"""Import training data from another format; options that stay None are the format's own defaults.

tart-jax import --config.format=dpr --config.path=nq-train.json --config.task=nq --workdir=runs/nq
"""

from ml_collections import ConfigDict
from ml_collections.config_dict import placeholder


def get_config(arg: str = "") -> ConfigDict:
    if arg not in ("", "quicktest"):
        raise ValueError(f"variant {arg!r} is not known; there is 'quicktest'.")
    config = ConfigDict()
    # tart_dual, tart_full, berri_folder, dpr, kilt, beir, pairs, tevatron, msmarco, trec_run, hf
    config.format = ""  # name of the format; a wrong one is answered with the list of them
    config.path = ""  # file or folder of the data; for hf also the name of a data set of the hub
    config.task = ""  # task of all examples, as in the instruction table
    config.options = ConfigDict()
    config.options.separator = placeholder(str)  # tart_*: between instruction and query; [SEP]
    config.options.order = placeholder(str)  # tart_dual: instruction_first (default), query_first
    config.options.nan = placeholder(
        str
    )  # tart_*, "nan [SEP] query": repair (default), keep, reject
    config.options.file = placeholder(str)  # berri_folder: its file of questions, where several are
    config.options.answers = placeholder(str)  # berri_folder, only answers: reject, document
    config.options.positives = placeholder(str)  # kilt: provenance (default; needs corpus), answers
    config.options.corpus = placeholder(str)  # kilt, trec_run, msmarco (collection.tsv): the texts
    config.options.queries = placeholder(str)  # trec_run, msmarco (queries.tsv): query texts
    config.options.qrels = placeholder(str)  # trec_run: judgements, a TSV with BEIR's header
    config.options.split = placeholder(str)  # beir, hf: which split; train
    # beir and trec_run: 1; pairs and hf: 0.5
    config.options.threshold = placeholder(float)  # least relevance (or label) of a positive
    config.options.depth = placeholder(int)  # trec_run: hits per query that are kept; 100
    config.options.top_as_positives = placeholder(int)  # trec_run without qrels: best hits taken so
    config.options.random_negatives = placeholder(int)  # beir, berri_folder: drawn per query; 0
    config.options.seed = placeholder(int)  # of the random negatives, together with the query id; 0
    config.options.query = placeholder(
        str
    )  # pairs, hf: column of the query; None: columns by order
    config.options.positive = placeholder(str)  # pairs, hf: column of the positive document
    config.options.negatives = placeholder(str)  # pairs, hf: columns of negatives, between commas
    config.options.label = placeholder(str)  # pairs, hf: column that makes labelled pairs
    return config
