"""TREC runs as candidates: the hits of a run that are not relevant become hard negatives."""

import math
from collections.abc import Iterator
from pathlib import Path

from tart_jax import io
from tart_jax.data import lookup
from tart_jax.data.exchange import beir
from tart_jax.data.exchange.records import EMPTY_QUERY, Item, Record, Rejected
from tart_jax.types import Document, InputError


def read(
    path: str | Path,
    *,
    task: str,
    corpus: str = "",
    queries: str = "",
    qrels: str = "",
    depth: int = 100,
    threshold: float = 1.0,
    top_as_positives: int = 0,
) -> Iterator[Item]:
    """One example a query of the run: its `depth` best hits, by score, and its judged documents.

    Judged with relevance >= threshold: positives, in the run or not. Hits judged between 0 and the
    threshold are neither; all other hits are hard negatives. top_as_positives: without judgements
    so many best hits are taken as positives.
    """
    if not corpus or not queries or not (qrels or top_as_positives):
        raise InputError(
            "a run needs --config.options.corpus and .queries (BEIR folders or files), and .qrels"
            " or .top_as_positives: without them no hit is a positive."
        )
    run = io.read_run(path)
    texts = lookup.queries_of(queries)
    judgements = io.read_qrels(qrels) if qrels else {}
    documents = lookup.of_corpus(corpus)
    for query_id, hits in run.items():
        record = Record({}, f"{path}: query {query_id}")
        query = texts.get(query_id)
        if query is None or not query.text.strip():
            yield Rejected(record.where, EMPTY_QUERY if query else beir.NO_QUERY)
            continue
        judged = judgements.get(query_id, {})
        ranked = sorted(hits, key=lambda hit: -hit.score)  # a file's order may be another
        ids = list(dict.fromkeys(hit.doc_id for hit in ranked))[:depth]
        if not qrels:
            judged = dict.fromkeys(ids[:top_as_positives], max(1, math.ceil(threshold)))
        relevant = {doc_id: grade for doc_id, grade in judged.items() if grade >= threshold}
        positives, _ = beir.sort_judged(record, relevant, documents, threshold)
        others = _not_relevant(record, ids, judged, threshold)
        yield record.read(
            task,
            record.clean(query.text, "'text'"),
            query_id=query_id,
            instruction=record.clean(query.instruction, "'instruction'") or None,
            positives=positives,
            hard_negatives=_found(record, others, documents),
        )


def _not_relevant(
    record: Record, ids: list[str], judged: dict[str, int], threshold: float
) -> list[str]:
    between = {doc_id for doc_id in ids if 0 < judged.get(doc_id, 0) < threshold}
    if between:
        record.changes.append("hits judged between 0 and the threshold left out")
    relevant = {doc_id for doc_id, grade in judged.items() if grade >= threshold}
    return [doc_id for doc_id in ids if doc_id not in relevant and doc_id not in between]


def _found(record: Record, ids: list[str], documents: lookup.ById) -> list[Document]:
    found: list[Document] = []
    for doc_id in ids:
        document = documents.get(doc_id)
        if document is None:
            raise InputError(
                f"{record.where}: the hit {doc_id!r} is not in the corpus; was another"
                " corpus searched?"
            )
        found += record.cleaned(document)
    return found
