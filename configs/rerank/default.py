"""Rerank a TREC run: a scorer reads each query, its instruction and its k best documents.

tart-jax rerank --config.run=runs/a/search/run.trec --config.corpus=data/nfcorpus
    --config.queries=data/nfcorpus --config.model=runs/b/model --workdir=runs/a/rerank
"""

from ml_collections import ConfigDict, config_dict


def get_config(arg: str = "") -> ConfigDict:
    if arg not in ("", "quicktest"):
        raise ValueError(f"variant {arg!r} is not known; there is 'quicktest'.")
    config = ConfigDict()
    config.run = ""  # the first stage's run, six columns; its run.json beside it is recorded, too
    config.corpus = ""  # a BEIR or TFDS folder, .jsonl or .tsv; not gzip
    config.queries = ""  # a BEIR folder, or a .jsonl or .tsv file; gzip or not
    config.model = ""  # the scorer: a folder, a hub id
    config.kind = "cross_encoder"  # what the model is: cross_encoder; monot5, upr: a whole T5
    config.k = 100  # documents per query that are scored and kept
    config.instruction = config_dict.placeholder(
        str
    )  # for all queries; None: each query's own; '': none at all
    config.instructions = ""  # a table of instructions (a .tsv, or bank:beir and the like)
    config.task = ""  # its row; the row's first instruction is read with all queries
    config.interpolation = config_dict.placeholder(
        float
    )  # weight of the reranker, 0 to 1, beside the first stage; None: the reranker alone
    config.plain_first_stage = (
        False  # True: refuse a run whose first stage read instructions (TART, footnote 8)
    )
    config.instruction_order = config_dict.placeholder(
        str
    )  # instruction_first, query_first; None: the model's own
    config.separator = config_dict.placeholder(
        str
    )  # between instruction and query; None: the model's own
    config.force_format = False  # True: another order or separator than the model's own is no error
    config.max_length = config_dict.placeholder(
        int
    )  # tokens of query and document together; None: the model's own
    config.tokens_per_batch = config_dict.placeholder(
        int
    )  # rows x length; None: 1024 on CPU, 32768 elsewhere
    config.block_size = 16  # queries scored at a time; a killed run loses one such block at most
    config.compute_dtype = "float32"  # float32, or bfloat16: faster on accelerators, about 1e-2 off
    config.mesh = ConfigDict()
    config.mesh.data = -1  # devices that share each batch; -1: all of them
    config.overwrite = False  # True: drop the blocks of another, unfinished reranking
    config.tag = "tart_jax"  # the run's name, its last column
    if arg == "quicktest":
        config.k = 10
        config.tokens_per_batch = 512
    return config
