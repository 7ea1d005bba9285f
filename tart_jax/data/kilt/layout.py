"""The files of a built KILT folder, each written from a stream and put in its place when whole."""

import hashlib
import json
import logging
import shutil
from array import array
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from tart_jax import io
from tart_jax.data import examples
from tart_jax.data.examples import TrainingExample
from tart_jax.data.kilt import mapping, tasks
from tart_jax.data.kilt.knowledge_source import Page
from tart_jax.data.kilt.mapping import PassageTable
from tart_jax.data.kilt.passages import Chunking, passages
from tart_jax.data.kilt.queries import Forms
from tart_jax.data.kilt.tasks import Item
from tart_jax.types import InputError

logger = logging.getLogger(__name__)

CORPUS_FILES = ("corpus.jsonl", "passages.npy", "pages.npy")
LOG_EVERY = 500_000  # pages


def write_corpus(
    folder: Path,
    pages: Iterable[tuple[int, Page]],
    *,
    source: str | Path,
    chunking: Chunking,
    size: int,
    cross_sections: bool,
) -> dict[str, Any]:
    """Writes corpus.jsonl and its two tables from (line number, page); returns what was counted.

    Holds one page, 8 bytes a passage and 24 a page. InputError: a page id given twice, no passage.
    """
    counts, digest = Counter[str](pages=0, passages=0), hashlib.sha256()
    begins, table, lines = array("q", [0]), array("q"), array("q")
    with io.writing(folder / CORPUS_FILES[0]) as aside, aside.open("wb") as file:
        for number, page in pages:
            table.extend((int(page.wikipedia_id), len(begins) - 1))
            lines.append(number)
            before = len(begins)
            for passage in passages(
                page, chunking=chunking, size=size, cross_sections=cross_sections
            ):
                line = (json.dumps(passage.record(), ensure_ascii=False) + "\n").encode("utf-8")
                file.write(line)
                digest.update(line)
                begins.append(begins[-1] + len(line))
            counts["pages"] += 1
            counts["pages without a passage"] += len(begins) == before
            if not counts["pages"] % LOG_EVERY:
                logger.info("%s pages, %s passages", f"{counts['pages']:,}", f"{len(begins):,}")
        if len(begins) == 1:
            raise InputError(f"{source} gives no passage; is it the KILT knowledge source?")
        table.extend((0, len(begins) - 1))
        rows = np.asarray(table, np.int64).reshape(-1, 2)
        _refuse_repeated(rows[:-1, 0], lines, source)
        _save(folder / CORPUS_FILES[1], np.asarray(begins, np.int64))
        _save(folder / CORPUS_FILES[2], rows)
    counts["passages"] = len(begins) - 1
    return {**counts, "bytes": begins[-1], "fingerprint": digest.hexdigest()}


def _save(path: Path, values: np.ndarray) -> None:
    with io.writing(path) as aside, aside.open("wb") as file:
        np.save(file, values)


def _refuse_repeated(ids: np.ndarray, lines: array, source: str | Path) -> None:
    order = np.argsort(ids, kind="stable")
    twice = np.flatnonzero(ids[order][1:] == ids[order][:-1])
    if len(twice):
        first, second = order[twice[0]], order[twice[0] + 1]
        raise InputError(
            f"{source}: 'wikipedia_id' {ids[first]} on lines {lines[first]} and {lines[second]};"
            " a page stands once."
        )


