"""Pages -> passages with their place in the page: 100 words each, or whole sentences as KILT packs.

A passage's text is the characters of its segments as the page has them, joined by one space: a
character of a gold span is found in it by subtraction.
"""

import re
from collections.abc import Iterable, Iterator
from typing import Any, Literal, NamedTuple

from tart_jax.data.kilt.knowledge_source import Page, Paragraph, body
from tart_jax.data.kilt.sentences import count_tokens, sentences
from tart_jax.types import InputError

Chunking = Literal["words", "sentences"]
# Of the whole source. Words: about 36 million (Maillard et al. 2021, where it is not said whether a
# passage may cross sections); sentences: KILT's own count, by spaCy.
PUBLISHED_PASSAGES = {"words": 36_000_000, "sentences": 22_220_793}

_WORD = re.compile(r"\S+")


class Segment(NamedTuple):
    """Characters start to end (exclusive) of one paragraph of the page."""

    paragraph_id: int
    start: int
    end: int


class Passage(NamedTuple):
    """A passage. doc_id: `{wikipedia_id}-{n}`, n from 0 in the page.

    The page is read off the id, and a page that changes renumbers no other page's passages, as
    the running number of psgs_w100.tsv would.
    """

    doc_id: str
    title: str
    text: str
    wikipedia_id: str
    section: str  # the section line it begins under; "Section::::Abstract" before the first
    segments: tuple[Segment, ...]

    def record(self) -> dict[str, Any]:
        """The line of corpus.jsonl; `sources` are the segments, the four numbers their hull."""
        first, last = self.segments[0], self.segments[-1]
        return {
            "_id": self.doc_id,
            "title": self.title,
            "text": self.text,
            "wikipedia_id": self.wikipedia_id,
            "section": self.section,
            "start_paragraph_id": first.paragraph_id,
            "start_character": first.start,
            "end_paragraph_id": last.paragraph_id,
            "end_character": last.end,
            "sources": [list(segment) for segment in self.segments],
        }

    @classmethod
    def parse(cls, record: dict[str, Any]) -> "Passage":
        """The passage of a line that `record` gave."""
        segments = tuple(Segment(*source) for source in record["sources"])
        return cls(record["_id"], record["title"], record["text"], record["wikipedia_id"],
                   record["section"], segments)  # fmt: skip


def passages(
    page: Page, *, chunking: Chunking, size: int, cross_sections: bool = True
) -> Iterator[Passage]:
    """The passages of a page, in its order: disjoint, and together all words of `body(page)`.

    chunking: "words": `size` words by white space each, the last one of the page (or of the
        section, unless cross_sections) what is left. "sentences": `pack_sentences`.
    """
    if size < 1:
        raise InputError(f"words is {size}; a passage has at least one word.")
    if chunking == "words":
        pieces = split_words(body(page), size=size, cross_sections=cross_sections)
    elif chunking == "sentences":
        pieces = pack_sentences(body(page), size=size)
    else:
        raise InputError(f"chunking {chunking!r} is not known; there are 'words' and 'sentences'.")
    for number, (section, segments) in enumerate(pieces):
        text = " ".join(page.paragraphs[p][start:end] for p, start, end in segments)
        doc_id = f"{page.wikipedia_id}-{number}"
        yield Passage(doc_id, page.title, text, page.wikipedia_id, section, segments)


Piece = tuple[str, tuple[Segment, ...]]  # the section, and what the passage is made of


def split_words(
    paragraphs: Iterable[Paragraph], *, size: int, cross_sections: bool
) -> Iterator[Piece]:
    """Disjoint blocks of `size` words, across paragraphs (DPR; Maillard et al. 2021)."""
    held: list[Segment] = []
    count, begun_under, last_section = 0, "", ""
    for section, paragraph_id, text, begin in paragraphs:
        if held and section != last_section and not cross_sections:
            yield begun_under, tuple(held)
            held, count = [], 0
        last_section = section
        spans = [match.span() for match in _WORD.finditer(text, begin)]
        taken = 0
        while taken < len(spans):
            if not held:
                begun_under = section
            upto = min(len(spans), taken + size - count)
            held.append(Segment(paragraph_id, spans[taken][0], spans[upto - 1][1]))
            count, taken = count + upto - taken, upto
            if count == size:
                yield begun_under, tuple(held)
                held, count = [], 0
    if held:
        yield begun_under, tuple(held)


def pack_sentences(paragraphs: Iterable[Paragraph], *, size: int) -> Iterator[Piece]:
    """The packing of KILT's create_kilt_data_paragraphs.py, with the sentences of `sentences`.

    Whole sentences of a paragraph as long as they stay under `size` tokens; one longer sentence is
    a passage by itself. The rest of a paragraph joins the passage before it where both are of
    one section and together (one more token for each earlier join) under `size`. Other than there,
    list marks are left out.
    """
    open_piece: tuple[str, list[Segment]] | None = None  # the last one, which may still grow
    open_count = 0
    for paragraph in paragraphs:
        *whole, (rest, count) = _packs(paragraph, size)
        for segment, tokens in whole:
            if open_piece:
                yield open_piece[0], tuple(open_piece[1])
            open_piece, open_count = (paragraph.section, [segment]), tokens
        if open_piece and open_piece[0] == paragraph.section and count + open_count < size:
            open_piece[1].append(rest)
            open_count += count + 1
        else:
            if open_piece:
                yield open_piece[0], tuple(open_piece[1])
            open_piece, open_count = (paragraph.section, [rest]), count
    if open_piece:
        yield open_piece[0], tuple(open_piece[1])


def _packs(paragraph: Paragraph, size: int) -> list[tuple[Segment, int]]:
    """(segment, tokens) of the packs of one paragraph; the last is what a merge may take."""
    packs: list[tuple[Segment, int]] = []
    start, end, count = -1, -1, 0
    for first, last in sentences(paragraph.text, paragraph.begin):
        tokens = count_tokens(paragraph.text[first:last])
        if count and count + tokens >= size:
            packs.append((Segment(paragraph.paragraph_id, start, end), count))
            count = 0
        if not count:
            start = first
        end, count = last, count + tokens
    packs.append((Segment(paragraph.paragraph_id, start, end), count))
    return packs
