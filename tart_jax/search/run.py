"""Stage `search`: an index and queries to a TREC run, or to hits in the terminal."""

import logging
import sys
import time
from pathlib import Path
from typing import Any

from ml_collections import ConfigDict
from rich.console import Console
from tqdm import tqdm

from tart_jax import distributed, io
from tart_jax.data import corpus, instructions
from tart_jax.encode.encoder import Encoder
from tart_jax.encode.formats import checked_format
from tart_jax.encode.store import MANIFEST
from tart_jax.index import store
from tart_jax.index.exact import ExactIndex
from tart_jax.index.faiss_index import FaissIndex
from tart_jax.index.store import StoredIndex
from tart_jax.models import pretrained
from tart_jax.models.pretrained import Format, Pretrained
from tart_jax.search import parts, terminal
from tart_jax.search.retrieve import embed, retrieve
from tart_jax.types import InputError, Query

logger = logging.getLogger(__name__)
RECALL_QUERIES = 64  # on which an approximate search is measured


def run(config: ConfigDict, workdir: Path | None) -> None:
    """Queries from a file go to `workdir/run.trec`; others are answered in the terminal."""
    if config.queries and config.query:
        raise InputError("--config.queries and --config.query exclude each other; leave one out.")
    if not config.index:
        raise InputError("--config.index is missing: the folder that `tart-jax index` wrote.")
    if not config.tag or len(config.tag.split()) > 1:
        raise InputError(f"config.tag {config.tag!r} should be one word: a run has six columns.")
    if not config.queries and distributed.process()[1] > 1:
        raise InputError(
            "--config.queries is missing: several processes share a file of queries; one query, or"
            " the terminal, wants one process."
        )
    if config.queries and workdir is None:
        raise InputError("--workdir=FOLDER is missing: the run of --config.queries goes there.")
    queries = corpus.read_queries(config.queries) if config.queries else []
    queries = queries[: config.max_queries or None]
    stored = store.open(config.index, gpu=config.gpu, half=config.gpu_float16)
    _set_options(config, stored)
    encoder, options = _query_side(config, stored)
    instruction = instructions.one(config.instruction, config.instructions, config.task)
    options |= {"instruction": instruction, "block_size": config.block_size}
    if config.queries and workdir is not None:
        options |= {"k": config.k, "drop_self": config.drop_self}
        _write_run(config, workdir, stored, encoder, queries, options)
        return
    session = terminal.Session(
        stored, encoder, config.corpus, options | {"k": config.shown}, Console(highlight=False)
    )
    if config.query:
        session.answer(config.query)
    else:
        session.loop(sys.stdin.readline, asks=sys.stdin.isatty())


def _set_options(config: ConfigDict, stored: StoredIndex) -> None:
    """Hands the index its own options. InputError: one that is another kind of index's."""
    index, factory = stored.index, stored.description["factory"]
    if isinstance(index, FaissIndex):
        index.set_parameters(config.parameters)
    elif config.parameters:
        raise InputError(f"config.parameters is FAISS's and the index is {factory}; leave it out.")
    if isinstance(index, ExactIndex):
        index.set_options(recall=config.approximate, device_memory=config.device_memory)
    elif config.approximate is not None or config.device_memory is not None:
        raise InputError(
            "config.approximate and config.device_memory are for an Exact index, and this one is"
            f" {factory}; leave them out."
        )


def _query_side(config: ConfigDict, stored: StoredIndex) -> tuple[Encoder | None, dict[str, Any]]:
    """The encoder of the queries and how they are joined with instructions."""
    if stored.index.reads == "texts":
        if config.instruction or config.instructions:
            raise InputError(
                "a BM25 index matches words, not instructions; leave --config.instruction out."
            )
        return None, {}
    if not config.model:
        raise InputError("--config.model is missing: the model whose embeddings the index holds.")
    together = isinstance(stored.index, ExactIndex)
    model, encoder, format = query_encoder(config, together=together)
    refuse_stale(stored, model)
    return encoder, {"order": format.instruction_order, "separator": format.separator}


