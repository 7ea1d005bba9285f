"""MS MARCO's triples: lines of query, positive and negative text, or of three ids.

Lines are separated by tabs, without header: triples of texts alone, or triples of ids together with
collection.tsv (id, text) and queries.tsv (id, text).
"""

from array import array
from collections.abc import Iterator
from pathlib import Path

from tart_jax.data.exchange.records import (
    EMPTY_QUERY,
    Item,
    Judged,
    Record,
    Rejected,
    grouped,
    text_lines,
)
from tart_jax.data.lookup import ById, byte_lines, line_at
from tart_jax.types import Document, InputError

EMPTY_DOCUMENT = "a document is empty"


def read(path: str | Path, *, task: str, corpus: str = "", queries: str = "") -> Iterator[Item]:
    """Consecutive lines of one query become one example with hard negatives.

    corpus, queries: MS MARCO's collection.tsv and queries.tsv, for triples of ids; 16 bytes a
    passage and all queries are in memory. An id that they lack is an InputError.
    """
    if bool(corpus) != bool(queries):
        raise InputError(
            "triples of ids need both --config.options.corpus (collection.tsv) and"
            " --config.options.queries (queries.tsv); triples of texts need neither."
        )
    rows = _by_id(path, corpus, queries) if corpus else _texts(path)
    return grouped(rows, task, negatives="hard_negatives")


def _fields(path: str | Path, count: int, what: str) -> Iterator[tuple[str, list[str]]]:
    for where, line in text_lines(path):
        fields = line.split("\t")
        if len(fields) != count:
            raise InputError(
                f"{where} should be {what} between tabs, not {len(fields)} columns: {line[:60]!r}."
            )
        yield where, fields


def _texts(path: str | Path) -> Iterator[Judged | Rejected]:
    for where, fields in _fields(path, 3, "query, positive and negative"):
        record = Record({}, where)
        query, positive, negative = (record.clean(field, "'text'") for field in fields)
        positives, negatives = record.document("", positive), record.document("", negative)
        if not query.strip():
            yield Rejected(where, EMPTY_QUERY)
        elif not positives or not negatives:
            yield Rejected(where, EMPTY_DOCUMENT)
        else:
            yield Judged(record, query, positives, negatives)


def _by_id(path: str | Path, corpus: str, queries: str) -> Iterator[Judged | Rejected]:
    passages = _collection(Path(corpus))
    texts = {fields[0]: fields[1] for _, fields in _fields(queries, 2, "id and text")}
    for where, (query_id, *doc_ids) in _fields(path, 3, "query id, positive id and negative id"):
        record = Record({}, where)
        if query_id not in texts:
            raise InputError(f"{where}: the query {query_id!r} is not in {queries}.")
        found = [passages.get(doc_id) for doc_id in doc_ids]
        documents: list[Document] = []
        for doc_id, passage in zip(doc_ids, found, strict=True):
            if passage is None:
                raise InputError(f"{where}: the passage {doc_id!r} is not in {corpus}.")
            text = record.clean(passage.text, "'text'")
            documents += record.document("", text, passage.doc_id)
        query = record.clean(texts[query_id], "'text'")
        if not query.strip():
            yield Rejected(where, EMPTY_QUERY)
        elif len(documents) < 2:
            yield Rejected(where, EMPTY_DOCUMENT)
        else:
            yield Judged(record, query, documents[:1], documents[1:], query_id=query_id)


def _collection(path: Path) -> ById:
    begins = array("q")

    def ids() -> Iterator[str]:
        for where, begin, line in byte_lines(path):
            begins.append(begin)
            yield _passage(line, where).doc_id

    def fetch(positions: list[int]) -> dict[int, Document]:
        return {p: _passage(line_at(path, begins[p]), f"{path}: record {p + 1}") for p in positions}

    return ById(ids(), fetch, path)


def _passage(line: str, where: str) -> Document:
    fields = line.split("\t")
    if len(fields) != 2 or not fields[0].strip():
        raise InputError(f"{where} should be id and text between a tab, not {line[:60]!r}.")
    return Document(*fields)
