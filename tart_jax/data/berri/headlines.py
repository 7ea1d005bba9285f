"""Headlines, and the summary or the body of their news."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tart_jax.data.berri import records
from tart_jax.data.berri.records import Made, Rows, Unreadable
from tart_jax.data.berri.task import Instance, Task, Text

HEADER = ("Class Index", "Title", "Description")  # some copies of the CSV have it


def agnews(files: tuple[Path, ...]) -> Iterator[Made]:
    """Title -> description.

    CSV of class, title, description; JSON lines of objects with "title" and "description", or of
    pairs of these, are read too.
    """
    return records.convert(files, _rows, _agnews)


def _rows(path: Path) -> Rows:
    if records.holds_json(path):
        return records.json_lines(path)
    # tuples: a row that lacks its description must not be read as a pair
    return ((number, tuple(cells)) for number, cells in records.csv_rows(path))


def _agnews(key: str, record: Any) -> Instance:
    if isinstance(record, dict):
        title = records.text(record, "title")
        return Instance(key, title, (Text(records.text(record, "description")),))
    if record == HEADER:
        raise Unreadable("header")
    if isinstance(record, tuple):
        _, title, description = records.columns(list(record), 3)
    else:
        title, description = records.listed(record, 2)
    return Instance(
        key,
        records.as_text(title, "title"),
        (Text(records.as_text(description, "description")),),
    )


TASKS: tuple[Task, ...] = (
    Task(9, "agnews", "news", "summarisation", "sentence", agnews),
    Task(10, "npr", "news", "summarisation", "paragraph", records.pairs),
)
