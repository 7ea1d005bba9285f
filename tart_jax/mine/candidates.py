"""What a retriever finds for training queries: the raw material of negatives."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float

from tart_jax import io
from tart_jax.data.instructions import Order
from tart_jax.data.lookup import byte_lines
from tart_jax.encode.encoder import Encoder
from tart_jax.index import store
from tart_jax.index.base import Index
from tart_jax.index.store import StoredIndex
from tart_jax.models.pretrained import Pretrained
from tart_jax.search.retrieve import DocIds, embed
from tart_jax.search.run import refuse_stale
from tart_jax.types import InputError, Query, ScoredDocument

PLACE = "{task}"  # in a path: stands for the task, whose folder it is


@runtime_checkable
class Finder(Protocol):
    """Whatever gives the best documents of a task's corpus for each query, best first."""

    def __call__(
        self, task: str, queries: Sequence[Query], k: int, /
    ) -> list[list[ScoredDocument]]: ...


class QuerySide(NamedTuple):
    """What embeds queries, and how a query is joined with its instruction."""

    model: Pretrained
    encoder: Encoder
    order: Order
    separator: str


class Embedded:
    """Queries to their embeddings; those of the last call are kept, for the next corpus."""

    def __init__(self, side: QuerySide):
        self._side = side
        self._asked: list[Query] = []
        self._vectors: Any = None

    def __call__(self, queries: Sequence[Query]) -> Float[np.ndarray, "b d"]:
        if list(queries) != self._asked:
            self._asked = list(queries)
            _, encoder, order, separator = self._side
            self._vectors = embed(encoder, queries, None, order=order, separator=separator)
        return self._vectors


def found(index: Index, doc_ids: DocIds, asked: Any, k: int) -> list[list[ScoredDocument]]:
    """The k best documents for each of what the index reads, best first."""
    scores, positions = index.search(asked, min(k, max(index.count, 1)))
    return [
        [
            ScoredDocument(doc_ids[int(place)], float(score))
            for score, place in zip(*row, strict=True)
            if place >= 0
        ]
        for row in zip(scores, positions, strict=True)
    ]


class IndexFinder:
    """Searches one index, or each task's own: `path` with "{task}" in it. Indexes stay open.

    side: None for BM25, which reads the query's text alone.
    """

    def __init__(self, path: str, side: QuerySide | None):
        self._path, self._side = path, side
        self._embedded = side and Embedded(side)
        self._open: dict[str, StoredIndex] = {}

    def stored(self, task: str) -> StoredIndex:
        """The index of a task. InputError: none there, or of another model."""
        path = self._path.replace(PLACE, task)
        if path not in self._open:
            stored = store.open(path)
            if stored.index.reads == "vectors":
                if self._side is None:
                    raise InputError(
                        f"{path} holds embeddings; name the model that made them:"
                        " --config.retriever.model."
                    )
                refuse_stale(stored, self._side.model)
            self._open[path] = stored
        return self._open[path]

    def __call__(
        self, task: str, queries: Sequence[Query], k: int, /
    ) -> list[list[ScoredDocument]]:
        stored = self.stored(task)
        asked: Any = [query.text for query in queries]
        if stored.index.reads == "vectors":
            assert self._embedded is not None  # `stored` has refused it
            asked = self._embedded(queries)
        return found(stored.index, stored.doc_ids, asked, k)


class RunFinder:
    """Reads a TREC run, or each task's own, where the queries' lines begin."""

    def __init__(self, path: str):
        self._path = path
        self._starts: dict[str, dict[str, int]] = {}

    def _lines(self, path: str) -> dict[str, int]:
        if path not in self._starts:
            starts: dict[str, int] = {}
            last = ""
            for where, begin, line in byte_lines(io.existing(path, "run")):
                query_id, _ = io.run_hit(line, where)  # a bad line is told before any mining
                if query_id != last and query_id in starts:
                    raise InputError(
                        f"{where}: query {query_id!r} comes twice, with others between; sort the"
                        " run by query: sort -s -k1,1 RUN"
                    )
                starts.setdefault(query_id, begin)
                last = query_id
            self._starts[path] = starts
        return self._starts[path]

    def __call__(
        self, task: str, queries: Sequence[Query], k: int, /
    ) -> list[list[ScoredDocument]]:
        path = self._path.replace(PLACE, task)
        starts = self._lines(path)
        return [self._hits(Path(path), starts.get(query.query_id), k) for query in queries]

    def _hits(self, path: Path, begin: int | None, k: int) -> list[ScoredDocument]:
        """A query without a line found nothing: it has no hits."""
        hits: list[ScoredDocument] = []
        if begin is None:
            return hits
        first = ""
        with path.open("rb") as file:
            file.seek(begin)
            for line in file:
                if not line.strip():
                    continue
                query_id, hit = io.run_hit(line.decode("utf-8"), str(path))
                first = first or query_id
                if query_id != first:
                    break
                hits.append(hit)
        return sorted(hits, key=lambda hit: -hit.score)[:k]


class FusedFinder:
    """Several finders as one, by reciprocal rank fusion (Cormack et al., SIGIR 2009)."""

    def __init__(self, finders: Sequence[Finder], constant: float = 60.0):
        self._finders, self._constant = list(finders), constant

    def __call__(
        self, task: str, queries: Sequence[Query], k: int, /
    ) -> list[list[ScoredDocument]]:
        lists = [finder(task, queries, k) for finder in self._finders]
        return [self._fused(ranked)[:k] for ranked in zip(*lists, strict=True)]

    def _fused(self, ranked: Sequence[list[ScoredDocument]]) -> list[ScoredDocument]:
        """A document's score is the sum of 1 / (constant + rank) over the lists that have it."""
        scores: dict[str, float] = {}
        for hits in ranked:
            for rank, hit in enumerate(hits, start=1):
                scores[hit.doc_id] = scores.get(hit.doc_id, 0.0) + 1 / (self._constant + rank)
        # A sort of equal scores keeps the first finder's order.
        return [ScoredDocument(*item) for item in sorted(scores.items(), key=lambda item: -item[1])]
