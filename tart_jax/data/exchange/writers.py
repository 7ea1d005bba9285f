"""What all writers share: contexts with ids, and a count of what a format could not carry."""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tart_jax import io
from tart_jax.data.examples import TrainingExample
from tart_jax.types import Document


@dataclass
class Exported:
    """Examples read, records written, and in how many examples what was lost."""

    examples: int = 0
    records: int = 0
    lost: Counter[str] = field(default_factory=Counter)

    def lose(self, what: str) -> None:
        self.lost[what] += 1

    def count(self, examples: Iterable[TrainingExample]) -> Iterator[TrainingExample]:
        for example in examples:
            self.examples += 1
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


def contexts(documents: Iterable[Document]) -> list[dict[str, str]]:
    """DPR's form of documents; `passage_id` is DPR's name for the id."""
    return [{"title": d.title, "text": d.text, "passage_id": d.doc_id} for d in documents]


def all_negatives(example: TrainingExample) -> Sequence[Document]:
    """Hardest kinds first, for formats that have one list or take the first few."""
    return (*example.hard_negatives, *example.unfollowing_negatives, *example.negatives)
