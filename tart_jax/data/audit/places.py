"""The second pass: where repeated texts stand, and documents that change sides."""

from collections.abc import Callable, Iterable, Iterator
from itertools import islice

import numpy as np

from tart_jax.data.audit import keys as keying
from tart_jax.data.audit import texts
from tart_jax.data.audit.collect import Repeats, Tables
from tart_jax.data.audit.faults import Tally
from tart_jax.data.audit.records import CORPUS, Item
from tart_jax.data.audit.spill import LOW, LOW_BITS, Spill, number

REMEMBERED = 1 << 16  # first places kept per fault; beyond them, later repeats are not shown
# The fault whose places each list of repeated keys helps to find.
FAULTS = {
    "whole": "duplicate_example",
    "asked": "duplicate_query",
    "texts": "duplicate_document",
    "doc_ids": "conflicting_id",
    "query_ids": "conflicting_query_id",
}


class Finder:
    """Shows what equals, or contradicts, something earlier."""

    def __init__(self, repeats: Repeats, tally: Tally):
        self._keys, self._tally = repeats.keys, tally
        self._first: dict[str, dict[int, tuple[object, str]]] = {name: {} for name in FAULTS}

    def wanted(self, name: str) -> bool:
        fault = FAULTS[name]
        total = self._tally.total(fault)
        return len(self._tally.places[fault]) < min(self._tally.shown, total)

    def see(self, name: str, key: int, value: object, where: str, said: str) -> None:
        """Shows the item where its key was seen with another value."""
        if key not in self._keys[name]:
            return
        first = self._first[name]
        if key not in first:
            if len(first) < REMEMBERED:
                first[key] = (value, where)
        elif first[key][0] != value:
            self._tally.show(FAULTS[name], where, f"{said} (as {first[key][1]})")

    def see_equal(self, key: int, whole: bytes, where: str, said: str) -> None:
        """Shows an example that equals an earlier one."""
        first = self._first["whole"]
        if key not in self._keys["whole"]:
            return
        copy = int.from_bytes(whole, "big")
        if copy in first:
            self._tally.show("duplicate_example", where, f"{said} (as {first[copy][1]})")
        elif len(first) < REMEMBERED:
            first[copy] = (None, where)


def find(
    items: Callable[[], Iterable[Item]], tables: Tables, repeats: Repeats, tally: Tally
) -> None:
    """Fills in the places of repeats and counts conflicting duplicates.

    Ends at the last place wanted; only where queries repeat is everything read.
    """
    finder = Finder(repeats, tally)
    conflicts = Spill(tables.folder, "conflicts", tables.limit // 4)
    all_wanted = len(repeats.keys["asked"]) > 0
    wanted = {name for name in FAULTS if finder.wanted(name)}
    if not wanted and not all_wanted:
        return
    for ordinal, item in enumerate(items()):
        if item.problem:
            continue
        keys, task = keying.of(item), tables.number(item.task)
        _see(finder, wanted, item, keys, task)
        if all_wanted and keys.query and number(keys.asked, task) in repeats.keys["asked"]:
            _sides(conflicts, item, keys, task, ordinal)
        if ordinal % 256 == 0:
            wanted = {name for name in wanted if finder.wanted(name)}
            if not wanted and not all_wanted:
                break
    _conflicts(conflicts, list(tables.tasks), tally, items)


def _see(finder: Finder, wanted: set[str], item: Item, keys: keying.Keys, task: int) -> None:
    query = f"query: {(item.query or '')[:80]}"
    if keys.query and "whole" in wanted:
        finder.see_equal(number(keys.asked, task), keys.whole, item.where, query)
    if keys.query and "asked" in wanted:
        finder.see("asked", number(keys.asked, task), keys.whole, item.where, query)
    if keys.query and "query_ids" in wanted:
        key = number(keys.query_id, 1)
        finder.see("query_ids", key, keys.query, item.where, f"{item.query_id}: {query}")
    if not {"texts", "doc_ids"} & wanted:
        return
    for doc, text, doc_id in zip(item.documents, keys.documents, keys.ids, strict=True):
        if not text:
            continue
        said = f"{doc.doc_id}: {doc.contents()[:80]}"
        if "texts" in wanted:
            finder.see("texts", number(text, task), doc.doc_id, item.where, said)
        if "doc_ids" in wanted:
            finder.see("doc_ids", number(doc_id, 0), text, item.where, said)


def _sides(conflicts: Spill, item: Item, keys: keying.Keys, task: int, ordinal: int) -> None:
    """Notes which texts the item calls positive (0) and negative (1)."""
    own = keying.own_negatives(item, keys)
    inner = {keys.documents[place] for place in own}
    value = (ordinal << LOW_BITS).to_bytes(8, "little")
    for doc, text in zip(item.documents, keys.documents, strict=True):
        if text and text not in inner and doc.kind < CORPUS:
            conflicts.append(texts.digest(keys.asked + text), task, value, int(doc.kind > 0))


def _conflicts(
    conflicts: Spill, names: list[str], tally: Tally, items: Callable[[], Iterable[Item]]
) -> None:
    shown: list[tuple[int, int]] = []
    for part in conflicts.groups():
        starts = np.flatnonzero(np.concatenate([[True], part[1:, 0] != part[:-1, 0]]))
        sides = (part[:, 1] & LOW).astype(np.int64)
        counts = np.diff(np.append(starts, len(part)))
        negatives = np.add.reduceat(sides, starts)
        for start, count in zip(
            starts[(negatives > 0) & (negatives < counts)],
            counts[(negatives > 0) & (negatives < counts)],
            strict=True,
        ):
            tally.count("conflicting_duplicate", names[int(part[start, 0] & LOW)], 1)
            rows = part[start : start + count, 1]
            ordinals = rows >> np.uint64(LOW_BITS)
            first, other = (int(ordinals[(rows & LOW) == side][0]) for side in (0, 1))
            shown = sorted([*shown, (max(first, other), min(first, other))])[: tally.shown]
    wanted = {ordinal for pair in shown for ordinal in pair}
    where = {}
    for ordinal, item in _chosen(items(), wanted):
        where[ordinal] = (item.where, f"query: {(item.query or '')[:80]}")
    for later, earlier in shown:
        tally.show("conflicting_duplicate", where[later][0],
                   f"{where[later][1]} (against {where[earlier][0]})")  # fmt: skip


def _chosen(items: Iterable[Item], wanted: set[int]) -> Iterator[tuple[int, Item]]:
    for ordinal, item in enumerate(islice(items, max(wanted, default=-1) + 1)):
        if ordinal in wanted:
            yield ordinal, item
