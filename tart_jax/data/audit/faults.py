"""The catalogue of faults, and the tally of those found."""

from collections import Counter, defaultdict
from dataclasses import dataclass, field
from typing import Any, NamedTuple


class Fault(NamedTuple):
    """What is counted, of what (the share's whole), and what `--repair` does about it."""

    what: str
    of: str  # examples, queries, documents, texts (both), judgements
    repair: str = ""  # "": it is left as it is
    oddity: bool = False  # worth a look; may be as it should


REMOVED = "example removed"
FAULTS = {
    "malformed": Fault("records that cannot be read", "records", "record removed"),
    "unknown_key": Fault("examples with unknown keys", "examples", "key removed"),
    "empty_query": Fault("queries without text", "queries", REMOVED),
    "no_positive": Fault("examples without a positive", "examples", REMOVED),
    "empty_document": Fault("documents without text and title", "documents", "document removed"),
    "nan_instruction": Fault("queries or instructions that begin with an empty cell, 'nan [SEP]'",
                             "queries", "prefix removed"),
    "leading_separator": Fault("queries that begin with a separator", "queries", "removed"),
    "trailing_separator": Fault("queries with nothing behind the last separator", "queries"),
    "repeated_separator": Fault("queries with two separators in a row", "queries"),
    "lowered_separator": Fault("queries with '[sep]', lower-cased into mere letters", "queries"),
    "instruction_twice": Fault("queries that already hold their own instruction", "queries",
                               "taken out of the query"),
    "special_in_document": Fault("documents that write out a special token", "documents", "", True),
    "missing_instruction": Fault("examples without an instruction of their own or in the table",
                                 "examples"),
    "positive_is_negative_id": Fault("negatives with the id of a positive of their example",
                                     "documents", "negative removed"),
    "positive_is_negative_text": Fault("negatives with the text of a positive, under another id",
                                       "documents", "negative removed"),
    "duplicate_example": Fault("examples equal to an earlier one but for their id", "examples",
                               REMOVED),
    "duplicate_query": Fault("queries of an earlier, different example of the task", "queries",
                             "", True),
    "duplicate_document": Fault("documents with the text of another id of the task", "documents",
                                "", True),
    "conflicting_id": Fault("document ids of a task with more than one text", "documents"),
    "conflicting_query_id": Fault("query ids of a task with more than one query", "queries"),
    "conflicting_duplicate": Fault("texts that are positive and negative for the same query,"
                                   " in different examples", "documents"),
    "dangling_judgement": Fault("judgements of unknown queries or documents", "judgements"),
    "conflicting_judgement": Fault("judgements that contradict another of the same query and text",
                                   "judgements"),
    "leaked_query": Fault("queries that are test texts", "queries", REMOVED),
    "leaked_document": Fault("documents that are test texts", "documents",
                             "document removed; the example, too, with its last positive"),
    "ngram_leak": Fault("texts that share a run of words with a test text", "texts",
                        "as leaked queries and documents"),
    "replacement_character": Fault("texts with U+FFFD, lost characters", "texts", "", True),
    "mojibake": Fault("texts with UTF-8 read as Latin-1, such as 'Ã©'", "texts", "", True),
    "control_character": Fault("texts with control characters or NUL", "texts",
                               "removed, or read as the UTF-8 they were"),
    "lone_surrogate": Fault("texts with lone surrogates", "texts", "removed"),
    "long_word": Fault("texts with a word of 100 letters or more", "texts", "", True),
    "mostly_non_latin": Fault("texts with most letters outside the Latin script", "texts", "",
                              True),
}  # fmt: skip
EXCERPT = 160


class Place(NamedTuple):
    """Where a fault stands, and what it looks like."""

    where: str
    excerpt: str


@dataclass
class Tally:
    """Counts of each fault by task, and the first places of each."""

    shown: int
    counts: dict[str, Counter[str]] = field(default_factory=lambda: defaultdict(Counter))
    places: dict[str, list[Place]] = field(default_factory=lambda: defaultdict(list))

    def add(self, fault: str, task: str, where: str, excerpt: str) -> None:
        self.counts[fault][task] += 1
        self.show(fault, where, excerpt)

    def count(self, fault: str, task: str, number: int) -> None:
        """Faults whose places a later pass finds."""
        if number:
            self.counts[fault][task] += number

    def show(self, fault: str, where: str, excerpt: str) -> None:
        places = self.places[fault]
        if len(places) < self.shown:
            places.append(Place(where, printable(excerpt[:EXCERPT])))

    def is_full(self, fault: str) -> bool:
        return len(self.places[fault]) >= self.shown

    def total(self, fault: str) -> int:
        return sum(self.counts[fault].values()) if fault in self.counts else 0

    def to_json(self, wholes: dict[str, int]) -> list[dict[str, Any]]:
        """One object per fault of the catalogue, those not found, too."""
        rows = []
        for name, fault in FAULTS.items():
            count, whole = self.total(name), wholes.get(fault.of, 0)
            rows.append(
                {
                    "fault": name,
                    "what": fault.what,
                    "oddity": fault.oddity,
                    "count": count,
                    "of": fault.of,
                    "share": count / whole if whole else 0.0,
                    "tasks": dict(self.counts[name]) if name in self.counts else {},
                    "repair": fault.repair,
                    "first": [place._asdict() for place in self.places.get(name, [])],
                }
            )
        return rows


def printable(text: str) -> str:
    """The text with what a terminal would obey, and what UTF-8 cannot hold, written as escapes."""
    return "".join(
        character if character.isprintable() else character.encode("unicode_escape").decode()
        for character in text
    )
