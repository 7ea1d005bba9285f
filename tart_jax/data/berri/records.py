"""From raw records to instances; irregular records become `Dropped`, with the reason.

A record that cannot be an instance is dropped and counted. A file of which no record can be read
is another file than the task needs: an InputError, as is one that is broken at some line.
"""

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from tart_jax.data.berri.raw_files import (  # the readers that a converter hands to `convert`
    Rows,
    csv_rows,
    holds_json,
    json_lines,
    members,
    tsv_rows,
)
from tart_jax.data.berri.task import Dropped, Instance, Text
from tart_jax.types import InputError

__all__ = [
    "Made", "Rows", "Unreadable", "as_text", "columns", "convert", "csv_rows", "documented",
    "holds_json", "json_lines", "listed", "members", "objects", "own_key", "pairs",
    "query_triplets", "sets", "text", "text_or_empty", "texts", "triplets", "tsv_rows",
]  # fmt: skip

PATIENCE = 1000  # dropped records at the head of a file, none read, after which it is refused

Made = Instance | Text | Dropped
Make = Callable[[str, Any], Made | Iterator[Made]]


class Unreadable(Exception):
    """This record gives no instance; the message is the reason of its `Dropped`.

    Keep values out of the message: reasons are counted.
    """


def convert(
    files: tuple[Path, ...], rows: Callable[[Path], Rows], make: Make, *, inside: str = "*"
) -> Iterator[Made]:
    """What `make(key, record)` makes of each record of `rows(file)`, file by file.

    make: returns one thing or generates several, and raises `Unreadable` for what is left out.
    inside: of a zip archive, the members whose names match are read.
    InputError when a file is empty, or its first 1,000 records (or all) are dropped.
    """
    for path in files:
        with contextlib.closing(members(path, inside)) as unpacked:
            for file in unpacked:
                yield from _convert(file, rows, make)


def _convert(file: Path, rows: Callable[[Path], Rows], make: Make) -> Iterator[Made]:
    dropped, read, number = 0, False, 0
    first = ""
    for number, record in rows(file):
        for made in _made(f"{file.name}:{number}", record, make):
            if isinstance(made, Dropped):
                dropped += 1
                first = first or f"line {number}: {made.reason}"
            else:
                read = True
            yield made
        if dropped >= PATIENCE and not read:
            break
    if not number:
        raise InputError(f"{file} holds no record; was it downloaded completely?")
    if dropped and not read:
        raise InputError(
            f"{file}: {first}; none of the {dropped} records up to line {number} can be read."
            " Is it the file that the task needs?"
        )


def _made(key: str, record: Any, make: Make) -> Iterator[Made]:
    try:
        made = make(key, record)
        if isinstance(made, Instance | Text | Dropped):
            yield made
        else:
            yield from made
    except Unreadable as reason:
        yield Dropped(key, str(reason))


def text(record: Any, field: str | int, name: str = "") -> str:
    """The text of a field of an object, or of a place in a row; `name` is what reasons call it."""
    name = name or str(field)
    return as_text(_value(record, field, name), name)


def as_text(value: Any, name: str) -> str:
    """The value, a text that is not blank; NUL counts as blank."""
    if value is None:
        raise Unreadable(f"missing {name}")
    if not isinstance(value, str):
        raise Unreadable(f"{name} is no text")
    if not value.replace("\0", "").strip():
        raise Unreadable(f"empty {name}")
    try:
        value.encode()
    except UnicodeEncodeError:  # JSON can write half a surrogate pair; no UTF-8 file can hold it
        raise Unreadable(f"{name} is broken Unicode") from None
    return value


def text_or_empty(record: Any, field: str | int) -> str:
    """The text of a field that may be absent, null or blank; anything else is unreadable."""
    try:
        value = record[field]
    except (LookupError, TypeError):
        return ""
    if value is None or (isinstance(value, str) and not value.strip()):
        return ""
    return as_text(value, str(field))


def texts(record: Any, field: str | int, name: str = "") -> tuple[str, ...]:
    """The texts of a list field; an empty list is fine, a list with anything but texts is not."""
    name = name or str(field)
    values = _value(record, field, name)
    if not isinstance(values, list):
        raise Unreadable(f"{name} is no list")
    return tuple(as_text(value, name) for value in values)


