"""What all writers share: contexts with ids, and a count of what a format could not carry."""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tart_jax import io
from tart_jax.data.examples import TrainingExample
from tart_jax.data.exchange.records import SCORE
from tart_jax.types import Document

SCORES = "scores of documents left out"
ANSWERS = "answers left out"


@dataclass
class Exported:
    """Examples read, records written, and in how many examples what was lost."""

    examples: int = 0
    records: int = 0
    lost: Counter[str] = field(default_factory=Counter)

    def lose(self, what: str) -> None:
        self.lost[what] += 1

    def count(
        self, examples: Iterable[TrainingExample], *, answers: bool = False
    ) -> Iterator[TrainingExample]:
        """answers: the format has a place for those of the query."""
        for example in examples:
            self.examples += 1
            if example.answers and not answers:
                self.lose(ANSWERS)
            yield example


def jsonl(
    path: Path,
    examples: Iterable[TrainingExample],
    record: Callable[[TrainingExample], Any],
    exported: Exported,
) -> Exported:
    """Writes one line per example."""
    exported.records = io.write_jsonl(path, map(record, exported.count(examples)))
    return exported


def contexts(
    documents: Iterable[Document], scores: Mapping[str, float], *, id_name: str = "passage_id"
) -> list[dict[str, Any]]:
    """DPR's form of documents, `passage_id` being its name for the id; TART's of their scores."""
    made: list[dict[str, Any]] = []
    for document in documents:
        made.append({"title": document.title, "text": document.text, id_name: document.doc_id})
        if document.doc_id in scores:
            made[-1][SCORE] = scores[document.doc_id]
    return made


def all_negatives(example: TrainingExample) -> Sequence[Document]:
    """Hardest kinds first, for formats that have one list or take the first few."""
    return (*example.hard_negatives, *example.unfollowing_negatives, *example.negatives)
