"""Layouts that several tasks share: JSON trees, parallel text files, DPR's passages."""

import contextlib
import fnmatch
import gzip
import zlib
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

from tart_jax import io
from tart_jax.data.berri import records
from tart_jax.data.berri.records import Made, Rows, Unreadable
from tart_jax.data.berri.task import Dropped, Instance, Text
from tart_jax.types import InputError


def tree_items(path: Path, place: str) -> Rows:
    """(number from 1, value) of each item of the list at `place` ("data.item") of one JSON value.

    A file without that list yields nothing.
    """
    import ijson

    return _streamed(path, lambda file: ijson.items(file, place, use_float=True))


def tree_members(path: Path) -> Rows:
    """(number from 1, (name, value)) of each member of one JSON object."""
    import ijson

    return _streamed(path, lambda file: ijson.kvitems(file, "", use_float=True))


def _streamed(path: Path, parse: Callable[[Any], Iterable[Any]]) -> Rows:
    import ijson

    number = 0
    with io.open_text(path) as file:
        try:
            for number, value in enumerate(parse(file.buffer), start=1):
                yield number, value
        except (ijson.JSONError, ValueError, EOFError, gzip.BadGzipFile, zlib.error) as error:
            said = str(error).partition("\n")[0].strip()  # the parser draws an arrow below
            raise InputError(
                f"{path}: what follows record {number} is not JSON ({said})."
            ) from error


def each(
    key: str, parts: Any, name: str, make: Callable[[str, Any], Made | Iterator[Made]]
) -> Iterator[Made]:
    """What `make(key, part)` makes of each part of a record; one that fails is dropped alone."""
    if not isinstance(parts, list):
        raise Unreadable(f"{name} is no list")
    for number, part in enumerate(parts, start=1):
        place = f"{key}.{number}"
        try:
            made = make(place, part)
            if isinstance(made, Iterator):
                yield from made
            else:
                yield made
        except Unreadable as reason:
            yield Dropped(place, str(reason))


def parallel_lines(files: tuple[Path, ...], query: str, document: str) -> Iterator[Made]:
    """Two text files, or two members of one zip archive, whose lines answer each other.

    query, document: patterns of their names. InputError when one has more lines than the other.
    """

    def make(key: str, pair: Any) -> Instance:
        texts = records.as_text(pair[0], "query"), records.as_text(pair[1], "document")
        return Instance(key, texts[0], (Text(texts[1]),))

    with contextlib.ExitStack() as stack:
        left, right = (_side(files, pattern, stack) for pattern in (query, document))
        yield from records.convert((left,), lambda path: _side_by_side(path, right), make)


def _side(files: tuple[Path, ...], pattern: str, stack: contextlib.ExitStack) -> Path:
    named = [path for path in files if fnmatch.fnmatchcase(path.name, pattern)]
    if len(named) == 1:
        return named[0]
    if len(files) == 1:
        members = stack.enter_context(contextlib.closing(records.members(files[0], pattern)))
        member = next(members)
        if member != files[0]:  # a file that is no archive is its own only member
            return member
    raise InputError(
        f"{', '.join(map(str, files))}: {len(named)} of these are named like {pattern!r} where one"
        " should be; give the two parallel files, or the archive that holds them."
    )


def _side_by_side(left: Path, right: Path) -> Rows:
    others = io.lines(right)
    number = 0
    for number, line in io.lines(left):
        other = next(others, None)
        if other is None:
            raise InputError(f"{right} ends after line {number - 1}, but {left} goes on.")
        yield number, (line, other[1])
    if next(others, None) is not None:
        raise InputError(f"{left} ends after line {number}, but {right} goes on.")


def dpr_passages(files: tuple[Path, ...]) -> Iterator[Made]:
    """DPR's training data: a JSON list of questions with passages that answer them or nearly do.

    `negative_ctxs` are left out: the builder draws random negatives from the corpus itself.
    """
    return records.convert(files, io.read_json_list, _dpr_question)


def _dpr_question(key: str, record: Any) -> Instance:
    query = records.text(record, "question")
    positives = _dpr_contexts(record, "positive_ctxs")
    if not positives:
        raise Unreadable("empty positive_ctxs")
    negatives = (
        _dpr_contexts(record, "hard_negative_ctxs") if "hard_negative_ctxs" in record else ()
    )
    return Instance(key, query, positives, negatives)


def _dpr_contexts(record: Any, field: str) -> tuple[Text, ...]:
    if field not in record:
        raise Unreadable(f"missing {field}")
    if not isinstance(record[field], list):
        raise Unreadable(f"{field} is no list")
    return tuple(
        Text(
            records.text(context, "text", f"text of {field}"),
            records.text_or_empty(context, "title"),
        )
        for context in record[field]
    )
