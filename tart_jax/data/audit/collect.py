"""The first pass: every item once, its own faults, and 16 bytes for each of its texts."""

from collections.abc import Callable, Container, Iterable, Iterator, Mapping
from pathlib import Path

import numpy as np

from tart_jax.data.audit import keys as keying
from tart_jax.data.audit.faults import Tally
from tart_jax.data.audit.inspect import inspect
from tart_jax.data.audit.judgements import Judgements
from tart_jax.data.audit.leakage import TestTexts
from tart_jax.data.audit.records import Item, Source
from tart_jax.data.audit.spill import LOW, Keys, Spill
from tart_jax.data.audit.statistics import TaskStatistics
from tart_jax.types import InputError


class Tables:
    """What the items are compared through: pairs of hashes, in memory or on disk.

    texts: (text and task, document id and kind). asked: (query and task, whole example).
    ids: (id, text and task), of queries at once, of documents by `of_documents`.
    """

    def __init__(self, folder: Path, limit: int):
        self.folder, self.limit = folder, limit
        self.tasks: dict[str, int] = {}
        self.texts = Spill(folder, "texts", limit // 4)
        self.asked = Spill(folder, "asked", limit // 16)
        self.ids = Spill(folder, "ids", limit // 16)

    def number(self, task: str) -> int:
        number = self.tasks.setdefault(task, len(self.tasks))
        if number > int(LOW):
            raise InputError(
                f"there are more than {int(LOW) + 1} tasks, the last {task!r}; audit parts of them."
            )
        return number

    def add(self, item: Item, keys: keying.Keys) -> None:
        task = self.number(item.task)
        if item.query is not None and keys.query:
            self.asked.append(keys.asked, task, keys.whole, 0)
            self.ids.append(keys.query_id, 1, keys.query, task)
        append = self.texts.append
        for doc, text, doc_id in zip(item.documents, keys.documents, keys.ids, strict=True):
            if text:
                append(text, task, doc_id, doc.kind)

    def judged(self, item: Item, keys: keying.Keys, kind: int) -> None:
        """A document of a corpus serves some query as a document of this kind."""
        if keys.documents[0]:
            self.texts.append(keys.documents[0], self.number(item.task), keys.ids[0], kind)

    def spilled(self) -> bool:
        return self.texts.spilled or self.asked.spilled or self.ids.spilled


class Repeats:
    """Hashes of what occurs more than once, for the second pass to find the places."""

    def __init__(self, folder: Path):
        self.keys = {
            name: Keys(folder / f"repeated-{name}")
            for name in ("asked", "whole", "texts", "doc_ids", "query_ids")
        }


def scan(
    sources: Iterable[Source],
    *,
    judged: Mapping[Path, Judgements],
    statistics: Callable[[str], TaskStatistics],
    tables: Tables,
    tally: Tally,
    tests: TestTexts,
    instructed: Container[str] | None,
) -> Iterator[Item]:
    """Hands every item on after counting it."""
    for source in sources:
        for item in source.items():
            counts = statistics(item.task)
            counts.records += 1
            if item.problem:
                tally.add("malformed", item.task, item.where, item.problem)
                yield item
                continue
            keys = keying.of(item)
            counts.add(item, keys)
            tables.add(item, keys)
            if source.path in judged:
                for kind in judged[source.path].see(item, keys):
                    tables.judged(item, keys, kind)
            inspect(item, keys, keying.leaks(item, keys, tests), tally, instructed)
            yield item


def compare(tables: Tables, tally: Tally, visit: Callable[[np.ndarray], None]) -> Repeats:
    """Counts what the tables tell; `visit` gets each sorted part of `texts`."""
    names, repeats = list(tables.tasks), Repeats(tables.folder)
    for part in tables.asked.groups():
        _asked(part, names, tally, repeats)
    for part in tables.texts.groups():
        visit(part)
        # Without the kind in their low bits the values stay in order.
        part = _distinct(part & np.asarray([~np.uint64(0), ~LOW]))
        twice = _repeated(part[:, 0])
        _count(tally, "duplicate_document", names, part[twice, 0])
        repeats.keys["texts"].extend(np.unique(part[twice, 0]))
        tables.ids.extend(part[:, ::-1].copy())
    for part in tables.ids.groups():
        part = _distinct(part)
        twice = _repeated(part[:, 0])
        is_query = (part[:, 0] & LOW).astype(bool)
        for fault, name, mask in (
            ("conflicting_id", "doc_ids", ~is_query),
            ("conflicting_query_id", "query_ids", is_query),
        ):
            found, first = np.unique(part[twice & mask, 0], return_index=True)
            repeats.keys[name].extend(found)
            _count(tally, fault, names, part[twice & mask, 1][first])
    return repeats


def _asked(part: np.ndarray, names: list[str], tally: Tally, repeats: Repeats) -> None:
    same = _repeated(part[:, 0]) & _repeated_pairs(part)
    _count(tally, "duplicate_example", names, part[same, 0])
    repeats.keys["whole"].extend(np.unique(part[same, 0]))
    part = _distinct(part)
    twice = _repeated(part[:, 0])
    _count(tally, "duplicate_query", names, part[twice, 0])
    repeats.keys["asked"].extend(np.unique(part[twice, 0]))


def _distinct(part: np.ndarray) -> np.ndarray:
    """Sorted pairs without repeats."""
    return part[~_repeated_pairs(part)]


def _repeated(values: np.ndarray) -> np.ndarray:
    """True where a sorted value equals the one before it."""
    return np.concatenate([np.zeros(min(len(values), 1), bool), values[1:] == values[:-1]])


def _repeated_pairs(part: np.ndarray) -> np.ndarray:
    return _repeated(part[:, 0]) & _repeated(part[:, 1])


def _count(tally: Tally, fault: str, names: list[str], numbered: np.ndarray) -> None:
    """Counts by the task in the low bits."""
    counts = np.bincount((numbered & LOW).astype(np.intp), minlength=len(names))
    for name, count in zip(names, counts.tolist(), strict=True):
        tally.count(fault, name, count)