@dataclass(frozen=True)
class TaskFile:
    """A task's file and how its items become queries and passages."""

    task: str
    path: Path
    forms: Forms
    threshold: float  # BLEU
    seed: int
    inputs: Mapping[str, str]  # TriviaQA's questions by id
    max_items: int = 0  # lines to read; 0: all

    def mapped(
        self, table: PassageTable, counts: Counter[str], drops: Counter[str]
    ) -> Iterator[tuple[int, Item, str, list[int]]]:
        """(line, item, query, positions of its passages) of items that have some.

        counts: lines, and the items that lack something; drops: provenances, by reason.
        """
        form = tasks.require_task(self.task).form
        items = tasks.read_items(self.path, inputs=self.inputs)
        for number, item in islice(items, self.max_items or None):
            counts["lines"] += 1
            query = self.forms.query(item.input, form, f"{self.path}: line {number}")
            counts["without answers"] += not item.answers()
            if not item.provenance():
                counts["without provenance"] += 1
                continue
            counts["provenances"] += len(item.provenance())
            positions = mapping.positives(item, table, threshold=self.threshold, drops=drops)
            if positions:
                counts["kept"] += 1
                yield number, item, query, positions
            else:
                counts["without a passage"] += 1

    def refuse_nothing(self, counts: Counter[str], drops: Counter[str]) -> None:
        if not counts["kept"]:
            why = ", ".join(f"{n:,} {reason}" for reason, n in drops.most_common())
            raise InputError(
                f"{self.path}: none of {counts['lines']:,} items has a passage in the corpus"
                f" (provenances: {why or 'none'}); is it a file with provenance, and max_pages high"
                " enough?"
            )


def write_train(path: Path, file: TaskFile, table: PassageTable, num_negatives: int) -> dict:
    """Writes the training examples of a task; returns its counts."""
    counts, drops = new_counts(), Counter[str]()

    def found() -> Iterator[TrainingExample]:
        for _, item, query, positions in file.mapped(table, counts, drops):
            negatives = mapping.draw(
                len(table),
                num_negatives,
                avoid=_passages_of_pages(item, table) | set(positions),
                seed=file.seed,
                key=f"{file.task}\0{item.kilt_id}",
            )
            yield TrainingExample(
                file.task,
                item.query_id,
                query,
                positives=tuple(map(table.document, positions)),
                negatives=tuple(map(table.document, negatives)),
            )
        file.refuse_nothing(counts, drops)

    examples.write(path, found())
    return {**counts, "dropped provenances": dict(drops.most_common())}


def write_dev(folder: Path, file: TaskFile, table: PassageTable, documents: int) -> dict:
    """Writes a BEIR folder: queries.jsonl, qrels/test.tsv, and corpus.jsonl with a part of all.

    documents: passages drawn into that corpus besides the judged ones; 0: no such file.
    """
    counts, drops = new_counts(), Counter[str]()
    queries: dict[str, tuple[int, dict[str, str]]] = {}
    judged: dict[str, list[int]] = {}
    for number, item, query, positions in file.mapped(table, counts, drops):
        record = {"_id": item.query_id, "text": query, "kilt_id": item.kilt_id}
        line, _ = queries.setdefault(item.query_id, (number, record))
        if line != number:
            raise InputError(
                f"{file.path}: 'id' {item.kilt_id!r} on lines {line} and {number}; ids are unique."
            )
        judged[item.query_id] = positions
    file.refuse_nothing(counts, drops)
    gold = dict.fromkeys(position for positions in judged.values() for position in positions)
    with io.writing(folder) as aside:
        io.write_jsonl(aside / "queries.jsonl", (record for _, record in queries.values()))
        qrels = {
            query_id: {table[position].doc_id: 1 for position in positions}
            for query_id, positions in judged.items()
        }
        io.write_qrels(aside / "qrels" / "test.tsv", qrels)
        if documents:
            drawn = mapping.draw(
                len(table), documents, avoid=set(gold), seed=file.seed, key=f"{file.task}\0dev"
            )
            io.write_jsonl(
                aside / "corpus.jsonl",
                (table[position].record() for position in sorted([*gold, *drawn])),
            )
            counts["documents"] = len(gold) + len(drawn)
        if folder.exists():
            shutil.rmtree(folder)
    return {**counts, "dropped provenances": dict(drops.most_common())}


def new_counts() -> Counter[str]:
    names = ("lines", "kept", "without provenance", "without answers", "without a passage")
    return Counter(dict.fromkeys((*names, "provenances"), 0))


def _passages_of_pages(item: Item, table: PassageTable) -> set[int]:
    """All passages of the pages an item names: they may well answer it, so none is a negative."""
    pages = (table.page(provenance.wikipedia_id) for provenance in item.provenance())
    return {position for page in pages for position in page or ()}
