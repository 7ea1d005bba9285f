"""Stage `index`: embeddings to an exact or a FAISS index, or a corpus to a BM25 index."""

import logging
import shutil
import time
from pathlib import Path

from ml_collections import ConfigDict
from tqdm import tqdm

from tart_jax.data import corpus
from tart_jax.encode.store import Embeddings
from tart_jax.index import store
from tart_jax.index.bm25 import BM25Index
from tart_jax.index.exact import ExactIndex
from tart_jax.index.faiss_index import FaissIndex
from tart_jax.types import InputError

logger = logging.getLogger(__name__)
PARTS = ".parts"  # of an index that is made on disk, while it is made
# What an index takes over from the embeddings, so that search can tell whether they fit a model.
CARRIED = ("weights_sha256", "tokenizer", "source", "format", "pooling", "normalize", "dims")


def run(config: ConfigDict, workdir: Path) -> None:
    """Builds the index that `config.factory` names; the folder is written once it is whole."""
    start = time.perf_counter()
    if config.factory == store.BM25:
        count = _bm25(config, workdir)
    else:
        count = _vectors(config, workdir)
    seconds = time.perf_counter() - start
    logger.info(
        "Indexed %s documents (%s) in %.0f s: %s", f"{count:,}", config.factory, seconds, workdir
    )


def _vectors(config: ConfigDict, workdir: Path) -> int:
    if not config.embeddings:
        raise InputError("--config.embeddings is missing: the folder that `tart-jax encode` wrote.")
    embeddings = Embeddings.open(config.embeddings, config.prefix)
    description = {
        "factory": config.factory,
        **({"dtype": config.dtype} if config.factory == store.EXACT else {}),
        "embeddings": str(Path(config.embeddings).resolve()),
        "manifest_sha256": embeddings.manifest_sha256,
        "prefix": config.prefix,
        "corpus": embeddings.manifest["corpus"],
        "corpus_fingerprint": embeddings.manifest["corpus_fingerprint"],
        **{name: embeddings.manifest[name] for name in CARRIED},
    }
    try:
        index = build(
            embeddings,
            config.factory,
            dtype=config.dtype,
            train_size=config.train_size,
            block_size=config.block_size,
            seed=config.seed,
            verify=config.verify,
            gpu=config.gpu,
            aside=workdir / PARTS if config.on_disk else None,
        )
        store.save(workdir, index, embeddings.ids, description)
    finally:
        shutil.rmtree(workdir / PARTS, ignore_errors=True)
    return index.count


def build(
    embeddings: Embeddings,
    factory: str,
    *,
    dtype: str = "float32",
    train_size: int,
    block_size: int,
    seed: int = 0,
    verify: bool = True,
    gpu: bool = False,
    aside: Path | None = None,
) -> ExactIndex | FaissIndex:
    """An index over all embeddings: trained on a sample where needed, added in blocks.

    aside: a folder for an index that grows on disk, see `FaissIndex.fill_on_disk`; what stands
    there is removed. InputError: not a FAISS index.
    """
    index = store.create(factory, embeddings.dims, dtype=dtype, gpu=gpu)
    if isinstance(index, FaissIndex) and index.needs_training:
        index.train(embeddings.sample(train_size, seed=seed))
    with tqdm(total=embeddings.count, unit="doc", desc="index", disable=None) as progress:
        if aside is not None:
            if not isinstance(index, FaissIndex):
                raise InputError(
                    f"on_disk=True is for FAISS; {factory} is read from disk as it is."
                )
            shutil.rmtree(aside, ignore_errors=True)
            aside.mkdir(parents=True)
            shards = embeddings.shards(verify=verify)
            index.fill_on_disk(shards, aside, block_size=block_size, on_rows=progress.update)
            return index
        for shard in embeddings.shards(verify=verify):
            for begin in range(0, len(shard), block_size):
                block = shard[begin : begin + block_size]
                index.add(block)
                progress.update(len(block))
    return index


def _bm25(config: ConfigDict, workdir: Path) -> int:
    if not config.corpus:
        raise InputError("--config.corpus is missing: BM25 is built over the texts themselves.")
    info = corpus.scan(config.corpus)
    index = BM25Index(k1=config.k1, b=config.b)
    ids = []
    with tqdm(total=info.count, unit="doc", desc="index", disable=None) as progress:
        for document in corpus.read_documents(config.corpus):
            if document.doc_id.startswith(config.prefix):
                ids.append(document.doc_id)
                index.add([document.contents()])
            progress.update()
    description = {
        "factory": store.BM25,
        "k1": config.k1,
        "b": config.b,
        "prefix": config.prefix,
        "corpus": str(Path(config.corpus).resolve()),
        "corpus_fingerprint": info.fingerprint,
    }
    store.save(workdir, index, ids, description)
    return index.count
