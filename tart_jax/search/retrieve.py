"""Queries to ranked documents, in blocks."""

from collections.abc import Iterator, Sequence
from itertools import islice
from typing import Any, NamedTuple, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float

from tart_jax.data.instructions import Order, join
from tart_jax.encode.encoder import Encoder
from tart_jax.index.base import Index
from tart_jax.types import InputError, Query, ScoredDocument


@runtime_checkable
class DocIds(Protocol):
    """Document ids by position; a list, or a table on disk."""

    def __len__(self) -> int: ...

    def __getitem__(self, index: int, /) -> str: ...


class Hit(NamedTuple):
    """One hit, with its document's position in the corpus."""

    position: int
    doc_id: str
    score: float


def retrieve(
    encoder: Encoder | None,
    index: Index,
    doc_ids: DocIds,
    queries: Sequence[Query],
    *,
    k: int,
    instruction: str | None = None,
    order: Order = "instruction_first",
    separator: str = "[SEP]",
    block_size: int = 1024,
    drop_self: bool = False,
) -> Iterator[tuple[str, list[ScoredDocument]]]:
    """(query_id, the k best documents) of each query, best first, ties by document order.

    instruction: one text for all queries; None: each query's own; "" for none at all. An index that
    reads texts (BM25) gets the queries without instructions, which are no keywords, and needs no
    encoder. drop_self: leave out the document that has the query's own id (BEIR's rule).
    """
    ranked = rank(
        encoder,
        index,
        doc_ids,
        queries,
        k=k,
        instruction=instruction,
        order=order,
        separator=separator,
        block_size=block_size,
        drop_self=drop_self,
    )
    for query, hits in ranked:
        yield query.query_id, [ScoredDocument(hit.doc_id, hit.score) for hit in hits]


def embed(
    encoder: Encoder,
    queries: Sequence[Query],
    instruction: str | None,
    *,
    order: Order = "instruction_first",
    separator: str = "[SEP]",
) -> Float[np.ndarray, "b d"]:
    """Embeddings of queries, each joined with the instruction, or with its own where it is None."""
    return encoder.encode(
        [
            join(
                query.text,
                query.instruction if instruction is None else instruction,
                order=order,
                separator=separator,
            )
            for query in queries
        ]
    )


def rank(
    encoder: Encoder | None,
    index: Index,
    doc_ids: DocIds,
    queries: Sequence[Query],
    *,
    k: int,
    instruction: str | None = None,
    order: Order = "instruction_first",
    separator: str = "[SEP]",
    block_size: int = 1024,
    drop_self: bool = False,
) -> Iterator[tuple[Query, list[Hit]]]:
    """As `retrieve`, with the positions of the hits, by which a corpus gives their texts."""
    if k < 1:
        raise InputError(f"k {k} is not positive; it is the number of documents per query.")
    if index.reads == "vectors" and encoder is None:
        raise ValueError("an index of vectors needs an encoder.")
    wanted = min(k + drop_self, max(index.count, 1))
    for begin in range(0, len(queries), block_size):
        block = queries[begin : begin + block_size]
        asked: Any = [query.text for query in block]
        if encoder is not None and index.reads == "vectors":
            asked = embed(encoder, block, instruction, order=order, separator=separator)
        for query, *found in zip(block, *index.search(asked, wanted), strict=True):
            hits = (
                Hit(int(position), doc_ids[int(position)], float(score))
                for score, position in zip(*found, strict=True)
                if position >= 0
            )
            kept = (hit for hit in hits if not (drop_self and hit.doc_id == query.query_id))
            yield query, list(islice(kept, k))
