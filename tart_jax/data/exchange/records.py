"""What all readers share: records of files with their places, checked fields, and what they yield.

A reader yields one `Read` or one `Rejected` for each record (or group of records) of its file.
Malformed records are InputErrors; records that a stated rule drops are `Rejected`.
"""

import contextlib
import gzip
import hashlib
import itertools
import json
import math
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from tart_jax import io
from tart_jax.data.examples import TrainingExample
from tart_jax.types import Document, InputError

SCORE = "ce_score"  # TART's name for a cross-encoder's score of a context
ID_NAMES = ("doc_id", "docid", "passage_id", "psg_id", "id", "_id")
EMPTY_QUERY = "the query is empty"
NO_POSITIVE = "it has no positive document"


class Read(NamedTuple):
    """An example, how many records of the file went into it, and what was changed on the way."""

    example: TrainingExample
    records: int = 1
    changes: tuple[str, ...] = ()


class Rejected(NamedTuple):
    """Records dropped by a rule of the format: the place of the first, and the rule."""

    where: str
    reason: str
    records: int = 1


Item = Read | Rejected


def content_id(title: str, text: str) -> str:
    """20 hex digits from a document's content; white space does not count."""
    content = " ".join(title.split()) + "\0" + " ".join(text.split())
    return hashlib.blake2b(content.encode("utf-8"), digest_size=10).hexdigest()


def shown(value: Any) -> str:
    """A value for an error message: short, whatever it is."""
    try:
        return repr(value[:60] if isinstance(value, str) else value)[:80]
    except (RecursionError, ValueError):  # nested by the thousand; integers of 4,300 digits
        return f"a huge {type(value).__name__}"


def json_records(path: str | Path) -> Iterator[tuple[str, Any]]:
    """(place, value) of JSON lines or of one JSON list, told apart by the first character.

    A file named .jsonl is always lines. TART-full's .json files are lines, too. A record that
    cannot be read is an InputError with its number.
    """
    path = Path(path)
    if not path.name.removesuffix(".gz").endswith(".jsonl") and _first_character(path) == "[":
        return _list_items(path)
    return _line_values(path)


def text_lines(path: str | Path) -> Iterator[tuple[str, str]]:
    """(place, line) of the lines that are not blank."""
    for number, line in io.lines(path):
        if line.strip():
            yield f"{path}: line {number}", line


def _first_character(path: Path) -> str:
    try:
        with io.open_text(path) as file:
            return file.read(4096).lstrip("\ufeff \t\r\n")[
                :1
            ]  # a list may be one line of gigabytes
    except (UnicodeDecodeError, EOFError, gzip.BadGzipFile, zlib.error):
        return ""  # whoever reads the lines says which one is broken


