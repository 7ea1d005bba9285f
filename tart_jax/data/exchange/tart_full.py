"""TART-full's training files: JSON lines {query, document, label}, label 1 for relevant.

The query is "instruction </s> query" (its builder) or "instruction [SEP] query" (its evaluation);
the document is "title text". Source: the TART repository, BERRI/create_tart_full_train_data.py.
"""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

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
    json_records,
    shown,
)
from tart_jax.data.exchange.tart_dual import NAN, Nan, joined, split
from tart_jax.data.exchange.writers import Exported
from tart_jax.types import InputError

EMPTY_DOCUMENT = "the document is empty"


def read(
    path: str | Path, *, task: str, separator: str = "", nan: Nan = "repair"
) -> Iterator[Item]:
    """Consecutive lines of one query become one example, whose negatives are of unknown kind.

    separator: "" takes </s> or [SEP], whichever a query holds first. A query none of whose lines
    has label 1 is rejected with all its lines.
    """
    return grouped(_rows(path, separator, nan), task, negatives="negatives")


def _rows(path: str | Path, separator: str, nan: Nan) -> Iterator[Judged | Rejected]:
    for where, value in json_records(path):
        record = Record(value, where)
        question = record.text("query")
        instruction, query = split(question, separator or _first(question), "instruction_first")
        label = relevance(record, "label")
        documents = record.document("", record.text("document"))
        if not query.strip():
            yield Rejected(where, EMPTY_QUERY)
            continue
        if not documents:
            yield Rejected(where, EMPTY_DOCUMENT)
            continue
        if instruction == "nan" and nan == "reject":
            yield Rejected(where, NAN)
            continue
        if instruction == "nan" and nan == "repair":
            instruction = ""
            record.changes.append(f"{NAN}: removed")
        positives, negatives = (documents, []) if label else ([], documents)
        yield Judged(record, query, positives, negatives, instruction)


def _first(question: str) -> str:
    places = {mark: question.find(f" {mark} ") for mark in ("</s>", "[SEP]")}
    there = [mark for mark in places if places[mark] >= 0]
    return min(there, key=places.__getitem__, default="")


def relevance(record: Record, name: str) -> bool:
    value = record.fields.get(name)
    if isinstance(value, bool) or value not in (0, 1, "0", "1"):
        raise InputError(
            f"{record.where} needs the field {name!r} with 0 or 1, not {shown(value)}."
        )
    return int(value) == 1


def write(
    path: Path,
    examples: Iterable[TrainingExample],
    *,
    separator: str = "[SEP]",
    negatives_per_positive: int = 4,
) -> Exported:
    """Every positive, then at most `negatives_per_positive` times as many negatives (TART: 4)."""
    exported = Exported()
    exported.records = io.write_jsonl(
        path, _lines(examples, separator, negatives_per_positive, exported)
    )
    return exported


def _lines(
    examples: Iterable[TrainingExample], separator: str, ratio: int, exported: Exported
) -> Iterator[dict[str, Any]]:
    for example in exported.count(examples):
        query = joined(example, separator, "instruction_first", exported)
        negatives = writers.all_negatives(example)
        kept = negatives[: ratio * len(example.positives)]
        if len(kept) < len(negatives):
            exported.lose("negatives beyond the ratio left out")
        if example.hard_negatives or example.unfollowing_negatives:
            exported.lose("kinds of negatives are not told apart")
        if example.scores:
            exported.lose(writers.SCORES)
        for label, documents in ((1, example.positives), (0, kept)):
            for document in documents:
                yield {"query": query, "document": document.contents(), "label": label}
