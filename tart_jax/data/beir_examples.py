"""Training examples from a collection in BEIR's layout, without what dev and test hold."""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np

from tart_jax import io
from tart_jax.data import corpus
from tart_jax.data.examples import TrainingExample
from tart_jax.data.splits import HeldOutTexts, text_hash
from tart_jax.types import Document, InputError, Qrels


class Task(NamedTuple):
    """A collection: queries, judgements by split, and whether the splits are its publisher's."""

    name: str
    folder: Path
    queries: dict[str, str]
    qrels: dict[str, Qrels]
    official: bool

    def answers(self, *splits: str) -> set[str]:
        """The ids, as they are written, of all documents that answer a query of these splits."""
        judged = [hits for split in splits for hits in self.qrels.get(split, {}).values()]
        return {f"{self.name}/{doc_id}" for hits in judged for doc_id in hits if hits[doc_id] > 0}


def asked_and_answered(task: Task, folder: Path) -> Iterator[str]:
    """The texts of dev and test: queries, and documents of `folder` that answer them."""
    for split in ("dev", "test"):
        yield from (task.queries[query] for query in task.qrels.get(split, {}))
    answers = task.answers("dev", "test")
    for document in corpus.read_documents(folder):
        if document.doc_id in answers:
            yield from {document.text, document.contents()}


def add_held_out(folder: Path, texts: HeldOutTexts) -> None:
    """Adds the queries and the relevant documents of a BEIR folder, or of all folders in it.

    InputError: no judgements anywhere.
    """
    folders = sorted(path.parent for path in io.existing(folder, "folder").glob("**/qrels"))
    if not folders:
        raise InputError(f"{folder} holds no qrels folder, nor do its folders: not BEIR's layout.")
    for each in folders:
        qrels = [io.read_qrels(path) for path in sorted((each / "qrels").glob("*.tsv"))]
        asked = {query_id for part in qrels for query_id in part}
        texts.add((q.text for q in corpus.read_queries(each) if q.query_id in asked), each.name)
        relevant = {d for part in qrels for hits in part.values() for d, s in hits.items() if s > 0}
        for document in corpus.read_documents(each):
            if document.doc_id in relevant:
                texts.add({document.text, document.contents()}, each.name)


def training(
    task: Task,
    folder: Path,
    texts: HeldOutTexts,
    drops: Counter[str],
    *,
    seed: int,
    num_negatives: int,
    max_train_per_task: int,
) -> Iterator[TrainingExample]:
    """A task's training split in hash order, less every text that dev or test of any task hold.

    A publisher's own splits may share documents (NFCorpus's do): there a task's own held-out
    documents stay. Random negatives are drawn by (seed, query id). drops: counts what is left out.
    """
    places, size = _places(folder, task.answers("train"))
    lookup, own = corpus.Lookup(folder), task.name if task.official else ""

    def free(document: Document) -> bool:
        wordings = (document.text, document.contents())
        return not any(texts.holds(text, but=own) for text in wordings)

    train = task.qrels.get("train", {})
    made = 0
    for query in sorted(train, key=lambda query: text_hash(f"{seed} {query}")):
        if max_train_per_task and made == max_train_per_task:
            drops["over max_train_per_task"] += 1
            continue
        relevant = {f"{task.name}/{d}" for d, score in train[query].items() if score > 0}
        known = sorted(places[doc_id] for doc_id in relevant if doc_id in places)
        positives = tuple(filter(free, lookup.fetch(known).values()))
        if texts.holds(task.queries[query]) or not positives:
            drops["query held out" if positives else "no positive left"] += 1
            continue
        draw = np.random.default_rng(text_hash(f"{seed} {task.name} {query}"))
        negatives = _negatives(lookup, draw, size, known, num_negatives, free)
        name = f"{task.name}/{query}"
        yield TrainingExample(task.name, name, task.queries[query], positives, negatives)
        made += 1


def _places(folder: Path, wanted: set[str]) -> tuple[dict[str, int], int]:
    """Where the wanted documents stand in the corpus, and how many it holds."""
    places, size = {}, 0
    for size, document in enumerate(corpus.read_documents(folder), start=1):
        if document.doc_id in wanted:
            places[document.doc_id] = size - 1
    return places, size


def _negatives(
    lookup: corpus.Lookup,
    draw: np.random.Generator,
    size: int,
    known: Iterable[int],
    count: int,
    free: Callable[[Document], bool],
) -> tuple[Document, ...]:
    """`count` random documents that may be taken; fewer where the corpus has hardly any."""
    taken: dict[int, Document] = {}
    seen = set(known)
    for _ in range(10):
        places = dict.fromkeys(draw.integers(size, size=count).tolist())
        found = lookup.fetch(place for place in places if place not in seen)
        taken |= {place: document for place, document in found.items() if free(document)}
        seen |= set(places)
        if len(taken) >= count:
            break
    return tuple(taken.values())[:count]