def _list_items(path: Path) -> Iterator[tuple[str, Any]]:
    number = 0
    try:
        for number, item in io.read_json_list(path):
            yield f"{path}: record {number}", item
    except (RecursionError, gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise InputError(f"{path}: record {number + 1} cannot be read ({error}).") from error


def _line_values(path: Path) -> Iterator[tuple[str, Any]]:
    for where, line in text_lines(path):
        try:
            yield where, json.loads(line)
        except (ValueError, RecursionError) as error:
            raise InputError(f"{where} is not JSON ({error}): {line[:80]!r}.") from error


class Record:
    """One object of a file: fields are checked when they are asked for, changes are noted."""

    def __init__(self, value: Any, where: str):
        if not isinstance(value, Mapping):
            raise InputError(f"{where} should be an object with named fields, not {shown(value)}.")
        self.fields: Mapping[str, Any] = value
        self.where = where
        self.changes: list[str] = []
        self.scores: dict[str, float] = {}

    def text(self, *names: str, optional: bool = False) -> str:
        """The first of these fields that is there; a text, without NUL and half surrogates."""
        value = next((self.fields[n] for n in names if self.fields.get(n) is not None), None)
        if value is None and optional:
            return ""
        return self.clean(value, " or ".join(map(repr, names)))

    def clean(self, value: Any, name: str) -> str:
        if not isinstance(value, str):
            raise InputError(
                f"{self.where} needs the field {name} with a text, not {shown(value)}."
            )
        if "\0" in value:
            value = value.replace("\0", "")
            self.changes.append("NUL characters removed")
        if not value.isascii():
            whole = value.encode("utf-8", "surrogatepass").decode("utf-8", "replace")
            if whole != value:
                value = whole
                self.changes.append("half surrogate pairs replaced")
        return value

    def identifier(self, *names: str) -> str:
        """A text or an integer as text; "" where none of the fields is there."""
        value = next((self.fields[n] for n in names if self.fields.get(n) not in (None, "")), "")
        if isinstance(value, int) and not isinstance(value, bool):
            if value.bit_length() > 64:
                raise InputError(f"{self.where} has an id of {value.bit_length()} bits.")
            value = str(value)
        return self.clean(value, " or ".join(map(repr, names))).strip()

    def number(self, name: str) -> float:
        """A finite number, or the text of one."""
        value = self.fields.get(name)
        with contextlib.suppress(ValueError, OverflowError):
            if isinstance(value, int | float | str) and math.isfinite(number := float(value)):
                return number
        raise InputError(
            f"{self.where} needs the field {name!r} with a number, not {shown(value)}."
        )

    def items(self, name: str, *, optional: bool = False) -> list[Any]:
        value = self.fields.get(name)
        if value is None and optional:
            return []
        if not isinstance(value, list):
            raise InputError(
                f"{self.where} needs the field {name!r} as a list, not {shown(value)}."
            )
        return value

    def answers(self, name: str) -> tuple[str, ...]:
        """A list of short texts, each once; none where the field is missing."""
        found = (self.clean(value, repr(name)) for value in self.items(name, optional=True))
        return tuple(dict.fromkeys(text for text in found if text.strip()))

    def documents(self, name: str, *, optional: bool = False) -> tuple[Document, ...]:
        """A list of {title, text, an id, ce_score?}; empty documents are left out, and noted."""
        found = []
        for number, value in enumerate(self.items(name, optional=optional)):
            entry = Record(value, f"{self.where}, {name!r} {number},")
            title, text = entry.text("title", optional=True), entry.text("text")
            made = self.document(title, text, entry.identifier(*ID_NAMES))
            if made and entry.fields.get(SCORE) is not None:
                score = entry.number(SCORE)
                if self.scores.setdefault(made[0].doc_id, score) != score:
                    self.changes.append("further scores of a document left out")
            found += made
            self.changes += entry.changes
        return tuple(found)

    def document(self, title: str, text: str, doc_id: str = "") -> list[Document]:
        """The document, with an id made from its content where it has none; [] if it is empty."""
        if not title.strip() and not text.strip():
            self.changes.append("empty documents left out")
            return []
        return [Document(doc_id or content_id(title, text), text, title)]

    def cleaned(self, document: Document) -> list[Document]:
        """A document that came from elsewhere, checked as if it stood in the record."""
        title, text = self.clean(document.title, "'title'"), self.clean(document.text, "'text'")
        return self.document(title, text, self.clean(document.doc_id, "'_id'"))

    def read(
        self,
        task: str,
        query: str,
        *,
        query_id: str = "",
        instruction: str | None = None,
        positives: Sequence[Document] = (),
        answers: Sequence[str] = (),
        **negatives: Sequence[Document],
    ) -> Item:
        """The example, or the record rejected for an empty query or for want of a positive."""
        if not query.strip():
            return Rejected(self.where, EMPTY_QUERY)
        if not positives:
            return Rejected(self.where, NO_POSITIVE)
        others: dict[str, Any] = {name: tuple(found) for name, found in negatives.items()}
        example = TrainingExample(
            task,
            query_id or content_id("", query),
            query,
            tuple(positives),
            instruction=instruction,
            answers=tuple(answers),
            scores=self.scores,
            **others,
        )
        return Read(example, 1, tuple(self.changes))

    def instruction(self) -> str | None:
        """The field `instruction` of our own exports; None, "take the table's", without it."""
        given = self.fields.get("instruction") is not None
        return self.text("instruction") if given else None


class Judged(NamedTuple):
    """One line of a format that spreads a query over consecutive lines."""

    record: Record
    query: str
    positives: Sequence[Document]
    negatives: Sequence[Document]
    instruction: str | None = None
    query_id: str = ""


def grouped(rows: Iterable[Judged | Rejected], task: str, *, negatives: str) -> Iterator[Item]:
    """Consecutive rows of the same query as one example; `negatives` names where theirs go.

    A document that several rows repeat stands in the example once.
    """
    for key, members in itertools.groupby(rows, _key):
        if key is None:
            for row in members:
                assert isinstance(row, Rejected)
                yield row
            continue
        run = [row for row in members if isinstance(row, Judged)]
        positives = {d.doc_id: d for row in run for d in row.positives}
        others = {d.doc_id: d for row in run for d in row.negatives}
        first, kinds = run[0], dict[str, Any]({negatives: list(others.values())})
        item = first.record.read(
            task,
            first.query,
            query_id=first.query_id,
            instruction=first.instruction,
            positives=list(positives.values()),
            **kinds,
        )
        changes = tuple(change for row in run for change in row.record.changes)
        yield (
            item._replace(records=len(run), changes=changes)
            if isinstance(item, Read)
            else item._replace(records=len(run))
        )


def _key(row: Judged | Rejected) -> tuple[str, str, str | None] | None:
    return (row.query_id, row.query, row.instruction) if isinstance(row, Judged) else None
