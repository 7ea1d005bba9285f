"""Counts and lengths of a task: characters of every text, tokens of a sample of them."""

import heapq
from array import array
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from tart_jax.data.audit import texts
from tart_jax.data.audit.keys import Keys
from tart_jax.data.audit.records import KINDS, Item

PER_OCTAVE = 8  # length bins between a length and its double: quantiles are within 9%
BINS = 26 * PER_OCTAVE
PARTS = ("query", "document")
QUANTILES = (0.05, 0.5, 0.95)
MARKS = ("p5", "p50", "p95")
_BUFFER = 1 << 14
Counter = Callable[[str], int]  # tokens of a text


class Lengths:
    """A histogram of lengths in bins that grow by a constant factor."""

    def __init__(self) -> None:
        self.total = self.longest = 0
        self.bins = np.zeros(BINS, np.int64)
        self._new = array("q")

    def add(self, length: int) -> None:
        self._new.append(length)
        if len(self._new) >= _BUFFER:
            self.settle()

    def settle(self) -> None:
        if self._new:
            new = np.asarray(self._new)
            self.total += int(new.sum())
            self.longest = max(self.longest, int(new.max()))
            places = np.floor(np.log2(np.maximum(new, 1)) * PER_OCTAVE).astype(np.intp)
            self.bins += np.bincount(np.minimum(places, BINS - 1), minlength=BINS)
            self._new = array("q")

    def join(self, other: "Lengths") -> None:
        self.settle()
        other.settle()
        self.total += other.total
        self.longest = max(self.longest, other.longest)
        self.bins += other.bins

    def to_json(self) -> dict[str, Any]:
        self.settle()
        count = int(self.bins.sum())
        if not count:
            return {"count": 0}
        ends = np.searchsorted(np.cumsum(self.bins), np.asarray(QUANTILES) * count)
        marks = [min(int(2 ** ((end + 0.5) / PER_OCTAVE)), self.longest) for end in ends.tolist()]
        return {
            "count": count,
            "mean": round(self.total / count, 1),
            **dict(zip(MARKS, marks, strict=True)),
            "longest": self.longest,
        }


class Sample:
    """The texts with the smallest hashes, `size` of them: their tokens and their script.

    Which texts these are depends on the texts alone, not on their order; a text counts once.
    """

    def __init__(self, size: int, count: Counter):
        self._size, self._count = size, count
        self._heap: list[tuple[int, int, float]] = []  # (-hash, tokens, share not Latin)
        self._hashes: set[int] = set()

    def add(self, digest: bytes, text: str) -> None:
        value = int.from_bytes(digest, "big")
        full = len(self._heap) >= self._size
        if full and (not self._size or value >= -self._heap[0][0]) or value in self._hashes:
            return
        entry = (-value, self._count(texts.clean(text)), texts.non_latin_share(text))
        self._hashes.add(value)
        if full:
            self._hashes.discard(-heapq.heapreplace(self._heap, entry)[0])
        else:
            heapq.heappush(self._heap, entry)

    def join(self, other: "Sample") -> None:
        """Adds the other's texts; the smallest hashes of both stay."""
        for entry in other._heap:
            if -entry[0] not in self._hashes:
                self._hashes.add(-entry[0])
                self._heap.append(entry)
        self._heap = heapq.nlargest(self._size, self._heap)
        self._hashes = {-entry[0] for entry in self._heap}
        heapq.heapify(self._heap)

    def tokens(self) -> list[int]:
        return sorted(tokens for _, tokens, _ in self._heap)

    def to_json(self) -> dict[str, Any]:
        tokens = self.tokens()
        if not tokens:
            return {"count": 0}
        marks = np.quantile(tokens, QUANTILES).round().astype(int).tolist()
        return {
            "count": len(tokens),
            "mean": round(float(np.mean(tokens)), 1),
            **dict(zip(MARKS, marks, strict=True)),
            "longest": tokens[-1],
            "not_latin": round(float(np.mean([share for *_, share in self._heap])), 4),
        }


@dataclass
class TaskStatistics:
    """What one task holds; documents counted by kind, each time they occur."""

    size: int
    count_tokens: Counter
    records: int = 0
    examples: int = 0
    queries: int = 0
    own_instructions: int = 0
    documents: list[int] = field(default_factory=lambda: [0] * len(KINDS))
    lengths: dict[str, Lengths] = field(default_factory=lambda: {part: Lengths() for part in PARTS})

    def __post_init__(self) -> None:
        self.samples = {part: Sample(self.size, self.count_tokens) for part in PARTS}

    def add(self, item: Item, keys: Keys) -> None:
        self.examples += item.is_example
        self.own_instructions += bool(item.instruction)
        if item.query is not None:
            self.queries += 1
            self.lengths["query"].add(len(item.query))
            if keys.query:
                self.samples["query"].add(keys.query, item.query)
        lengths, sample = self.lengths["document"], self.samples["document"]
        for doc, digest in zip(item.documents, keys.documents, strict=True):
            self.documents[doc.kind] += 1
            lengths.add(len(doc.title) + len(doc.text) + bool(doc.title))
            if digest:
                sample.add(digest, doc.contents())

    def to_json(self) -> dict[str, Any]:
        return {
            "records": self.records,
            "examples": self.examples,
            "queries": self.queries,
            "own_instructions": self.own_instructions,
            **dict(zip(KINDS, self.documents, strict=True)),
            "characters": {part: self.lengths[part].to_json() for part in PARTS},
            "tokens": {part: self.samples[part].to_json() for part in PARTS},
        }


def merged(tasks: Iterable[TaskStatistics], size: int) -> TaskStatistics:
    """All tasks as one."""
    total = TaskStatistics(size, len)
    for task in tasks:
        for name in ("records", "examples", "queries", "own_instructions"):
            setattr(total, name, getattr(total, name) + getattr(task, name))
        total.documents = [a + b for a, b in zip(total.documents, task.documents, strict=True)]
        for part in PARTS:
            total.lengths[part].join(task.lengths[part])
            total.samples[part].join(task.samples[part])
    return total


def wholes(tasks: Mapping[str, TaskStatistics], judgements: int) -> dict[str, int]:
    """What shares are shares of: the counts of all tasks together."""
    documents = sum(sum(task.documents) for task in tasks.values())
    queries = sum(task.queries for task in tasks.values())
    return {
        "records": sum(task.records for task in tasks.values()),
        "examples": sum(task.examples for task in tasks.values()),
        "queries": queries,
        "documents": documents,
        "texts": queries + documents,
        "judgements": judgements,
    }


def counter(tokenizer: str) -> Counter:
    """Counts tokens of a tokenizer (a model source), special ones included; "": words."""
    if not tokenizer:
        return lambda text: len(text.split())
    from tart_jax.data.tokenization import Tokenizer

    loaded = Tokenizer.load(tokenizer)
    return lambda text: len(loaded.encode([text], 1 << 30)[0])
