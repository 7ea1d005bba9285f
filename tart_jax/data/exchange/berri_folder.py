"""BERRI's source folders: `corpus.tsv` (id, text[, title]) and a list of questions with contexts.

The irregularities of the published folders are read and noted: texts nested in {"text": ...} or
split into lists, NUL characters, the query in `target`, records with nothing but `answers`.
"""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Literal

from tart_jax.data import lookup
from tart_jax.data.exchange.records import (
    ID_NAMES,
    Item,
    Record,
    Rejected,
    json_records,
    shown,
)
from tart_jax.types import Document, InputError

PATTERNS = (
    "qa_data.json",
    "*_hard_negatives_added.json",
    "*_train_dpr.jsonl",
    "*qa_train.json",
    "*_train.jsonl",
)
ONLY_ANSWERS = "it has answers but no positive document"


def read(
    path: str | Path,
    *,
    task: str,
    file: str = "",
    answers: Literal["reject", "document"] = "reject",
    random_negatives: int = 0,
    seed: int = 0,
) -> Iterator[Item]:
    """One example a record of the folder's questions; `file` names them where several could be.

    answers: what a record with `answers` alone is: rejected, or an example whose answers are its
    documents. random_negatives: so many documents of corpus.tsv a query, from (seed, query id).
    """
    path, questions = _files(Path(path), file)
    documents = lookup.of_corpus(path / "corpus.tsv") if random_negatives else None
    for where, value in json_records(questions):
        record = Record(value, where)
        item = _item(record, task, answers == "document")
        if documents is None or isinstance(item, Rejected):
            yield item
            continue
        example = item.example
        given = (*example.positives, *example.negatives, *example.hard_negatives)
        # The folders' contexts have no ids of corpus.tsv: a random document that is one of them is
        # told by its content.
        known = {(d.title, d.text) for d in given}
        wanted = min(random_negatives + len(known), len(documents))
        drawn = documents.random(wanted, seed=seed, query_id=example.query_id, avoid=set())
        fresh = [d for raw in drawn for d in record.cleaned(raw)]
        fresh = [d for d in fresh if (d.title, d.text) not in known][:random_negatives]
        if len(fresh) < random_negatives:
            record.changes.append("fewer random negatives than asked for")
        example = replace(example, negatives=(*example.negatives, *fresh))
        yield item._replace(example=example, changes=tuple(record.changes))


def _files(path: Path, file: str) -> tuple[Path, Path]:
    """The folder, and its file of questions."""
    if path.is_file():
        return path.parent, path
    if not path.is_dir():
        raise InputError(f"{path} does not exist; it should be a folder of BERRI's source data.")
    if file:
        return path, path / file
    for pattern in PATTERNS:
        found = sorted(path.glob(pattern))
        if len(found) == 1:
            return path, found[0]
        if found:
            names = ", ".join(p.name for p in found)
            raise InputError(f"{path} holds {names}; name one by --config.options.file.")
    raise InputError(f"{path} holds no file of questions ({', '.join(PATTERNS)}).")


def _item(record: Record, task: str, answers_are_documents: bool) -> Item:
    query = record.text("question", "query", "target")
    positives = _documents(record, "positive_ctxs")
    if not positives and (answers := _answers(record)):
        if not answers_are_documents:
            return Rejected(record.where, ONLY_ANSWERS)
        positives = [d for text in answers for d in record.document("", text)]
        record.changes.append("answers taken as documents")
    return record.read(
        task,
        query,
        query_id=record.identifier("query_id", "id"),
        positives=positives,
        negatives=_documents(record, "negative_ctxs"),
        hard_negatives=_documents(record, "hard_negative_ctxs"),
    )


def _answers(record: Record) -> list[str]:
    name = next((n for n in ("answers", "answer") if record.fields.get(n) is not None), "")
    if not name:
        return []
    value = record.fields[name]
    values = value if isinstance(value, list) else [value]
    texts = [record.clean(text, repr(name)) for text in values]
    return [text for text in texts if text.strip()]


def _documents(record: Record, name: str) -> list[Document]:
    found: list[Document] = []
    for number, value in enumerate(record.items(name, optional=True)):
        where = f"{record.where}, {name!r} {number},"
        entry = Record({"text": value} if isinstance(value, str | list) else value, where)
        title, text = entry.text("title", optional=True), entry.fields.get("text")
        if isinstance(text, dict):  # medical_sim: {"text": {"text": ..., "title": ...}}
            nested = Record(text, f"{where} 'text'")
            title, text = title or nested.text("title", optional=True), text.get("text")
            record.changes.append("texts nested in texts")
        if isinstance(text, list):
            text = " ".join(entry.clean(part, "'text'") for part in text)
            record.changes.append("texts split into lists")
        if not isinstance(text, str):
            raise InputError(f"{where} needs the field 'text' with a text, not {shown(text)}.")
        found += record.document(title, record.clean(text, "'text'"), entry.identifier(*ID_NAMES))
        record.changes += entry.changes
    return found
