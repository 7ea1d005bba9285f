"""Texts that say the same: COCO captions of one image, duplicate questions (Quora, OQA)."""

import csv
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tart_jax import io
from tart_jax.data.berri import records
from tart_jax.data.berri.records import Made, Rows, Unreadable
from tart_jax.data.berri.task import Instance, Task, Text
from tart_jax.types import InputError

QUORA_COLUMNS = ["id", "qid1", "qid2", "question1", "question2", "is_duplicate"]


def quora(files: tuple[Path, ...]) -> Iterator[Made]:
    """Quora's own TSV of question pairs, or lines of duplicates `["question", "question"]`.

    Questions that are no duplicates are documents.
    """
    for path in files:
        yield from records.pairs((path,)) if records.holds_json(path) else _quora_tsv(path)


def _quora_tsv(path: Path) -> Iterator[Made]:
    def make(key: str, row: Any) -> Made | Iterator[Made]:
        _, _, _, first, second, duplicate = records.columns(row, len(QUORA_COLUMNS))
        texts = records.as_text(first, "question1"), records.as_text(second, "question2")
        if duplicate == "0":
            return map(Text, texts)
        if duplicate != "1":
            raise Unreadable("is_duplicate is neither 0 nor 1")
        return Instance(key, texts[0], (Text(texts[1]),))

    return records.convert((path,), _quora_rows, make)


def _quora_rows(path: Path) -> Rows:
    """CSV but for its tabs: a cell that holds quotes is itself quoted, and may hold line ends."""
    csv.field_size_limit(2**31 - 1)  # an unclosed quote is told by the end, not by a long cell
    reader = csv.reader((line + "\n" for _, line in io.lines(path)), delimiter="\t", strict=True)
    try:
        header = next(reader, None)
        if header != QUORA_COLUMNS:
            raise InputError(
                f"{path}: line 1 should name the columns {', '.join(QUORA_COLUMNS)}, not {header}."
            )
        for row in reader:
            yield reader.line_num, row
    except csv.Error as error:
        raise InputError(
            f"{path}: line {reader.line_num} is no row of cells between tabs ({error})."
        ) from error


TASKS: tuple[Task, ...] = (
    # lines `{"set": [...]}` of the captions of an image, as published
    Task(19, "coco_captions", "image captions", "paraphrase", "sentence", records.documented),
    Task(20, "quora", "community forums", "duplicate questions", "question", quora),
    Task(36, "oqa", "community forums", "duplicate questions", "question", records.sets),
)
