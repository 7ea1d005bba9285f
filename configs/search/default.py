"""Answer queries: a file of them into a TREC run, one in the terminal, or one after the other.

Each with --config.index=runs/a/index --config.model=runs/a/model:
tart-jax search --config.queries=data/nfcorpus --workdir=runs/a/search
tart-jax search --config.query="vitamin D and bones" --config.instruction="Find a medical abstract."
tart-jax search    # asks for queries
"""

from ml_collections import ConfigDict, config_dict


def get_config(arg: str = "") -> ConfigDict:
    if arg not in ("", "quicktest"):
        raise ValueError(f"variant {arg!r} is not known; there is 'quicktest'.")
    config = ConfigDict()
    config.index = ""  # a folder that `tart-jax index` wrote
    config.model = ""  # the model that made the embeddings; a BM25 index needs none
    config.queries = (
        ""  # a BEIR folder, or a .jsonl or .tsv file (header id, text[, instruction]); gzip or not
    )
    config.max_queries = 0  # of the file, the first so many; 0: all
    config.query = ""  # one query, answered in the terminal
    config.instruction = config_dict.placeholder(
        str
    )  # for all queries; None: each query's own; '': none at all
    config.instructions = ""  # a table of instructions (a .tsv, or bank:beir and the like)
    config.task = ""  # its row; the row's first instruction is read with all queries
    config.k = 100  # documents per query in a run
    config.shown = 10  # documents per query in the terminal
    config.block_size = 1024  # queries answered at a time; several processes deal them out
    config.query_length = config_dict.placeholder(
        int
    )  # tokens, instruction included; None: the model's own
    config.tokens_per_batch = config_dict.placeholder(
        int
    )  # rows x length; None: 4096 on CPU, 65536 elsewhere
    config.compute_dtype = "float32"  # float32, or bfloat16: faster on accelerators, about 1e-3 off
    config.approximate = config_dict.placeholder(
        float
    )  # Exact: recall that lax.approx_max_k aims at, 0 to 1; what it reaches is logged; None: exact
    config.device_memory = config_dict.placeholder(
        float
    )  # Exact: GB of each device for documents, others are streamed; None: all on CPU, else 3/4
    config.parameters = ""  # FAISS's search parameters: nprobe=16 for IVF, efSearch=64 for HNSW
    config.drop_self = (
        True  # leave out the document with the query's own id, still k per query (BEIR)
    )
    config.instruction_order = config_dict.placeholder(
        str
    )  # instruction_first, query_first; None: the model's own
    config.separator = config_dict.placeholder(
        str
    )  # between instruction and query; None: the model's own
    config.force_format = False  # True: another order or separator than the model's own is no error
    config.corpus = (
        ""  # where the terminal takes titles and texts from; '': the corpus that was encoded
    )
    config.tag = "tart_jax"  # the run's name, its last column
    config.mesh = ConfigDict()
    config.mesh.data = -1  # devices that share each batch of queries; -1: all of them
    config.gpu = False  # FAISS: search on the GPUs, which divide the index (needs faiss-gpu)
    config.gpu_float16 = False  # FAISS on GPUs: vectors in float16, in half the memory
    if arg == "quicktest":
        config.k = 10
        config.tokens_per_batch = 512
    return config
