"""A run scored again: the k best documents of each query, read together with it."""

import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import groupby, islice
from operator import itemgetter
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from tart_jax import io
from tart_jax.data.instructions import Order, join
from tart_jax.data.lookup import ById
from tart_jax.search.scorer import Pair, PairScorer
from tart_jax.types import InputError, Query, ScoredDocument


class Candidates(NamedTuple):
    """The hits of one query of a run, best first."""

    query_id: str
    hits: list[ScoredDocument]


@dataclass(frozen=True)
class Reranking:
    """How a run is reranked.

    k: documents of each query that are scored; no others are in the result. instruction: one text
    for all queries; None: each query's own; "": none at all. order, separator: see
    `instructions.join`. interpolation: None: the scorer's scores alone; 0 to 1: its weight beside
    the first stage's scores, both scaled to 0 to 1 within each query.
    """

    k: int = 100
    instruction: str | None = None
    order: Order = "instruction_first"
    separator: str = "[SEP]"
    interpolation: float | None = None

    def __post_init__(self) -> None:
        if self.k < 1:
            raise InputError(
                f"k {self.k} is not positive; it is the number of documents reranked per query."
            )
        if self.interpolation is not None and not 0 <= self.interpolation <= 1:
            raise InputError(
                f"interpolation {self.interpolation} is not within 0 to 1; it is the reranker's"
                " weight, None for its scores alone."
            )

    def asked(self, query: Query) -> str:
        """What the scorer reads as the query."""
        instruction = query.instruction if self.instruction is None else self.instruction
        return join(query.text, instruction, order=self.order, separator=self.separator)


def read_candidates(path: str | Path, k: int) -> Iterator[Candidates]:
    """The k best hits of each query of a TREC run, by score and then by line, query by query.

    Only one query is in memory. InputError: a line that is none of a run, a query whose lines do
    not follow each other, a document twice under a query, no line at all.
    """
    seen: set[str] = set()
    for query_id, rows in groupby(_lines(path), key=itemgetter(0)):
        if query_id in seen:
            raise InputError(
                f"{path}: query {query_id!r} comes twice, with others between; sort the run by"
                " query: sort -s -k1,1 RUN"
            )
        seen.add(query_id)
        hits = [hit for _, hit in rows]
        if len({hit.doc_id for hit in hits}) < len(hits):
            raise InputError(f"{path}: query {query_id!r} has a document twice; leave one of them.")
        yield Candidates(query_id, sorted(hits, key=lambda hit: -hit.score)[:k])
    if not seen:
        raise InputError(f"{path} holds no hit; did the search finish?")


def _lines(path: str | Path) -> Iterator[tuple[str, ScoredDocument]]:
    for number, line in io.lines(path):
        if line.strip():
            yield io.run_hit(line, f"{path}: line {number}")


def check(path: str | Path, k: int, queries: Mapping[str, Query], documents: ById) -> int:
    """Reads a run once and refuses what would fail hours later; how many queries there are."""
    count = 0
    for query_id, hits in read_candidates(path, k):
        if query_id not in queries:
            raise InputError(
                f"{path}: query {query_id!r} is not among the {len(queries)} queries; name the"
                " queries that were searched."
            )
        for doc_id in documents.absent([hit.doc_id for hit in hits])[:1]:
            raise _no_document(doc_id, query_id)
        count += 1
    return count


def rerank(
    scorer: PairScorer,
    candidates: Iterable[Candidates],
    queries: Mapping[str, Query],
    documents: ById,
    options: Reranking,
    *,
    block_size: int = 16,
) -> Iterator[list[Candidates]]:
    """Blocks of `block_size` queries with their k documents by the new scores, best first.

    Equal scores keep the order of the first stage. In memory are one block's texts, and no other.
    InputError: an unknown query or document, scores that are no numbers.
    """
    if block_size < 1:
        raise InputError(f"block_size {block_size} is not positive; 16 queries are usual.")
    stream = iter(candidates)
    while block := [
        Candidates(query_id, hits[: options.k]) for query_id, hits in islice(stream, block_size)
    ]:
        scores = scorer.score(_pairs(block, queries, documents, options))
        ends = np.cumsum([len(hits) for _, hits in block])
        yield [
            _reordered(found, part, options.interpolation)
            for found, part in zip(block, np.split(scores, ends[:-1]), strict=True)
        ]


def _pairs(
    block: list[Candidates], queries: Mapping[str, Query], documents: ById, options: Reranking
) -> list[Pair]:
    texts = documents.many(list({hit.doc_id for _, hits in block for hit in hits}))
    pairs = []
    for query_id, hits in block:
        if query_id not in queries:
            raise InputError(f"the run's query {query_id!r} is not among the queries.")
        asked = options.asked(queries[query_id])
        for hit in hits:
            if hit.doc_id not in texts:
                raise _no_document(hit.doc_id, query_id)
            pairs.append((asked, texts[hit.doc_id].contents()))
    return pairs


def _no_document(doc_id: str, query_id: str) -> InputError:
    return InputError(
        f"document {doc_id!r}, a hit of query {query_id!r}, is not in the corpus; name the corpus"
        " that was searched."
    )


def _reordered(
    found: Candidates, scores: Float[np.ndarray, " n"], weight: float | None
) -> Candidates:
    query_id, hits = found
    for hit, score in zip(hits, scores, strict=True):
        if not (math.isfinite(score) and math.isfinite(hit.score)):
            raise InputError(
                f"query {query_id!r}, document {hit.doc_id!r}: the scores {hit.score} (first stage)"
                f" and {score} (reranker) should be finite; did the training diverge?"
            )
    if weight is not None:
        first = np.array([hit.score for hit in hits])
        mixed = weight * scaled(scores.astype(np.float64)) + (1 - weight) * scaled(first)
        scores = mixed.astype(np.float32)
    order = np.argsort(-scores, kind="stable")
    return Candidates(
        query_id, [ScoredDocument(hits[place].doc_id, float(scores[place])) for place in order]
    )


def scaled(scores: Float[np.ndarray, " n"]) -> Float[np.ndarray, " n"]:
    """To 0 (the least) to 1 (the greatest); equal scores say nothing, and all become 0."""
    low, high = scores.min(initial=np.inf), scores.max(initial=-np.inf)
    return (scores - low) / (high - low) if high > low else np.zeros_like(scores)
