"""Stage `rerank`: a first stage's run and a scorer of pairs to a reranked run."""

import functools
import logging
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

from ml_collections import ConfigDict
from tqdm import tqdm

from tart_jax import distributed, io
from tart_jax.data import corpus, instructions, lookup
from tart_jax.data.instructions import Order
from tart_jax.encode.formats import checked_format
from tart_jax.models import pretrained_cross, seq2seq_scorer
from tart_jax.models.encoders import T5_LENGTH
from tart_jax.search import rerank
from tart_jax.search.partial import RUN, PartialFile
from tart_jax.search.rerank import Candidates, Reranking
from tart_jax.search.scorer import CrossScorer, PairScorer
from tart_jax.search.seq2seq import MonoT5Scorer, UPRScorer
from tart_jax.types import InputError

logger = logging.getLogger(__name__)


class Loaded(NamedTuple):
    """A scorer, how queries and instructions are joined for it, and what its scores depend on."""

    scorer: PairScorer
    order: Order
    separator: str
    identity: dict[str, Any]


def run(config: ConfigDict, workdir: Path) -> None:
    """Reranks `config.run` into `workdir/run.trec`; after a kill it continues."""
    _check(config, workdir)
    first_stage = _first_stage(config)
    instruction = instructions.one(config.instruction, config.instructions, config.task)
    queries = {query.query_id: query for query in corpus.read_queries(config.queries)}
    info = corpus.scan(config.corpus)
    documents = lookup.of_corpus(config.corpus)
    count = rerank.check(config.run, config.k, queries, documents)
    scorer, order, separator, of_model = load_scorer(config)
    options = Reranking(config.k, instruction, order, separator, config.interpolation)
    identity = {
        "kind": config.kind,
        **of_model,
        **asdict(options),
        "run": str(Path(config.run).resolve()),
        "run_sha256": io.sha256(config.run),
        "queries_file": str(Path(config.queries).resolve()),
        "queries_sha256": io.sha256(corpus.queries_file(config.queries)),
        "corpus": str(Path(config.corpus).resolve()),
        "corpus_fingerprint": info.fingerprint,
        "max_length": scorer.max_length,
        "block_size": config.block_size,  # with other batches scores differ in their last digits
        "tag": config.tag,
    }
    partial = PartialFile(workdir, identity, overwrite=config.overwrite)
    if partial.complete:
        logger.info("%s is there already, made from the same.", workdir / RUN)
        return
    candidates = rerank.read_candidates(config.run, config.k)
    blocks = rerank.rerank(
        scorer,
        islice(candidates, partial.queries, None),
        queries,
        documents,
        options,
        block_size=config.block_size,
    )
    _write(partial, blocks, scorer, config.tag, count)
    partial.finish({"first_stage": first_stage})
    rates = scorer.meter.rates()
    logger.info(
        "Reranked %s queries in %.0f s (%s pairs/s, %s of the tokens padding): %s",
        f"{count:,}",
        partial.seconds,
        rates["pairs/s"],
        rates["padding"],
        workdir / RUN,
    )


def _write(
    partial: PartialFile,
    blocks: Iterator[list[Candidates]],
    scorer: PairScorer,
    tag: str,
    count: int,
) -> None:
    start = time.perf_counter()
    with tqdm(
        total=count, initial=partial.queries, unit="query", desc="rerank", disable=None
    ) as progress:
        for block in blocks:
            lines = [line for found in block for line in io.run_lines(*found, tag)]
            seconds, start = time.perf_counter() - start, time.perf_counter()
            counts = {"pairs": len(lines)}
            partial.append(lines, queries=len(block), seconds=seconds, counts=counts)
            progress.update(len(block))
            progress.set_postfix(scorer.meter.rates(), refresh=False)


def _check(config: ConfigDict, workdir: Path) -> None:
    for name in ("run", "corpus", "queries", "model"):
        if not config[name]:
            raise InputError(
                f"--config.{name} is missing: reranking needs a run, the corpus and the queries"
                " that were searched, and a model."
            )
    io.existing(config.run, "run")
    if Path(config.run).resolve() == (workdir / RUN).resolve():
        raise InputError(f"{config.run} would be overwritten; choose another --workdir.")
    if config.kind not in KINDS:
        raise InputError(f"config.kind {config.kind!r} is not one of {', '.join(KINDS)}.")
    if not config.tag or len(config.tag.split()) > 1:
        raise InputError(f"config.tag {config.tag!r} should be one word: a run has six columns.")


def _first_stage(config: ConfigDict) -> dict[str, Any] | None:
    """What the run's own run.json says of its making; None where there is none."""
    path = Path(config.run).with_suffix(".json")
    found = io.read_json(path) if path.is_file() else None
    # BM25 is never given instructions, whatever was asked for.
    plain = found is None or found.get("factory") == "BM25" or found.get("instruction") == ""
    if config.plain_first_stage and found and not plain:
        raise InputError(
            f"{path} says that the first stage's instruction was {found['instruction']!r} (None:"
            " each query's own); search again with --config.instruction='', or say"
            " --config.plain_first_stage=False."
        )
    return found


def load_scorer(config: ConfigDict) -> Loaded:
    """The scorer that `config.model` and `config.kind` name. InputError: an unknown kind."""
    if config.kind not in KINDS:
        raise InputError(f"config.kind {config.kind!r} is not one of {', '.join(KINDS)}.")
    return KINDS[config.kind](config)


def _cross_encoder(config: ConfigDict) -> Loaded:
    model = pretrained_cross.load(config.model, dtype=config.compute_dtype)
    format = checked_format(
        model,
        order=config.instruction_order,
        separator=config.separator,
        force=config.force_format,
    )
    scorer = CrossScorer(
        model,
        max_length=config.max_length or format.max_length,
        tokens_per_batch=config.tokens_per_batch,
        mesh=distributed.make_mesh(dict(config.mesh)),
    )
    identity = {
        "weights_sha256": model.weights_sha256,
        "tokenizer": model.tokenizer.fingerprint(),
        "source": model.source,
        "start_token": format.start_token,
        "compute_dtype": config.compute_dtype,
        "tokens_per_batch": scorer.tokens_per_batch,
    }
    return Loaded(scorer, format.instruction_order, format.separator or "", identity)


def _seq2seq(config: ConfigDict, *, kind: type[MonoT5Scorer | UPRScorer]) -> Loaded:
    # Layers under a scan: a 3B of 48 layers would compile for minutes at every length.
    model = seq2seq_scorer.load(config.model, dtype=config.compute_dtype, scan=True)
    scorer = kind(
        model,
        max_length=config.max_length or T5_LENGTH,
        tokens_per_batch=config.tokens_per_batch,
        mesh=distributed.make_mesh(dict(config.mesh)),
    )
    identity = {
        "weights_sha256": model.weights_sha256,
        "tokenizer": model.tokenizer.fingerprint(),
        "source": model.source,
        "compute_dtype": config.compute_dtype,
        "tokens_per_batch": scorer.tokens_per_batch,
    }
    # Neither was trained to read instructions; where one is asked for it is joined as TART's.
    separator = "[SEP]" if config.separator is None else config.separator
    return Loaded(scorer, config.instruction_order or "instruction_first", separator, identity)


# What a model may be, and how it becomes a scorer of pairs.
KINDS: dict[str, Callable[[ConfigDict], Loaded]] = {
    "cross_encoder": _cross_encoder,
    "monot5": functools.partial(_seq2seq, kind=MonoT5Scorer),
    "upr": functools.partial(_seq2seq, kind=UPRScorer),
}
