"""How the demo's data set lies on disk: BEIR folders, wordings, counts."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from importlib.resources import as_file, files
from pathlib import Path
from typing import Any

from tart_jax import io
from tart_jax.data import instructions
from tart_jax.data.examples import TrainingExample
from tart_jax.data.python_tasks import FUNCTION_TASKS, TASKS, Subject, digest
from tart_jax.types import Document

LEAST_TEST_QUERIES = 150  # below, a task's mean is too uncertain to be averaged

Counts = dict[str, dict[str, int]]  # task -> {"queries": n, "documents": n}


def wordings(split: str) -> dict[str, instructions.InstructionRow]:
    """The instructions of "train" (eight wordings a task) or "test" (one, never trained on)."""
    name = {"train": "python_instructions.tsv", "test": "python_instructions_test.tsv"}[split]
    with as_file(files("tart_jax.data") / name) as path:
        return instructions.read_table(path)


def write_split(
    folder: Path, subjects: Sequence[Subject], *, max_queries: int, max_documents: int, seed: int
) -> Counts:
    """The tasks of a held-out split in BEIR layout, and all their documents pooled.

    A corpus holds every positive of its queries, then others up to `max_documents`.
    """
    counts, pooled = {}, []
    for task in TASKS:
        asked = [subject for subject in subjects if task in subject.tasks()][:max_queries]
        if not asked:
            continue
        documents = {document: None for s in asked for document in s.documents[task]}
        for subject in subjects:
            if len(documents) < max_documents:
                documents |= dict.fromkeys(subject.documents.get(task, ()))
        corpus = _shuffled(documents, seed)
        pooled += corpus
        qrels = {s.query_id(task): {d.doc_id: 1 for d in s.documents[task]} for s in asked}
        queries = [{"_id": s.query_id(task), "text": s.queries[task]} for s in asked]
        io.write_jsonl(folder / task / "corpus.jsonl", map(_corpus_line, corpus))
        io.write_jsonl(folder / task / "queries.jsonl", queries)
        io.write_qrels(folder / task / "qrels" / "test.tsv", qrels)
        counts[task] = {"queries": len(queries), "documents": len(corpus)}
    if pooled:
        lines = map(_corpus_line, _shuffled(pooled, seed))
        io.write_jsonl(folder / "pooled" / "corpus.jsonl", lines)
    return counts


def _shuffled(documents: Iterable[Document], seed: int) -> list[Document]:
    """By hash, so that ties, which follow the corpus's order, favour no kind."""
    return sorted(documents, key=lambda document: digest(seed, document.doc_id))


def _corpus_line(document: Document) -> dict[str, str]:
    return {"_id": document.doc_id, "title": document.title, "text": document.text}


def write_wordings(
    folder: Path, training: Sequence[TrainingExample], held_out: Mapping[str, Counts]
) -> None:
    """instructions.tsv of training, dev and test, with rows for the tasks that each of them has.

    Dev reads the first training wording: the test's own must not choose the checkpoint.
    """
    train, test = wordings("train"), wordings("test")
    trained = {example.task for example in training}
    rows = [train[task] for task in TASKS if task in trained]
    instructions.write_table(folder / "instructions.tsv", rows)
    for name, table in (("dev", train), ("test", test)):
        rows = [
            instructions.InstructionRow(r.task, r.intent, r.domain, r.unit, r.instructions[:1])
            for r in (table[task] for task in TASKS if task in held_out[name])
        ]
        if rows:
            instructions.write_table(folder / name / "instructions.tsv", rows)


def task_counts(
    training: Sequence[TrainingExample], held_out: Mapping[str, Counts]
) -> dict[str, dict[str, Any]]:
    """task -> train examples, dev and test counts, and whether its test result may be averaged."""
    trained = Counter(example.task for example in training)
    none = {"queries": 0, "documents": 0}
    tasks: dict[str, dict[str, Any]] = {}
    for task in TASKS:
        splits = {name: counts.get(task, none) for name, counts in held_out.items()}
        averaged = task in FUNCTION_TASKS and splits["test"]["queries"] >= LEAST_TEST_QUERIES
        tasks[task] = {"train": trained[task], **splits, "averaged": averaged}
    return tasks
