"""What mined examples hold: counts, scores by kind, estimated false negatives, and overlap."""

import math
from array import array
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import combinations
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from tart_jax import io
from tart_jax.data import examples
from tart_jax.data.examples import DOCUMENT_FIELDS
from tart_jax.mine.denoise import Thresholds
from tart_jax.mine.streaming import Best, Histogram, Share, digest
from tart_jax.types import Document, InputError

# A document's kind: the field of the example where it stands, and the word that reports say.
KINDS = dict(zip(DOCUMENT_FIELDS, ("positive", "random", "hard", "unfollowing"), strict=True))
POSITIVE, RANDOM, HARD, UNFOLLOWING = KINDS.values()
NEGATIVES = (RANDOM, HARD, UNFOLLOWING)
COMPARED = 100_000  # queries of a file that are compared with another's, about 300 bytes each
HUGE = 1e300  # greater scores are no scores, and would not fit the bins of a histogram


class Entry(NamedTuple):
    """A document of an example. retrieved: the retriever's score; score: the teacher's."""

    kind: str
    document: Document
    retrieved: float | None
    score: float | None


@dataclass(frozen=True)
class Mined:
    """One line of a mined file."""

    task: str
    query_id: str
    query: str
    instruction: str | None
    entries: tuple[Entry, ...]

    def of(self, *kinds: str) -> list[Entry]:
        return [entry for entry in self.entries if entry.kind in kinds]

    def scored(self, scores: Sequence[float]) -> "Mined":
        """With a teacher's scores instead of its own, in the order of the entries."""
        pairs = zip(self.entries, scores, strict=True)
        return replace(self, entries=tuple(e._replace(score=float(s)) for e, s in pairs))


def read(path: Path) -> Iterator[Mined]:
    """The lines of a file of training examples, mined or not; InputError: a bad line."""
    number = 0
    for number, record in io.read_jsonl(path):
        where = f"{path}: line {number}"
        example = examples.parse(record, where)
        entries = [
            Entry(kind, document, _number(fields, "retrieved", where),
                  _number(fields, "score", where))
            for name, kind in KINDS.items()
            for fields, document in zip(record.get(name, ()), getattr(example, name), strict=True)
        ]  # fmt: skip
        yield Mined(
            example.task, example.query_id, example.query, example.instruction, tuple(entries)
        )
    if not number:
        raise InputError(f"{path} holds no example; name a file that `tart-jax mine` wrote.")


def _number(fields: Mapping[str, Any], key: str, where: str) -> float | None:
    value = fields.get(key)
    if value is None:
        return None
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if not is_number or not abs(value) <= HUGE:
        raise InputError(
            f"{where}: document {fields['doc_id']!r} has {key} {str(value)[:40]!r}; it should be"
            " a finite number, or left out."
        )
    return float(value)


def _histogram() -> Histogram:
    return Histogram(KINDS.values())


def _shares() -> dict[str, Share]:
    return {kind: Share() for kind in KINDS.values()}


@dataclass
class Group:
    """What the examples of one task hold, or all of them.

    sizes: how many queries have so many documents of a kind. positive: documents that the teacher
    calls positive; above: those that it scores above every positive of their own query.
    """

    sizes: dict[str, Counter[int]] = field(
        default_factory=lambda: {kind: Counter() for kind in KINDS.values()}
    )
    retrieved: Histogram = field(default_factory=_histogram)
    teacher: Histogram = field(default_factory=_histogram)
    positive: dict[str, Share] = field(default_factory=_shares)
    above: dict[str, Share] = field(default_factory=_shares)

    def count(self, mined: Mined) -> None:
        for kind, sizes in self.sizes.items():
            sizes[len(mined.of(kind))] += 1
        for entry in mined.entries:
            if entry.retrieved is not None:
                self.retrieved.add(entry.kind, entry.retrieved)

    def judge(self, mined: Mined, thresholds: Thresholds) -> None:
        """Counts the documents that have a teacher's score."""
        entries = [(e.kind, e.score) for e in mined.entries if e.score is not None]
        scores = np.array([score for _, score in entries], np.float64)
        called = thresholds.normalized(scores) > thresholds.positive_above
        best = max((score for kind, score in entries if kind == POSITIVE), default=None)
        for kind, score in entries:
            self.teacher.add(kind, score)
        for kind in KINDS.values():
            chosen = np.array([each == kind for each, _ in entries], bool)
            self.positive[kind].add(int(called[chosen].sum()), int(chosen.sum()))
            if best is not None and kind != POSITIVE:
                self.above[kind].add(int((scores[chosen] > best).sum()), int(chosen.sum()))

    def to_json(self) -> dict[str, Any]:
        return {
            "queries": self.sizes[HARD].total(),
            "queries_without_hard": self.sizes[HARD][0],
            "kinds": {
                kind: {
                    **_per_query(self.sizes[kind]),
                    "called_positive": self.positive[kind].to_json(),
                    "above_positive": self.above[kind].to_json(),
                }
                for kind in KINDS.values()
            },
            "retrieved": self.retrieved.to_json(),
            "teacher": self.teacher.to_json(),
        }


