"""The KILT knowledge source, `kilt_knowledgesource.json`: Wikipedia of 2019-08-01, a page a line.

Format: Petroni et al., "KILT" (2021), and the README of its repository. JSON lines in spite of the
suffix, 34.76 GiB, http://dl.fbaipublicfiles.com/KILT/kilt_knowledgesource.json.
"""

import re
from collections.abc import Iterator, Mapping
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

from tart_jax import io
from tart_jax.types import InputError

PUBLISHED_PAGES = 5_903_530
SECTION = "Section::::"
ABSTRACT = "Section::::Abstract"  # KILT's name for what stands before the first section line
# List items begin "BULLET::::- " or, in numbered lists, "BULLET::::1. ".
_BULLET = re.compile(r"\s*BULLET::::(?:-|\d+\.)?\s*")


class Page(NamedTuple):
    """A page. paragraphs[0] is the title; section lines and list items are paragraphs, too."""

    wikipedia_id: str  # digits
    title: str
    paragraphs: tuple[str, ...]
    wikidata_id: str = ""  # "Q42", or "" where the page has none


class Paragraph(NamedTuple):
    """A paragraph with text. begin: the character after the list mark, 0 where there is none."""

    section: str  # the section line above, as it is
    paragraph_id: int
    text: str
    begin: int


def read_pages(path: str | Path, *, max_pages: int = 0) -> Iterator[tuple[int, Page]]:
    """(line number, page) of the file, gzip or not, one in memory at a time; max_pages 0: all.

    InputError, with file and line: no JSON object, a field that is missing or of another type.
    """
    pages = (
        (number, _page(record, f"{path}: line {number}")) for number, record in io.read_jsonl(path)
    )
    return islice(pages, max_pages) if max_pages else pages


def body(page: Page) -> Iterator[Paragraph]:
    """What of a page is text: all but paragraph 0 (the title), section lines and list marks."""
    section = ABSTRACT
    for paragraph_id, text in enumerate(page.paragraphs[1:], start=1):
        if text.lstrip().startswith(SECTION):
            section = text.strip()
            continue
        mark = _BULLET.match(text)
        begin = mark.end() if mark else 0
        if text[begin:].strip():
            yield Paragraph(section, paragraph_id, text, begin)


def _page(record: Mapping[str, Any], where: str) -> Page:
    wikipedia_id = page_id(record.get("wikipedia_id"), where)
    title = record.get("wikipedia_title")
    if not isinstance(title, str) or not title.strip():
        raise InputError(
            f"{where}: 'wikipedia_title' should be a non-empty string, not {str(title)[:40]!r}."
        )
    paragraphs = record.get("text")
    if not isinstance(paragraphs, list):
        raise InputError(
            f"{where}: 'text' should be the list of paragraphs, not {str(paragraphs)[:40]!r}."
        )
    for paragraph_id, text in enumerate(paragraphs):
        if not isinstance(text, str):
            raise InputError(
                f"{where}: 'text', paragraph {paragraph_id}, should be a string, not"
                f" {str(text)[:40]!r}."
            )
    _require_utf8([title, *paragraphs], where)
    return Page(wikipedia_id, title.strip(), tuple(paragraphs), _wikidata_id(record, where))


def page_id(value: Any, where: str) -> str:
    """A Wikipedia page id as digits; the files hold strings, the examples of KILT numbers, too."""
    text = str(value) if isinstance(value, int) and not isinstance(value, bool) else value
    if not isinstance(text, str) or not (text.isascii() and text.isdigit()) or len(text) > 18:
        raise InputError(
            f"{where}: 'wikipedia_id' should be a page number such as \"290\", not"
            f" {str(value)[:40]!r}."
        )
    return str(int(text))


def _wikidata_id(record: Mapping[str, Any], where: str) -> str:
    info = record.get("wikidata_info")
    value = info.get("wikidata_id") if isinstance(info, Mapping) else info
    if value is not None and not isinstance(value, str):
        raise InputError(
            f"{where}: 'wikidata_info' should be an object with the string 'wikidata_id', or left"
            f" out, not {str(info)[:40]!r}."
        )
    return value or ""


def _require_utf8(texts: list[str], where: str) -> None:
    # JSON can spell half a surrogate pair, which no UTF-8 file can hold: found here, not when the
    # passage is written.
    try:
        "".join(texts).encode("utf-8")
    except UnicodeEncodeError as error:
        bad = error.object[error.start : error.end]
        raise InputError(
            f"{where}: a text holds {bad!r}, half a surrogate pair; repair the line."
        ) from error
