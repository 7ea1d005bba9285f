"""Build an index: exact or FAISS over embedding shards, or BM25 over a corpus.

tart-jax index --config.embeddings=runs/a/emb --workdir=runs/a/index
tart-jax index --config.factory=Exact --config.embeddings=runs/a/emb --workdir=runs/a/exact
tart-jax index --config.factory=BM25 --config.corpus=data/nfcorpus --workdir=runs/bm25
"""

from ml_collections import ConfigDict


def get_config(arg: str = "") -> ConfigDict:
    if arg not in ("", "quicktest"):
        raise ValueError(f"variant {arg!r} is not known; there is 'quicktest'.")
    config = ConfigDict()
    config.embeddings = ""  # a folder that `tart-jax encode` wrote (all but BM25)
    config.prefix = ""  # only documents whose ids begin so: one corpus of a pooled one
    config.corpus = ""  # a BEIR folder, .jsonl or .tsv (BM25 only)
    config.factory = (
        "Flat"  # BM25; Exact (JAX's devices); FAISS's: Flat, IVF256,Flat, HNSW32, OPQ16,IVF256,PQ16
    )
    config.dtype = "float32"  # Exact: or bfloat16, int8: less on the devices, rescored in float32
    config.train_size = (
        262_144  # embeddings, drawn over the whole corpus, that train IVF, PQ and OPQ
    )
    config.block_size = 65_536  # embeddings added at a time
    config.seed = 0  # of the training sample
    config.verify = True  # check each embedding shard against the manifest's sha256 first
    config.gpu = False  # FAISS: find the cells of an IVF on the GPUs (needs faiss-gpu)
    config.on_disk = False  # IVF: the lists grow and stay on disk, for corpora larger than memory
    config.k1 = 1.2  # BM25: how soon a repeated word stops counting
    config.b = 0.75  # BM25: how far long documents are held back, 0 to 1
    if arg == "quicktest":
        config.train_size = 1024
        config.block_size = 1024
    return config