def _value(record: Any, field: str | int, name: str) -> Any:
    by_name = isinstance(field, str)
    if not isinstance(record, dict if by_name else list):
        raise Unreadable("no object" if by_name else "no list")
    holder: Any = record
    try:
        return holder[field]
    except LookupError:
        raise Unreadable(f"missing {name}") from None


def own_key(record: Any, field: str, place: str) -> str:
    """The source's own id, or the place in the file for a record that lacks one."""
    value = record.get(field) if isinstance(record, dict) else None
    usable = isinstance(value, str | int) and not isinstance(value, bool) and str(value).strip()
    return str(value) if usable else place


def columns(record: Any, count: int) -> list[Any]:
    """The row itself when it has that many cells."""
    if not isinstance(record, list) or len(record) != count:
        given = len(record) if isinstance(record, list) else "no"
        raise Unreadable(f"{given} columns instead of {count}")
    return record


def listed(record: Any, count: int) -> list[Any]:
    """The JSON list itself when it has that many items."""
    if not isinstance(record, list):
        raise Unreadable("no list")
    if len(record) != count:
        raise Unreadable(f"{len(record)} texts instead of {count}")
    return record


# The line forms that sentence-transformers/embedding-training-data documents.


def pairs(files: tuple[Path, ...], *, flipped: bool = False) -> Iterator[Made]:
    """Lines `["query", "document"]`, or `["document", "query"]` when `flipped`."""
    return convert(files, json_lines, _flipped_pair if flipped else _pair)


def triplets(files: tuple[Path, ...]) -> Iterator[Made]:
    """Lines `["query", "document", "hard negative"]`."""
    return convert(files, json_lines, _triplet)


def sets(files: tuple[Path, ...]) -> Iterator[Made]:
    """Lines `{"set": [...]}`: the first text is the query, the others are its positives."""
    return convert(files, json_lines, _set)


def query_triplets(files: tuple[Path, ...]) -> Iterator[Made]:
    """Lines `{"query": ..., "pos": [...], "neg": [...]}`; without "neg", no hard negatives."""
    return convert(files, json_lines, _query_triplet)


def documented(files: tuple[Path, ...]) -> Iterator[Made]:
    """Lines of any of these forms, for files of which it is not documented which one they have."""

    def make(key: str, record: Any) -> Instance:
        if isinstance(record, dict):
            return _set(key, record) if "set" in record else _query_triplet(key, record)
        triple = isinstance(record, list) and len(record) == 3
        return _triplet(key, record) if triple else _pair(key, record)

    return convert(files, json_lines, make)


def objects(
    files: tuple[Path, ...],
    *,
    query: str,
    document: str,
    title: str | None = None,
    key: str | None = None,
) -> Iterator[Made]:
    """Lines of objects with one query and one document, by the names of their fields.

    title: a field of the document that may be absent. key: the source's own id, text or number.
    """

    def make(place: str, record: Any) -> Instance:
        return Instance(
            own_key(record, key, place) if key else place,
            text(record, query),
            (Text(text(record, document), text_or_empty(record, title) if title else ""),),
        )

    return convert(files, json_lines, make)


def _pair(key: str, record: Any) -> Instance:
    query, document = listed(record, 2)
    return Instance(key, as_text(query, "query"), (Text(as_text(document, "document")),))


def _flipped_pair(key: str, record: Any) -> Instance:
    return _pair(key, listed(record, 2)[::-1])


def _triplet(key: str, record: Any) -> Instance:
    query, document, negative = map(as_text, listed(record, 3), ("query", "document", "negative"))
    return Instance(key, query, (Text(document),), (Text(negative),))


def _set(key: str, record: Any) -> Instance:
    together = texts(record, "set")
    if len(together) < 2:
        raise Unreadable("set of fewer than 2")
    return Instance(key, together[0], tuple(map(Text, together[1:])))


def _query_triplet(key: str, record: Any) -> Instance:
    query, positives = text(record, "query"), texts(record, "pos")
    if not positives:
        raise Unreadable("empty pos")
    negatives = texts(record, "neg") if "neg" in record else ()
    return Instance(key, query, tuple(map(Text, positives)), tuple(map(Text, negatives)))