def _per_query(sizes: Counter[int]) -> dict[str, Any]:
    documents = sum(size * count for size, count in sizes.items())
    ordered = sorted(size for size, count in sizes.items() if count)
    below = np.cumsum([sizes[size] for size in ordered])
    return {
        "documents": documents,
        "queries_without": sizes[0],
        "mean": documents / sizes.total(),
        "least": ordered[0],
        "median": ordered[int(np.searchsorted(below, sizes.total() / 2))],
        "most": ordered[-1],
    }


class Signature(NamedTuple):
    """The hard negatives of a query, as hashes of their ids."""

    task: str
    ids: array


@dataclass
class Survey:
    """What one pass over a file found; `sample` waits for a teacher, `shown` are read by a person.

    `signatures` are by a number of the query, the same one in every file.
    """

    total: Group
    tasks: dict[str, Group]
    sample: Best[Mined]
    shown: Best[Mined]
    signatures: Best[Signature]

    def judge(self, place: int, mined: Mined, thresholds: Thresholds) -> None:
        """Counts what the scores say, and shows the queries whose negatives score highest.

        place: orders queries without scores, which come last.
        """
        for group in (self.total, self.tasks[mined.task]):
            group.judge(mined, thresholds)
        negatives = mined.of(*NEGATIVES)
        if negatives:
            scores = [e.score for e in negatives if e.score is not None]
            self.shown.add((max(scores, default=-math.inf), place), mined)

    def to_json(self) -> dict[str, Any]:
        tasks = {task: self.tasks[task].to_json() for task in sorted(self.tasks)}
        return {**self.total.to_json(), "tasks": tasks}


def survey(
    lines: Iterable[Mined],
    *,
    thresholds: Thresholds,
    seed: int,
    sample: int,
    shown: int,
    compared: int = COMPARED,
) -> Survey:
    """One pass. sample: queries drawn for a teacher; 0: the scores in the file are judged."""
    found = Survey(Group(), defaultdict(Group), Best(sample), Best(shown), Best(compared))
    for mined in lines:
        # The same queries are drawn from every file, whatever else it holds.
        place = digest(f"{seed}\0{mined.task}\0{mined.query_id}")
        for group in (found.total, found.tasks[mined.task]):
            group.count(mined)
        if found.signatures.wants(place):
            ids = {digest(e.document.doc_id or e.document.contents()) for e in mined.of(HARD)}
            found.signatures.add(place, Signature(mined.task, array("Q", sorted(ids))))
        if sample:
            found.sample.add(place, mined)
        else:
            found.judge(place, mined, thresholds)
    return found


def overlap(surveys: Mapping[str, Survey]) -> list[dict[str, Any]]:
    """Of each pair of files, what their hard negatives have in common on the queries of both."""
    held = {name: dict(found.signatures.items()) for name, found in surveys.items()}
    pairs = []
    for a, b in combinations(surveys, 2):
        tasks: dict[str, list[Sequence[int]]] = defaultdict(list)
        for place in held[a].keys() & held[b].keys():
            ours, theirs = (set(held[name][place].ids) for name in (a, b))
            both = len(ours & theirs)
            tasks[held[a][place].task].append((len(ours) - both, both, len(theirs) - both))
        every = [row for rows in tasks.values() for row in rows]
        by_task = {task: _common(tasks[task]) for task in sorted(tasks)}
        pairs.append({"a": a, "b": b, **_common(every), "tasks": by_task})
    return pairs


def _common(rows: Sequence[Sequence[int]]) -> dict[str, Any]:
    """rows: of each query the documents of the first only, of both, of the second only."""
    counts = np.array(rows, np.int64).reshape(-1, 3)
    unions = counts.sum(axis=1)
    told = unions > 0  # where neither has any there is nothing to compare
    jaccard = counts[told, 1] / unions[told]
    only_a, both, only_b = counts.sum(axis=0).tolist()
    return {
        "queries": len(counts),
        "queries_compared": int(told.sum()),
        "mean_jaccard": float(jaccard.mean()) if len(jaccard) else None,
        "only_a": only_a,
        "both": both,
        "only_b": only_b,
    }
