"""Texts that say the same: duplicate questions, sentences in simple words, compressed sentences."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tart_jax.data.berri import records
from tart_jax.data.berri.records import Made, Rows
from tart_jax.data.berri.task import Instance, Task, Text


def altlex(files: tuple[Path, ...]) -> Iterator[Made]:
    """English Wikipedia sentence -> its counterpart in Simple Wikipedia.

    Seven columns without header: a label (causal or not, unused), then the words before, in and
    after the causal connective, of the English and of the simple sentence. Pairs as JSON lines,
    the same data in another form, are read too.
    """
    return records.convert(files, _altlex_rows, _altlex)


def _altlex_rows(path: Path) -> Rows:
    if records.holds_json(path):
        return records.json_lines(path)
    # tuples: a line cut after its second cell must not be read as a pair
    return ((number, tuple(cells)) for number, cells in records.tsv_rows(path))


def _altlex(key: str, record: Any) -> Instance:
    if isinstance(record, tuple):
        _, *cells = records.columns(list(record), 7)
        english, simple = _sentence(cells[:3]), _sentence(cells[3:])
    else:
        english, simple = records.listed(record, 2)
    return Instance(
        key,
        records.as_text(english, "English sentence"),
        (Text(records.as_text(simple, "simple sentence")),),
    )


def _sentence(cells: list[str]) -> str:
    # a connective may open or close the sentence, so the cell beside it may be empty
    return " ".join(cell.strip() for cell in cells if cell.strip())


TASKS: tuple[Task, ...] = (
    Task(1, "altlex", "Wikipedia", "simplification", "sentence", altlex),
    Task(
        2, "stackexchange_title_title", "community forums", "duplicate questions", "title",
        records.pairs,
    ),
    Task(
        None, "stackexchange_body_body", "community forums", "duplicate questions", "question",
        records.pairs,
    ),
    Task(16, "sentence_compression", "news", "summarisation", "sentence", records.pairs),
)  # fmt: skip
