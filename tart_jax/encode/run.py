"""Stage `encode`: a corpus and a model to embedding shards with a manifest.

Of several processes each encodes whole shards, on its own devices and without the others.
"""

import logging
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict
from itertools import islice
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from ml_collections import ConfigDict
from tqdm import tqdm

from tart_jax import compilation, distributed
from tart_jax.data import corpus
from tart_jax.encode.encoder import Encoder
from tart_jax.encode.formats import checked_format
from tart_jax.encode.store import EmbeddingWriter
from tart_jax.models import pretrained
from tart_jax.types import Document, InputError

logger = logging.getLogger(__name__)
T = TypeVar("T")


def run(config: ConfigDict, workdir: Path) -> None:
    """Encodes `config.corpus` with `config.model` into `workdir`; after a kill it continues."""
    if not config.model or not config.corpus:
        raise InputError(
            "--config.model and --config.corpus are both needed: a model (a folder, a hub id or"
            " package:NAME) and a corpus (a BEIR folder, .jsonl or .tsv)."
        )
    info = corpus.scan(config.corpus)
    model = pretrained.load(config.model, dtype=config.compute_dtype)
    format = checked_format(
        model,
        order=config.instruction_order,
        separator=config.separator,
        force=config.force_format,
    )
    length = config.document_length or format.document_length
    encoder = Encoder(
        model,
        tower="document",
        max_length=length,
        tokens_per_batch=config.tokens_per_batch,
        mesh=distributed.local_mesh(dict(config.mesh)),
        one_shape_per_length=config.compile_once,
    )
    identity = {
        "weights_sha256": model.document_sha256,
        "tokenizer": model.tokenizer.fingerprint(),
        "source": model.source,
        "format": asdict(format) | {"document_length": length},
        "compute_dtype": config.compute_dtype,
        "pooling": model.config.pooling,
        "normalize": model.config.normalize,
        "dims": encoder.dims,
        "corpus": str(Path(config.corpus).resolve()),
        "corpus_fingerprint": info.fingerprint,
    }
    writer = EmbeddingWriter(
        workdir,
        identity,
        count=info.count,
        shard_size=config.shard_size,
        dtype=config.dtype,
        overwrite=config.overwrite,
    )
    documents = corpus.read_documents(config.corpus)
    if config.compile_once and not writer.complete:
        encoder.compile_all()
    encode_shards(writer, encoder, documents, info.count, format.title_separator)


def encode_shards(
    writer: EmbeddingWriter,
    encoder: Encoder,
    documents: Iterator[Document],
    count: int,
    title_separator: str = "",
) -> None:
    """Encodes what the writer lacks, with two shards of texts in memory at a time.

    While one is computed, the next is read and tokenized. Of several processes each takes its own
    shards, the same ones however many are done already.
    """
    start = time.perf_counter()
    index, processes = distributed.process()
    hidden = True if index else None  # None: where stderr is no terminal
    with tqdm(total=count, unit="doc", desc="encode", disable=hidden, smoothing=0.05) as progress:

        def on_batch(rows: int) -> None:
            progress.update(rows)
            progress.set_postfix(encoder.meter.rates(), refresh=False)

        coming = _one_ahead(_tokenized(writer, encoder, documents, title_separator))
        waiting = time.perf_counter()
        for shard, block, rows in coming:
            if rows is None:
                progress.update(len(block))
            else:
                waited = time.perf_counter() - waiting
                encoder.meter.waited += waited
                encoder.meter.seconds += waited
                with _compiled(encoder, shard):
                    embeddings = encoder.embed(rows, on_batch=on_batch)
                writer.write(shard, block, embeddings)
            waiting = time.perf_counter()
    writer.finish()
    meter = encoder.meter
    logger.info(
        "Encoded %s of %s documents%s in %.0f s (%s): %d shards in %s",
        f"{meter.count:,}",
        f"{count:,}",
        f" (process {index} of {processes})" if processes > 1 else "",
        time.perf_counter() - start,
        ", ".join(f"{value} {name}" for name, value in meter.rates().items()),
        writer.num_shards,
        writer.directory,
    )


def _compiled(encoder: Encoder, shard: int) -> AbstractContextManager[None]:
    """Of an encoder that knows its shapes, a shard that compiles one more is an error."""
    if not encoder.one_shape_per_length:
        return nullcontext()
    return compilation.none_expected(f"shard {shard}", strict=True)


def _tokenized(
    writer: EmbeddingWriter,
    encoder: Encoder,
    documents: Iterator[Document],
    title_separator: str,
) -> Iterator[tuple[int, list[str], list[np.ndarray] | None]]:
    """(shard, ids, tokens) of each shard; None for tokens where this process has nothing to do."""
    index, processes = distributed.process()
    for shard in range(writer.num_shards):
        block = list(islice(documents, writer.shard_size))
        ids = [document.doc_id for document in block]
        others = shard % processes != index or writer.is_done(shard)
        texts = [] if others else [document.contents(title_separator) for document in block]
        yield shard, ids, None if others else encoder.tokenize(texts)


def _one_ahead(items: Iterator[T]) -> Iterator[T]:
    """The same items, the next one made in a thread while one is worked on."""
    end: Any = object()
    with ThreadPoolExecutor(1) as pool:
        coming = pool.submit(next, items, end)
        while (item := coming.result()) is not end:
            coming = pool.submit(next, items, end)
            yield item
