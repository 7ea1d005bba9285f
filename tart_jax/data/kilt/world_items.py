"""Items of a small KILT-like world: read from three collections, or derived from their pages.

Real: HotpotQA's questions with its supporting sentences, SQuAD's questions with the sentence that
holds the answer, Climate-FEVER's claims with their evidence. Derived by rule, and marked so in
`meta`: links (a sentence that names another page's title), slots (relations that a page's first
sentences state), turns of dialogue (two SQuAD questions on one paragraph).
"""

import re
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tart_jax import io
from tart_jax.data.kilt.queries import END, SLOT, START
from tart_jax.data.kilt.sentences import sentences
from tart_jax.types import InputError

Item = dict[str, Any]
TITLE_WORDS = 4  # of a paragraph that has no title: its first words
MOST_WORDS = 6  # of a title that is looked for as a mention
# Relation -> what states it; group 1 is the answer.
RELATIONS = {
    "instance of": re.compile(
        r"^[^.]{2,80}? (?:is|was|are|were) (?:an?|one of the|the) ([a-zA-Z][^.,;()]{3,60})"
    ),
    "located in": re.compile(
        r"\b(?:located|situated|headquartered|based) in ((?:[A-Z][\w’'-]+[ ,]{0,2}){1,4})"
    ),
    "inception": re.compile(
        r"\b(?:founded|established|formed|created|opened|launched) (?:in|on) (?:[\w ,]{0,14})?"
        r"((?:1[5-9]|20)\d\d)\b"
    ),
    "date of birth": re.compile(r"\(born (?:[A-Za-z]+ )?([A-Z][a-z]+ \d{1,2}, \d{4})"),
}


@dataclass
class Page:
    """A page whose paragraphs are single sentences, the first of them number 1."""

    page_id: str
    title: str
    lines: list[str]

    def place(self, number: int) -> dict[str, Any]:
        """The provenance of paragraph `number`."""
        return {
            "wikipedia_id": self.page_id, "title": self.title, "start_paragraph_id": number,
            "start_character": 0, "end_paragraph_id": number,
            "end_character": len(self.lines[number - 1]),
        }  # fmt: skip

    def record(self) -> dict[str, Any]:
        """A line of the knowledge source."""
        return {
            "_id": self.page_id, "wikipedia_id": self.page_id, "wikipedia_title": self.title,
            "text": [self.title, *self.lines], "anchors": [], "categories": "", "history": {},
            "wikidata_info": None,
        }  # fmt: skip


@dataclass
class World:
    """Pages by title, of each source apart, and the real items of each task with their group.

    An item's group decides whether it is of train or of dev: items of one group stand together.
    """

    pages: list[Page] = field(default_factory=list)
    items: dict[str, list[tuple[str, Item]]] = field(default_factory=lambda: defaultdict(list))

    def page(self, title: str, lines: Sequence[str]) -> Page:
        clean = [" ".join(line.split()) for line in lines]
        page = Page(str(len(self.pages) + 1), title, [line for line in clean if line])
        self.pages.append(page)
        return page

    def add(
        self, task: str, group: str, text: str, outputs: Sequence[Item], rule: str = ""
    ) -> None:
        number = len(self.items[task])
        item = {"id": f"{task}-{number}", "input": text, "output": list(outputs)}
        self.items[task].append((group, item | ({"meta": {"derived": rule}} if rule else {})))


def hotpotqa(world: World, paths: Sequence[Path]) -> None:
    """Pages are the contexts of all questions; a question's sentences support it together."""
    rows = [row for path in paths for _, row in io.read_jsonl(path)]
    pages: dict[str, Page] = {}
    lines: dict[str, list[str]] = {}
    for row in rows:
        for title, own in _of(row, "context", paths):
            if title not in pages and any(line.strip() for line in own):
                pages[title], lines[title] = world.page(title, own), own
    for row in rows:
        facts = [(title, place) for title, *rest in _of(row, "supporting_facts", paths)
                 for place in (rest[0] if isinstance(rest[0], list) else rest[:1])]  # fmt: skip
        known = [(t, " ".join(lines[t][n].split())) for t, n in facts if n < len(lines.get(t, ()))]
        if facts and len(known) == len(facts) and all(line for _, line in known):
            places = [pages[t].place(pages[t].lines.index(line) + 1) for t, line in known]
            output = {"answer": row["answer"], "provenance": places}
            world.add("hotpotqa", row["question"], row["question"], [output])


def _of(row: Mapping[str, Any], key: str, paths: Sequence[Path]) -> list[Any]:
    found = row.get(key)
    if not isinstance(found, list) or not all(isinstance(x, list) and len(x) > 1 for x in found):
        raise InputError(
            f"{paths[0]}: a record should have {key!r}, a list of pairs: {str(row)[:80]!r}."
        )
    return found


