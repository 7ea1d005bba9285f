"""BEIR folders: corpus.jsonl, queries.jsonl and qrels/<split>.tsv."""

import contextlib
import hashlib
import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from tart_jax import io
from tart_jax.data import lookup
from tart_jax.data.examples import TrainingExample
from tart_jax.data.exchange import writers
from tart_jax.data.exchange.records import EMPTY_QUERY, Item, Record, Rejected
from tart_jax.data.exchange.writers import Exported
from tart_jax.types import Document, InputError

NO_QUERY = "its query is not in the queries file"
NO_JUDGED = "no document with enough relevance is in the corpus"


def read(
    path: str | Path,
    *,
    task: str,
    split: str = "train",
    threshold: float = 1.0,
    random_negatives: int = 0,
    seed: int = 0,
) -> Iterator[Item]:
    """One example a query of qrels/<split>.tsv.

    Documents of relevance >= threshold are positives, those of 0 or less hard negatives; what lies
    between is neither, and noted. random_negatives: so many documents of the corpus, none of them
    judged, from (seed, query id).
    """
    path = io.existing(path, "BEIR folder")
    qrels_path = path / "qrels" / f"{split}.tsv"
    qrels = io.read_qrels(qrels_path)
    queries = lookup.queries_of(path)
    documents = lookup.of_corpus(path)
    for query_id, judged in qrels.items():
        record = Record({}, f"{qrels_path}: query {query_id}")
        query = queries.get(query_id)
        if query is None:
            yield Rejected(record.where, NO_QUERY)
            continue
        if not query.text.strip():
            yield Rejected(record.where, EMPTY_QUERY)
            continue
        found = sort_judged(record, judged, documents, threshold)
        if not found[0]:
            yield Rejected(record.where, NO_JUDGED)
            continue
        drawn = documents.random(random_negatives, seed=seed, query_id=query_id, avoid=set(judged))
        yield record.read(
            task,
            record.clean(query.text, "'text'"),
            query_id=query_id,
            instruction=record.clean(query.instruction, "'instruction'") or None,
            positives=found[0],
            hard_negatives=found[1],
            negatives=[d for raw in drawn for d in record.cleaned(raw)],
        )


def sort_judged(
    record: Record, judged: dict[str, int], documents: lookup.ById, threshold: float
) -> tuple[list[Document], list[Document]]:
    """(relevant, not relevant) documents of a query's judgements."""
    positives: list[Document] = []
    negatives: list[Document] = []
    for doc_id, relevance in judged.items():
        if 0 < relevance < threshold:
            record.changes.append("documents judged between 0 and the threshold left out")
            continue
        document = documents.get(doc_id)
        if document is None:
            record.changes.append("judged documents that are not in the corpus left out")
            continue
        (positives if relevance >= threshold else negatives).extend(record.cleaned(document))
    return positives, negatives


def write(path: Path, examples: Iterable[TrainingExample], *, split: str = "train") -> Exported:
    """A folder: all documents of the examples, judged 1 and 0; their ids are held in memory.

    Random negatives are in the corpus without a judgement. InputError: one id for two texts.
    """
    exported, judged = Exported(), dict[str, dict[str, int]]()
    with contextlib.ExitStack() as stack:
        corpus_file, queries_file = (
            stack.enter_context(
                stack.enter_context(io.writing(path / name)).open("w", encoding="utf-8")
            )
            for name in ("corpus.jsonl", "queries.jsonl")
        )
        documents, queries = _Distinct("document"), _Distinct("query")
        for example in exported.count(examples):
            fields: dict[str, Any] = {"_id": example.query_id, "text": example.query}
            if example.instruction:
                fields["instruction"] = example.instruction
            if queries.add(fields):
                queries_file.write(json.dumps(fields, ensure_ascii=False) + "\n")
            _note_losses(example, exported)
            for document in _all(example):
                fields = {"_id": document.doc_id, "title": document.title, "text": document.text}
                if documents.add(fields):
                    corpus_file.write(json.dumps(fields, ensure_ascii=False) + "\n")
            row = judged.setdefault(example.query_id, {})
            for document in (*example.hard_negatives, *example.unfollowing_negatives):
                row.setdefault(document.doc_id, 0)
            row.update({document.doc_id: 1 for document in example.positives})
        exported.records = len(judged)
    io.write_qrels(path / "qrels" / f"{split}.tsv", judged)
    return exported


def _all(example: TrainingExample) -> tuple[Document, ...]:
    return (
        *example.positives,
        *example.hard_negatives,
        *example.unfollowing_negatives,
        *example.negatives,
    )


def _note_losses(example: TrainingExample, exported: Exported) -> None:
    if example.negatives:
        exported.lose("random negatives are in the corpus, without a judgement")
    if example.unfollowing_negatives:
        exported.lose("unfollowing negatives judged 0 like hard ones")
    if example.scores:
        exported.lose(writers.SCORES)


class _Distinct:
    """Which ids were written, with a digest of their content."""

    def __init__(self, kind: str):
        self._kind = kind
        self._seen: dict[str, bytes] = {}

    def add(self, fields: dict[str, Any]) -> bool:
        """False where the same record stands there. InputError: its id with other content."""
        name = fields["_id"]
        if name.split() != [name]:
            raise InputError(f"the {self._kind} id {name!r} is empty or holds white space.")
        digest = hashlib.blake2b(json.dumps(fields).encode("utf-8"), digest_size=8).digest()
        if self._seen.get(name, digest) != digest:
            raise InputError(
                f"the {self._kind} id {name!r} stands for two different texts; BEIR needs one."
            )
        new = name not in self._seen
        self._seen[name] = digest
        return new
