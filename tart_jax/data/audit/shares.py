"""Shares of tasks, domains and units, and kinds of document that nobody is taught to want."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

import numpy as np

from tart_jax.data.audit import keys as keying
from tart_jax.data.audit import records
from tart_jax.data.audit.collect import Tables
from tart_jax.data.audit.judgements import Judgements
from tart_jax.data.audit.records import CORPUS, DOCUMENT_FIELDS
from tart_jax.data.audit.spill import LOW, LOW_BITS
from tart_jax.data.instructions import InstructionRow, read_table

UNFOLLOWING = DOCUMENT_FIELDS.index("unfollowing_negatives")


class Kind(NamedTuple):
    """Distinct texts of one kind of document: all, and those that serve some example so."""

    texts: int
    positives: int
    negatives: int

    @property
    def shunned(self) -> bool:
        """A model trained so learns to avoid them, whatever the instruction says."""
        return self.texts > 0 and self.positives == 0


def unit_of(task: str, table: Mapping[str, InstructionRow] | None) -> str:
    """The kind of a task's documents: its `unit` in the instruction table, else its name."""
    row = (table or {}).get(task)
    return row.unit if row is not None and row.unit else task


def by_group(
    examples: Mapping[str, int], table: Mapping[str, InstructionRow] | None
) -> dict[str, dict[str, int]]:
    """Examples by task, and by the table's domain and unit (Figures 8 and 9 of the TART paper)."""
    shares: dict[str, dict[str, int]] = {"task": {}, "domain": {}, "unit": {}}
    for task, count in examples.items():
        if not count:
            continue
        row = (table or {}).get(task)
        shares["task"][task] = count
        for name in ("domain", "unit"):
            part = (getattr(row, name) if row is not None else "") or "(not in the table)"
            shares[name][part] = shares[name].get(part, 0) + count
    return {
        name: dict(sorted(parts.items(), key=lambda part: (-part[1], part[0])))
        for name, parts in shares.items()
    }


class KindCounter:
    """Counts kinds from the sorted parts of `Tables.texts`.

    A text is of the kind of every task whose corpus holds it: as a document of the corpus, or as
    a positive or an ordinary negative of an example, which are drawn from it. Unfollowing negatives
    come from elsewhere: those that no corpus holds are a kind of their own for each task.
    """

    def __init__(self, tasks: Sequence[str], table: Mapping[str, InstructionRow] | None):
        units = [unit_of(task, table) for task in tasks]
        self.names = list(dict.fromkeys(units))
        self._unit = np.asarray([self.names.index(unit) for unit in units], np.int64)
        self._foreign = np.zeros((len(tasks), 2), np.int64)  # of no corpus, of some
        self._tasks = list(tasks)
        self._counts = np.zeros((len(self.names), 3), np.int64)

    def visit(self, part: np.ndarray) -> None:
        if not len(part):
            return
        texts = part[:, 0] >> np.uint64(LOW_BITS)
        tasks = (part[:, 0] & LOW).astype(np.int64)
        kinds = (part[:, 1] & LOW).astype(np.int64)
        group = np.concatenate([[0], np.cumsum(texts[1:] != texts[:-1])])
        count = int(group[-1]) + 1
        positive = np.bincount(group[kinds == 0], minlength=count) > 0
        negative = np.bincount(group[(kinds > 0) & (kinds < CORPUS)], minlength=count) > 0
        at_home = kinds != UNFOLLOWING
        homed = np.bincount(group[at_home], minlength=count) > 0
        size = len(self.names)
        pairs = np.unique(group[at_home] * size + self._unit[tasks[at_home]])
        texts_of, unit = pairs // size, pairs % size
        for column, chosen in enumerate((None, positive, negative)):
            units = unit if chosen is None else unit[chosen[texts_of]]
            self._counts[:, column] += np.bincount(units, minlength=size)
        foreign = np.unique(np.stack([group[~at_home], tasks[~at_home]], axis=1), axis=0)
        known = homed[foreign[:, 0]]
        for column, mask in enumerate((~known, known)):
            self._foreign[:, column] += np.bincount(
                foreign[mask, 1], minlength=len(self._tasks)
            )  # fmt: skip

    def kinds(self) -> dict[str, Kind]:
        found = {
            name: Kind(*counts)
            for name, counts in zip(self.names, self._counts.tolist(), strict=True)
        }
        for task, (unknown, known) in zip(self._tasks, self._foreign.tolist(), strict=True):
            if unknown and not known:
                found[f"unfollowing negatives of {task}"] = Kind(unknown, 0, unknown)
        return {name: kind for name, kind in found.items() if kind.texts}


def shunned(
    sources: Sequence[str | Path], *, instructions: str | Path | None = None, memory_mb: int = 512
) -> dict[str, Kind]:
    """Kinds of document in the corpora of a mixture that are never anybody's positive.

    sources: training files, TFDS or BEIR folders. A kind is the `unit` of the instruction table,
    or the task whose corpus it comes from.
    """
    table = read_table(instructions) if instructions else None
    with TemporaryDirectory() as folder:
        tables = Tables(Path(folder), memory_mb << 20)
        for source in (source for path in sources for source in records.find(path)):
            judged = Judgements(source) if source.layout == "beir" else None
            for item in source.items():
                if not item.problem:
                    keys = keying.of(item)
                    tables.add(item, keys)
                    for kind in judged.see(item, keys) if judged else ():
                        tables.judged(item, keys, kind)
        counter = KindCounter(list(tables.tasks), table)
        for part in tables.texts.groups():
            counter.visit(part)
    return {name: kind for name, kind in counter.kinds().items() if kind.shunned}
