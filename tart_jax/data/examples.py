"""The training example: one query of one task, what answers it, and what does not."""

import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tart_jax import io
from tart_jax.types import Document, InputError

DOCUMENT_FIELDS = ("positives", "negatives", "hard_negatives", "unfollowing_negatives")
FIELDS = ("task", "query_id", "query", *DOCUMENT_FIELDS, "instruction", "answers")


@dataclass(frozen=True)
class TrainingExample:
    """One query with its documents: positives, random, hard and unfollowing negatives (TART, 4.2).

    negatives: random documents of the task's corpus.
    hard_negatives: documents near the query that do not answer it.
    unfollowing_negatives: documents that answer the query but not the instruction.
    instruction: wins over the instruction table; "" says "none", None says "take the table's".
    answers: short texts that answer the query; a passage that holds one is no hard negative (DPR).
    scores: doc_id -> a teacher's score of that document for this query and instruction, where there
    is one (soft distillation); of the teacher's own scale, higher is more relevant. In a record it
    is the key `score` of the document, wherever the document stands.
    """

    task: str
    query_id: str
    query: str
    positives: tuple[Document, ...]
    negatives: tuple[Document, ...] = ()
    hard_negatives: tuple[Document, ...] = ()
    unfollowing_negatives: tuple[Document, ...] = ()
    instruction: str | None = None
    answers: tuple[str, ...] = ()
    scores: Mapping[str, float] = field(default_factory=dict, hash=False)


def parse(record: Mapping[str, Any], where: str) -> TrainingExample:
    """A JSON object as an example; `where` (file and line) goes into the error of a bad one."""
    unknown = sorted(set(record) - set(FIELDS))
    if unknown:
        raise InputError(f"{where}: unknown key {unknown[0]!r}; the keys are {', '.join(FIELDS)}.")
    for key in ("task", "query_id", "query"):
        if not isinstance(record.get(key), str) or not record[key].strip():
            raise InputError(
                f"{where}: {key!r} should be a non-empty string, not {record.get(key)!r}."
            )
    instruction = record.get("instruction")
    if instruction is not None and not isinstance(instruction, str):
        raise InputError(
            f"{where}: 'instruction' should be a string or left out, not {instruction!r}."
        )
    answers = record.get("answers", ())
    if not isinstance(answers, list | tuple) or not all(isinstance(a, str) for a in answers):
        raise InputError(
            f"{where}: 'answers' should be a list of strings, not {str(answers)[:80]!r}."
        )
    documents = {
        key: _documents(record.get(key, ()), f"{where}: {key!r}") for key in DOCUMENT_FIELDS
    }
    if not documents["positives"]:
        raise InputError(f"{where}: 'positives' is empty; an example needs at least one positive.")
    return TrainingExample(
        record["task"],
        record["query_id"],
        record["query"],
        **documents,
        instruction=instruction,
        answers=tuple(answers),
        scores=_scores(record, where),
    )


def _scores(record: Mapping[str, Any], where: str) -> dict[str, float]:
    """doc_id -> score of the documents that have one; they have been checked otherwise."""
    scores: dict[str, float] = {}
    for key in DOCUMENT_FIELDS:
        for index, fields in enumerate(record.get(key, ())):
            score = fields.get("score")
            if score is None:
                continue
            place, doc_id = f"{where}: {key!r}, document {index},", fields["doc_id"]
            if isinstance(score, bool) or not isinstance(score, int | float):
                raise InputError(f"{place} has the score {score!r}; it should be a number.")
            if not math.isfinite(score):
                raise InputError(f"{place} has the score {score}; it should be finite.")
            if not doc_id:
                raise InputError(f"{place} has a score but no doc_id; give it one.")
            if scores.setdefault(doc_id, float(score)) != score:
                raise InputError(
                    f"{place} gives {doc_id!r} the score {score}, which has {scores[doc_id]} above;"
                    " one document has one score for a query."
                )
    return scores


def _documents(records: Any, where: str) -> tuple[Document, ...]:
    if not isinstance(records, list | tuple):
        raise InputError(f"{where} should be a list of documents, not {str(records)[:80]!r}.")
    documents = []
    for index, record in enumerate(records):
        fields = record if isinstance(record, Mapping) else {}
        doc_id, text, title = fields.get("doc_id"), fields.get("text"), fields.get("title") or ""
        if not (
            isinstance(doc_id, str)
            and isinstance(text, str)
            and isinstance(title, str)
            and (text or title)
        ):
            raise InputError(
                f"{where}, document {index}, should be an object with the strings doc_id, text and"
                f" (optionally) title, not {str(record)[:80]!r}."
            )
        documents.append(Document(doc_id, text, title))
    return tuple(documents)


def to_record(example: TrainingExample) -> dict[str, Any]:
    """The JSON object that `parse` reads."""
    record: dict[str, Any] = {
        "task": example.task,
        "query_id": example.query_id,
        "query": example.query,
    }
    for key in DOCUMENT_FIELDS:
        record[key] = [_record(document, example.scores) for document in getattr(example, key)]
    if example.instruction is not None:
        record["instruction"] = example.instruction
    if example.answers:
        record["answers"] = list(example.answers)
    return record


def _record(document: Document, scores: Mapping[str, float]) -> dict[str, Any]:
    fields: dict[str, Any] = {
        "doc_id": document.doc_id,
        "title": document.title,
        "text": document.text,
    }
    if document.doc_id in scores:
        fields["score"] = scores[document.doc_id]
    return fields


def read(path: str | Path) -> Iterator[TrainingExample]:
    """The examples of a JSON-lines file, gzip or not; a bad line is refused with its number."""
    for number, record in io.read_jsonl(path):
        yield parse(record, f"{path}: line {number}")


def write(path: str | Path, examples: Iterable[TrainingExample]) -> int:
    """Writes one line per example; returns how many."""
    return io.write_jsonl(path, map(to_record, examples))
