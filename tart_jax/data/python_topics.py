"""The language reference that Python carries for `help()`: its sections and their paragraphs."""

import importlib
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from tart_jax.data.python_sources import cut

CHUNK_LENGTH = 700  # characters; paragraphs are gathered up to this
SHORTEST_CHUNK = 60
SHORTEST_LABEL = 3  # the debugger's one-letter commands ask for nothing
MOST_CHUNKS = 4
HEADING = re.compile(r"^(?P<label>\S.*)\n(?P<rule>([*=\-~^\"])\3{2,})$", re.MULTILINE)
# "str.capitalize()" followed by an indented description.
ENTRY = re.compile(
    r"^(?:(?:class|classmethod|static|async|exception) )*"
    r"(?P<label>[A-Za-z_][\w.]*)(?:\(.*\))?\n\n?(?=   \S)",
    re.MULTILINE,
)


@dataclass(frozen=True)
class Section:
    """A subject of the language reference and the paragraphs about it."""

    topic: str
    label: str
    chunks: tuple[str, ...]


def installed_topics() -> Mapping[str, str]:
    """The topics of the running Python, plain data; empty where a packager left them out."""
    try:
        return importlib.import_module("pydoc_data.topics").topics
    except ImportError:
        return {}


def read_sections(topics: Mapping[str, str]) -> list[Section]:
    """Every section and entry once.

    Long topics ("compound") repeat whole short ones ("if"): the shortest that has a label owns it,
    so that the split by topic puts the section where its own topic is.
    """
    found: dict[str, Section] = {}
    for topic in sorted(topics, key=lambda name: (len(topics[name]), name)):
        for label, body in _labelled(topics[topic]):
            chunks = _chunks(body)
            if len(label) >= SHORTEST_LABEL and chunks and label.lower() not in found:
                found[label.lower()] = Section(topic, label, chunks)
    return list(found.values())


def _labelled(text: str) -> Iterator[tuple[str, str]]:
    headings = list(HEADING.finditer(text))
    ends = [heading.start() for heading in headings[1:]] + [len(text)]
    for heading, end in zip(headings, ends, strict=True):
        section = text[heading.end() : end]
        entries = list(ENTRY.finditer(section))
        yield _plain(heading["label"]), section[: entries[0].start()] if entries else section
        for entry in entries:
            body = section[entry.end() :]
            unindented = re.search(r"^\S", body, re.MULTILINE)
            yield entry["label"], body[: unindented.start()] if unindented else body


def _plain(label: str) -> str:
    return " ".join(re.sub(r"[\"`]", "", label).split())


def _chunks(body: str) -> tuple[str, ...]:
    """Paragraphs gathered to chunks of at most CHUNK_LENGTH characters, one line each paragraph."""
    chunks: list[str] = []
    for paragraph in re.split(r"\n[ \t]*\n", body):
        text = cut(" ".join(paragraph.split()), CHUNK_LENGTH)
        if "::=" in text or len(text) < 20:  # grammar rules; "New in version 3.8."
            continue
        if chunks and len(chunks[-1]) + len(text) < CHUNK_LENGTH:
            chunks[-1] += "\n" + text
        else:
            chunks.append(text)
    return tuple(chunk for chunk in chunks if len(chunk) >= SHORTEST_CHUNK)[:MOST_CHUNKS]