def query_encoder(
    config: ConfigDict, *, together: bool = False
) -> tuple[Pretrained, Encoder, Format]:
    """The model that `config` names, its query tower ready, and the format its queries have.

    together: over the devices of all processes, which then encode the same queries.
    """
    mesh = distributed.make_mesh if together else distributed.local_mesh
    model = pretrained.load(config.model, dtype=config.compute_dtype)
    format = checked_format(
        model, order=config.instruction_order, separator=config.separator, force=config.force_format
    )
    encoder = Encoder(
        model,
        tower="query",
        max_length=config.query_length or format.query_length,
        tokens_per_batch=config.tokens_per_batch,
        mesh=mesh(dict(config.mesh)),
    )
    return model, encoder, format


def refuse_stale(stored: StoredIndex, model: Pretrained) -> None:
    """InputError: the index was made by another model, or its embeddings have changed since."""
    description = stored.description
    now = {
        "weights_sha256": model.document_sha256,
        "tokenizer": model.tokenizer.fingerprint(),
        "pooling": model.config.pooling,
        "normalize": model.config.normalize,
    }
    for name, value in now.items():
        if description[name] != value:
            what = name.replace("weights_sha256", "weights")
            raise InputError(
                f"stale embeddings: the index {stored.directory} was made with other {what}"
                f" ({str(description[name])[:12]}, {description['source']}) than {model.source} has"
                f" ({str(value)[:12]}); encode and index again with this model."
            )
    manifest = Path(description["embeddings"]) / MANIFEST
    if manifest.is_file() and io.sha256(manifest) != description["manifest_sha256"]:
        raise InputError(
            f"stale index: the embeddings in {manifest.parent} have changed since"
            f" {stored.directory} was built; run `tart-jax index` again."
        )


def _measured_recall(
    config: ConfigDict,
    stored: StoredIndex,
    encoder: Encoder | None,
    queries: list[Query],
    options: dict[str, Any],
) -> dict[str, float]:
    """What an approximate search finds of the exact one's hits, on a sample of the queries."""
    index = stored.index
    if config.approximate is None or encoder is None or not isinstance(index, ExactIndex):
        return {}
    sample = queries[:: max(1, len(queries) // RECALL_QUERIES)][:RECALL_QUERIES]
    joined = {name: options[name] for name in ("instruction", "order", "separator")}
    k = max(1, min(config.k, index.count))
    recall = index.measured_recall(embed(encoder, sample, **joined), k)
    logger.info(
        "Approximate search: recall@%d is %.4f on %d queries (aimed at %g)",
        k, recall, len(sample), config.approximate,
    )  # fmt: skip
    return {"approximate": config.approximate, "measured_recall": recall}


def _write_run(
    config: ConfigDict,
    workdir: Path,
    stored: StoredIndex,
    encoder: Encoder | None,
    queries: list[Query],
    options: dict[str, Any],
) -> None:
    recall = _measured_recall(config, stored, encoder, queries, options)
    start = time.perf_counter()
    path = workdir / "run.trec"
    # An Exact index lies on the devices of all processes: they answer every query together.
    together = isinstance(stored.index, ExactIndex)
    own = queries if together else parts.mine(queries, config.block_size)
    answers = retrieve(encoder, stored.index, stored.doc_ids, own, **options)
    main = distributed.is_main_process()
    with parts.writing(path, whole=together) as aside, aside.open("w", encoding="utf-8") as file:
        for query_id, hits in tqdm(
            answers, total=len(own), unit="query", desc="search", disable=None if main else True
        ):
            file.writelines(io.run_lines(query_id, hits, config.tag))
    if not main:
        return
    seconds = time.perf_counter() - start
    description = {
        "queries": str(Path(config.queries).resolve()),
        "count": len(queries),
        "index": str(stored.directory.resolve()),
        "factory": stored.description["factory"],
        "parameters": config.parameters,
        "weights_sha256": stored.description.get("weights_sha256"),
        "corpus_fingerprint": stored.description["corpus_fingerprint"],
        "seconds": round(seconds, 3),
        **recall,
        **options,
    }
    io.write_json(workdir / "run.json", description)
    logger.info("Answered %s queries in %.1f s: %s", f"{len(queries):,}", seconds, path)
