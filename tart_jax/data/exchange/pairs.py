"""Sentence-transformers' data: pairs, triplets, n-tuples and labelled pairs.

Files are JSON lines (objects or arrays), CSV, TSV or parquet. As in sentence-transformers, columns
count by their order unless query, positive and negatives are named; a column named label or score
makes labelled pairs.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from tart_jax import io
from tart_jax.data.examples import TrainingExample
from tart_jax.data.exchange import writers
from tart_jax.data.exchange.records import (
    EMPTY_QUERY,
    Item,
    Judged,
    Record,
    Rejected,
    grouped,
    shown,
)
from tart_jax.data.exchange.rows import read_rows
from tart_jax.data.exchange.writers import Exported
from tart_jax.types import Document, InputError

LABELS = ("label", "labels", "score", "scores")
EMPTY_DOCUMENT = "the document is empty"


class Columns(NamedTuple):
    """Which column is what; `label` is "" where the rows are no labelled pairs."""

    query: str
    positive: str
    negatives: tuple[str, ...]
    label: str


def read(
    path: str | Path,
    *,
    task: str,
    query: str = "",
    positive: str = "",
    negatives: Sequence[str] = (),
    label: str = "",
    threshold: float = 0.5,
) -> Iterator[Item]:
    """One example a row; labelled pairs of one query, where consecutive, are one example.

    A cell is a text or a list of texts. Names given: other columns are not read; no name given: by
    order. A labelled pair is relevant from `threshold` on.
    """
    return from_rows(
        read_rows(path),
        task,
        Columns(query, positive, tuple(negatives), label),
        threshold,
    )


def from_rows(
    rows: Iterable[tuple[str, Mapping[str, Any]]], task: str, given: Columns, threshold: float
) -> Iterator[Item]:
    if bool(given.query) != bool(given.positive):
        raise InputError(
            "name both columns, --config.options.query and --config.options.positive, or neither."
        )
    numbered = iter(rows)
    first = next(numbered, None)
    if first is None:
        return
    where, fields = first
    by_order = not given.query
    columns = _by_order(list(fields), where, given.label) if by_order else given

    def checked() -> Iterator[Record]:
        yield Record(fields, where)
        for place, row in numbered:
            if by_order and set(row) != set(fields):
                raise InputError(
                    f"{place} has the columns {shown(list(row))}, {where}"
                    f" {shown(list(fields))}; name the columns by --config.options.query, .positive"
                    " and .negatives."
                )
            yield Record(row, place)

    if columns.label:
        yield from grouped(_labelled(checked(), columns, threshold), task, negatives="negatives")
        return
    for record in checked():
        yield record.read(
            task,
            record.text(columns.query),
            positives=_documents(record, columns.positive),
            hard_negatives=[d for name in columns.negatives for d in _documents(record, name)],
        )


def _by_order(names: list[str], where: str, label: str) -> Columns:
    label = label or next((name for name in LABELS if name in names), "")
    texts = [name for name in names if name != label]
    if len(texts) < 2 or (label and len(texts) != 2):
        raise InputError(
            f"{where} has the columns {shown(names)}; a row needs a query and a positive, then"
            " negatives or a label."
        )
    return Columns(texts[0], texts[1], tuple(texts[2:]), label)


def _documents(record: Record, name: str) -> list[Document]:
    value = record.fields.get(name)
    texts = value if isinstance(value, list) else [value]
    clean = [record.clean(text, repr(name)) for text in texts]
    return [d for text in clean for d in record.document("", text)]


def _labelled(
    records: Iterable[Record], columns: Columns, threshold: float
) -> Iterator[Judged | Rejected]:
    for record in records:
        query, documents = record.text(columns.query), _documents(record, columns.positive)
        relevant = record.number(columns.label) >= threshold
        if not query.strip():
            yield Rejected(record.where, EMPTY_QUERY)
        elif not documents:
            yield Rejected(record.where, EMPTY_DOCUMENT)
        else:
            yield Judged(record, query, *((documents, []) if relevant else ([], documents)))


def write(path: Path, examples: Iterable[TrainingExample], *, num_negatives: int = 0) -> Exported:
    """JSON lines {anchor, positive, negative_1 ...}: one line a positive, titles before texts.

    All rows have `num_negatives` negatives, hardest kinds first; an example with fewer is left out
    and counted, for sentence-transformers wants the same columns in all rows.
    """
    exported = Exported()
    exported.records = io.write_jsonl(path, _tuples(examples, num_negatives, exported))
    return exported


def _tuples(
    examples: Iterable[TrainingExample], count: int, exported: Exported
) -> Iterator[dict[str, str]]:
    for example in exported.count(examples):
        negatives = writers.all_negatives(example)
        if len(negatives) < count:
            exported.lose("examples with fewer negatives than columns left out")
            continue
        if len(negatives) > count:
            exported.lose("negatives beyond the columns left out")
        if example.instruction is not None:
            exported.lose("instructions left out")
        if example.scores:
            exported.lose(writers.SCORES)
        for positive in example.positives:
            row = {"anchor": example.query, "positive": positive.contents()}
            for number, document in enumerate(negatives[:count], start=1):
                row[f"negative_{number}"] = document.contents()
            yield row