def squad(world: World, path: Path) -> None:
    """Each paragraph is a page; its first words are its title, as these have none.

    As task nq, whose place they take; the second of two questions on a page also as a dialogue.
    """
    pages: dict[str, Page] = {}
    before: dict[str, tuple[str, str]] = {}
    for number, row in io.read_jsonl(path):
        try:
            context, question, answer = row["context"], row["question"], row["answer"]
        except KeyError as error:
            raise InputError(f"{path}: line {number} needs context, question, answer.") from error
        if context not in pages:
            lines = [context[begin:end] for begin, end in sentences(context)]
            pages[context] = world.page(" ".join(context.split()[:TITLE_WORDS]), lines)
        page = pages[context]
        place = next((n for n, line in enumerate(page.lines, 1) if answer in line), None)
        if place is None:
            continue
        output = {"answer": answer, "provenance": [page.place(place)]}
        world.add("nq", page.title, question, [output])
        if context in before:
            earlier, reply = before[context]
            world.add("wow", page.title, "\n".join([earlier, reply, question]),
                      [output | {"answer": page.lines[place - 1]}], "dialogue")  # fmt: skip
        before[context] = (question, answer)


def climate_fever(world: World, path: Path) -> None:
    """Pages are articles with the sentences that claims were judged by; each evidence suffices."""
    rows = [row for _, row in io.read_jsonl(path)]
    found: dict[str, dict[int, str]] = defaultdict(dict)
    try:
        for row in rows:
            for one in row["evidences"]:
                found[one["article"]][int(one["evidence_id"].rpartition(":")[2])] = one["evidence"]
        pages, places = {}, {}
        for article, lines in found.items():
            kept = [(number, lines[number]) for number in sorted(lines) if lines[number].strip()]
            pages[article] = world.page(article, [line for _, line in kept])
            places[article] = {number: place for place, (number, _) in enumerate(kept, start=1)}
        for row in rows:
            label = row["claim_label"]
            outputs = [
                {"answer": label, "provenance": [pages[one["article"]].place(place)]}
                for one in row["evidences"]
                if one["evidence_label"] == label in ("SUPPORTS", "REFUTES")
                if (place := places[one["article"]].get(_line(one)))
            ]
            if outputs:
                world.add("fever", row["claim"], row["claim"], outputs)
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise InputError(f"{path} should hold Climate-FEVER's records ({error!r}).") from error


def _line(evidence: Mapping[str, Any]) -> int:
    return int(evidence["evidence_id"].rpartition(":")[2])


def links(world: World, limit: int) -> None:
    """aidayago2: sentences that name one other page's title, which no two pages share."""
    known = _titles(world.pages)
    for page in world.pages:
        for line in page.lines:
            found = next(_mentions(line, known), None)
            if found is None or found[2] is page:
                continue
            begin, end, target = found
            text = f"{line[:begin]}{START} {line[begin:end]} {END}{line[end:]}"
            gold = {"answer": target.title, "provenance": [
                {"wikipedia_id": target.page_id, "title": target.title}]}  # fmt: skip
            world.add("aidayago2", target.title, text, [gold], "mention of a title")
            if len(world.items["aidayago2"]) >= limit:
                return


def _titles(pages: Sequence[Page]) -> dict[str, Page]:
    """Name -> page: titles, and titles without the part in brackets; names of two pages are out."""
    found: dict[str, list[Page]] = defaultdict(list)
    for page in pages:
        for name in {page.title, re.sub(r" \(.*\)$", "", page.title)}:
            if len(name) >= 7 and name[0].isupper() and len(name.split()) <= MOST_WORDS:
                found[name].append(page)
    return {name: same[0] for name, same in found.items() if len(same) == 1}


def _mentions(line: str, known: Mapping[str, Page]) -> Iterator[tuple[int, int, Page]]:
    """(start, end, page), the longest name at each place; not at the line's start."""
    words = [match.span() for match in re.finditer(r"[\w’'()–-]+", line)]
    for first in range(1, len(words)):
        for last in range(min(first + MOST_WORDS, len(words)) - 1, first - 1, -1):
            begin, end = words[first][0], words[last][1]
            if page := known.get(line[begin:end]):
                yield begin, end, page
                break


def slots(world: World, limit: int) -> None:
    """structured_zeroshot: `title [SEP] relation`, where one of two first sentences states it."""
    for page in list(world.pages):
        for number, line in enumerate(page.lines[:2], start=1):
            for relation, pattern in RELATIONS.items():
                if (match := pattern.search(line)) and page.title.split()[0] in line:
                    answer = match[1].strip(" ,")
                    output = {"answer": answer, "provenance": [page.place(number)]}
                    text = f"{page.title} {SLOT} {relation}"
                    world.add(
                        "structured_zeroshot", page.title, text, [output], "a stated relation"
                    )
        if len(world.items["structured_zeroshot"]) >= limit:
            return
