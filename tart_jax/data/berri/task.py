"""What a BERRI task is: its place in the paper's Table 5, its sources, how they become examples."""

import functools
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import NamedTuple

CAP = 300_000  # instances of a task, MS MARCO apart (TART, section 3.2)
SHORTEST_QUERY = 20  # characters; the paper's builder leaves shorter queries out


class Text(NamedTuple):
    """A document as a source has it; its id is made from its content, so equal texts are one."""

    text: str
    title: str = ""


class Instance(NamedTuple):
    """A query of a source with what answers it. `key` is unique in its task and never changes:
    the source's own id, or the file's name and the record's number."""

    key: str
    query: str
    positives: tuple[Text, ...]
    hard_negatives: tuple[Text, ...] = ()  # those that the source itself gives


class Dropped(NamedTuple):
    """A record that gives no instance, and why: counted and shown, never silent."""

    key: str
    reason: str


# Reads the files of one unit, record by record; a `Text` is a document that answers no query.
# A file that is broken as a whole (no JSON, wrong columns) is an InputError with file and line.
Converter = Callable[[tuple[Path, ...]], Iterator[Instance | Text | Dropped]]


@dataclass(frozen=True)
class Task:
    """One of the 37, and StackExchange body-body, which only the official instruction file has.

    number: in Table 5 (None there). `domain`, `kind` and `unit`: what Figures 8 and 9 count.
    """

    number: int | None
    name: str
    domain: str
    kind: str
    unit: str
    convert: Converter
    cap: int | None = CAP
    shortest_query: int = SHORTEST_QUERY


class Source(NamedTuple):
    """A file of a task. Files of the same `unit` are converted together, others each alone."""

    file: str
    url: str | None
    size: int | None  # bytes, where known
    sha256: str | None  # where known
    unit: str
    md5: str | None = None  # where that is what the publisher names
    mirrors: tuple[str, ...] = ()  # asked in turn where `url` does not answer


class Origin(NamedTuple):
    """Where a task's data come from and on what terms. `format`: where the layout of the raw files
    is documented, or "from memory". `manual`: how to get the files by hand."""

    files: tuple[Source, ...]
    licence: str
    citation: str
    format: str
    manual: str


@functools.cache
def origins() -> dict[str, Origin]:
    """Task name -> origin, from `sources.json`."""
    text = resources.files(__package__).joinpath("sources.json").read_text("utf-8")
    return {name: _origin(row) for name, row in json.loads(text).items()}


def _origin(row: dict) -> Origin:
    files = tuple(
        Source(file["file"], file.get("url"), file.get("size"), file.get("sha256"),
               file.get("unit", file["file"]))
        for file in row["files"]
    )  # fmt: skip
    return Origin(files, row["licence"], row["citation"], row["format"], row["manual"])
