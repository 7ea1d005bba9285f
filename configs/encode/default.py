"""Encode a corpus into embedding shards.

tart-jax encode --config.model=runs/a/model --config.corpus=data/nfcorpus --workdir=runs/a/emb
"""

from ml_collections import ConfigDict, config_dict


def get_config(arg: str = "") -> ConfigDict:
    if arg not in ("", "quicktest"):
        raise ValueError(f"variant {arg!r} is not known; there is 'quicktest'.")
    config = ConfigDict()
    config.model = (
        ""  # a folder (ours, Hugging Face's or sentence-transformers'), a hub id, or package:NAME
    )
    config.corpus = (
        ""  # a BEIR folder, or a .jsonl or .tsv file (header id, text, title); gzip or not
    )
    config.document_length = config_dict.placeholder(
        int
    )  # tokens, longer text is cut; None: the model's own
    config.tokens_per_batch = config_dict.placeholder(
        int
    )  # rows x length; None: 4096 on CPU, 65536 elsewhere
    config.compute_dtype = "float32"  # float32, or bfloat16: faster on accelerators, about 1e-3 off
    config.dtype = "float32"  # of the stored embeddings: float32, or float16 for half the space
    config.compile_once = False  # every shape before the first shard; one more later ends the run
    config.shard_size = 8192  # documents per file, also what is in memory and what a kill can lose
    config.overwrite = False  # True: discard other embeddings that stand in the workdir
    config.instruction_order = config_dict.placeholder(
        str
    )  # instruction_first, query_first; None: the model's own
    config.separator = config_dict.placeholder(
        str
    )  # between instruction and query; None: the model's own
    config.force_format = False  # True: another order or separator than the model's own is no error
    config.mesh = ConfigDict()
    config.mesh.data = -1  # devices that share each batch; -1: all of them
    if arg == "quicktest":
        config.document_length = 32
        config.tokens_per_batch = 512
        config.shard_size = 64
    return config
