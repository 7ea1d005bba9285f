"""Gold provenance -> passages of the corpus, by random access; what cannot be mapped is counted."""

import json
from collections import Counter
from collections.abc import Iterator
from hashlib import blake2b
from pathlib import Path
from random import Random

import numpy as np

from tart_jax import io
from tart_jax.data.kilt.bleu import bleu
from tart_jax.data.kilt.passages import Passage
from tart_jax.data.kilt.tasks import Item, Provenance
from tart_jax.types import Document, InputError

# Why a provenance has no passage.
NO_PAGE = "page not in the corpus"
LOW_SCORE = "its bleu_score is too low"
NO_TEXT = "no passage at the place"
LOW_BLEU = "no passage holds enough of it"

Span = tuple[tuple[int, int], tuple[int, int]]  # (paragraph, character) of start and end
FAR = 1 << 60
PAGES = "pages.npy"


class PassageTable:
    """The passages of corpus.jsonl by position, and of a page by its id.

    In memory: 16 bytes a page, 8 a passage, both mapped from files. `passages.npy`: where each
    line begins, and the end of the last. `pages.npy`: rows of page id and first passage; one more
    row, of the id 0, ends the last page.
    """

    def __init__(self, folder: str | Path):
        folder = Path(folder)
        self.path = io.existing(folder / "corpus.jsonl", "corpus")
        self._begins = np.load(io.existing(folder / "passages.npy"), mmap_mode="r")
        self._pages = np.load(io.existing(folder / PAGES), mmap_mode="r")
        self._order = np.argsort(self._pages[:-1, 0], kind="stable")
        self._sorted = self._pages[:-1, 0][self._order]
        if self.path.stat().st_size != self._begins[-1]:
            raise InputError(
                f"{self.path} and passages.npy do not belong together; remove both and run again."
            )
        self._file = self.path.open("rb")

    def close(self) -> None:
        self._file.close()

    def __enter__(self) -> "PassageTable":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __len__(self) -> int:
        return len(self._begins) - 1

    def __getitem__(self, position: int) -> Passage:
        begin, end = (int(place) for place in self._begins[position : position + 2])
        self._file.seek(begin)
        return Passage.parse(json.loads(self._file.read(end - begin)))

    def document(self, position: int) -> Document:
        passage = self[position]
        return Document(passage.doc_id, passage.text, passage.title)

    def position(self, doc_id: str) -> int | None:
        """The position of a passage `{wikipedia_id}-{n}`; None where there is none."""
        page, _, number = doc_id.rpartition("-")
        found = self.page(page) if page.isdecimal() and number.isdecimal() else None
        return found[int(number)] if found and int(number) < len(found) else None

    def page(self, wikipedia_id: str) -> range | None:
        """The positions of a page's passages; None for a page that the corpus lacks."""
        place = int(np.searchsorted(self._sorted, int(wikipedia_id)))
        if place == len(self._sorted) or self._sorted[place] != int(wikipedia_id):
            return None
        row = int(self._order[place])
        return range(int(self._pages[row, 1]), int(self._pages[row + 1, 1]))


def positives(
    item: Item, table: PassageTable, *, threshold: float, drops: Counter[str]
) -> list[int]:
    """The positions of the passages that hold an item's evidence, in its order, each once.

    For each provenance the one passage with the highest BLEU (`held`); the earlier of equals. The
    page's first passage where the provenance names no paragraph. drops: counts, by reason, those
    provenances whose bleu_score or whose passage's BLEU is under the threshold.
    """
    found: dict[int, None] = {}
    for provenance in item.provenance():
        position = _best(provenance, table, threshold)
        if isinstance(position, str):
            drops[position] += 1
        else:
            found[position] = None
    return list(found)


def _best(provenance: Provenance, table: PassageTable, threshold: float) -> int | str:
    """A position, or the reason why there is none."""
    page = table.page(provenance.wikipedia_id)
    if page is None:
        return NO_PAGE
    if provenance.bleu_score is not None and provenance.bleu_score < threshold:
        return LOW_SCORE
    if provenance.start_paragraph_id is None or provenance.start_paragraph_id < 0:
        return page[0] if page else NO_TEXT
    parts = dict(_parts(page, _span(provenance), table))
    if not parts:
        return NO_TEXT
    whole = [word for words in parts.values() for word in words]
    scores = {position: bleu(words, whole) for position, words in parts.items()}
    best = max(scores, key=scores.__getitem__)
    return best if scores[best] >= threshold else LOW_BLEU


def _span(provenance: Provenance) -> Span:
    """Unknown characters (None, -1) are those of whole paragraphs."""
    first = provenance.start_paragraph_id or 0
    last = provenance.end_paragraph_id
    if last is None or last < 0:
        last = first
    start, end = provenance.start_character, provenance.end_character
    known = start is not None and end is not None and start >= 0 and end >= 0
    return (first, start if known and start else 0), (last, end if known and end else FAR)


def _parts(page: range, span: Span, table: PassageTable) -> Iterator[tuple[int, list[str]]]:
    """(position, words of the span) of each passage that holds some of them.

    What no passage holds (titles, section lines, list marks) is no part of the span.
    """
    for position in page:
        passage = table[position]
        if passage.segments[0].paragraph_id > span[1][0]:
            break
        words = held(passage, span)
        if words:
            yield position, words


def held(passage: Passage, span: Span) -> list[str]:
    """The words of the span that stand in the passage."""
    (first, start), (last, end) = span
    words: list[str] = []
    offset = 0
    for segment in passage.segments:
        low = max(segment.start, start) if segment.paragraph_id == first else segment.start
        high = min(segment.end, end) if segment.paragraph_id == last else segment.end
        if first <= segment.paragraph_id <= last and low < high:
            place = offset - segment.start
            words += passage.text[place + low : place + high].split()
        offset += segment.end - segment.start + 1  # one space between segments
    return words


def draw(total: int, number: int, *, avoid: set[int], seed: int, key: str) -> list[int]:
    """`number` of `total` positions outside `avoid` (or all there are), by (seed, key) alone."""
    digest = blake2b(f"{seed}\0{key}".encode(), digest_size=8).digest()
    random = Random(int.from_bytes(digest, "little"))
    if total <= 4 * (number + len(avoid)):  # few are free: drawing again and again would not end
        free = [position for position in range(total) if position not in avoid]
        return random.sample(free, min(number, len(free)))
    drawn: dict[int, None] = {}
    while len(drawn) < number:
        position = random.randrange(total)
        if position not in avoid:
            drawn[position] = None
    return list(drawn)
