"""Test tasks, and what a system finds for them in their own corpus and in the pooled one."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tart_jax import io
from tart_jax.data import corpus
from tart_jax.data.instructions import join, read_table
from tart_jax.encode.encoder import Encoder
from tart_jax.encode.formats import checked_format
from tart_jax.encode.store import Embeddings
from tart_jax.index.base import Index
from tart_jax.index.bm25 import BM25Index
from tart_jax.index.faiss_index import FaissIndex
from tart_jax.models import pretrained
from tart_jax.types import Qrels, Query, Run, ScoredDocument

SCOPES = ("closed", "pooled")  # the task's own documents; the documents of all tasks


@dataclass(frozen=True)
class Task:
    """A test task: queries, judgements, and the instruction wording that training never saw."""

    name: str
    queries: Sequence[Query]
    qrels: Qrels
    instruction: str


def load_tasks(directory: Path) -> dict[str, Task]:
    """The tasks that `directory/instructions.tsv` names, each a folder in BEIR's layout."""
    return {
        name: Task(
            name,
            corpus.read_queries(directory / name),
            io.read_qrels(directory / name / "qrels" / "test.tsv"),
            row.instructions[0],
        )
        for name, row in read_table(directory / "instructions.tsv").items()
    }


def kind(doc_id: str) -> str:
    """The task whose corpus a document comes from: ids are `task/...`."""
    return doc_id.split("/", 1)[0]


class System:
    """A retriever over the pooled corpus and over each task's part of it.

    read: turns queries under an instruction into what the indexes search with. Each document is
    encoded once; closed corpora are views of the pooled one.
    """

    def __init__(
        self,
        doc_ids: Sequence[str],
        read: Callable[[Sequence[Query], str], Any],
        build: Callable[[np.ndarray], Index],
    ):
        """build: an index over the documents at some positions of the pooled corpus."""
        kinds = np.array([kind(doc_id) for doc_id in doc_ids])
        self.read = read
        self._ids = np.array(doc_ids, dtype=object)
        self._rows = {name: np.flatnonzero(kinds == name) for name in sorted(set(kinds))}
        self._rows[""] = np.arange(len(doc_ids))
        self._indexes = {name: build(rows) for name, rows in self._rows.items()}

    def search(self, queries: Sequence[Query], read: Any, name: str, k: int) -> Run:
        """The k best documents of one kind, or of all kinds where `name` is empty."""
        rows = self._rows[name]
        found = self._indexes[name].search(read, min(k, len(rows)))
        return {
            query.query_id: [
                ScoredDocument(str(self._ids[rows[position]]), float(score))
                for score, position in zip(*hits, strict=True)
                if position >= 0
            ]
            for query, *hits in zip(queries, *found, strict=True)
        }


def dense(model: str | Path, embeddings: Path, query_length: int | None = None) -> System:
    """A dual encoder over embeddings on disk; query_length None: the model's own."""
    stored, loaded = Embeddings.open(embeddings), pretrained.load(model)
    vectors = np.concatenate([np.asarray(shard, np.float32) for shard in stored.shards()])
    format = checked_format(loaded)
    encoder = Encoder(loaded, tower="query", max_length=query_length or format.query_length)

    def read(queries: Sequence[Query], instruction: str) -> np.ndarray:
        order, separator = format.instruction_order, str(format.separator)
        return encoder.encode(
            [join(q.text, instruction, order=order, separator=separator) for q in queries]
        )

    def build(rows: np.ndarray) -> Index:
        index = FaissIndex("Flat", stored.dims)
        index.add(vectors[rows])
        return index

    return System(list(stored.ids), read, build)


def bm25(pooled: Path) -> System:
    """BM25 over a corpus; instructions are not keywords and are left out."""
    documents = list(corpus.read_documents(pooled))

    def build(rows: np.ndarray) -> Index:
        index = BM25Index()
        index.add([documents[row].contents() for row in rows])
        return index

    ids = [document.doc_id for document in documents]
    return System(ids, lambda queries, _: [query.text for query in queries], build)
