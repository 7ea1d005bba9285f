"""Evaluation during training: nDCG@10 of dev queries over the documents of all tasks together."""

import random
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple, cast

from tart_jax import io
from tart_jax.data import corpus, instructions
from tart_jax.encode.encoder import Encoder, Tower
from tart_jax.evaluate.measures import evaluate
from tart_jax.index.exact import ExactIndex
from tart_jax.models import class_towers
from tart_jax.models.pretrained import Pretrained
from tart_jax.search.retrieve import retrieve
from tart_jax.types import Document, InputError, Qrels, Query

MEASURE = "nDCG@10"  # the best checkpoint has most of it
MEASURES = (MEASURE, "R-precision")


class DevTask(NamedTuple):
    """Queries of one task with judgements, and the instruction they are asked with, or ""."""

    queries: list[Query]
    qrels: Qrels
    instruction: str


class DevSet(NamedTuple):
    """Tasks by name, and the documents that all of them search."""

    tasks: dict[str, DevTask]
    documents: list[Document]


def load(
    directory: str | Path,
    *,
    table: Mapping[str, instructions.InstructionRow],
    max_queries: int,
    max_documents: int,
) -> DevSet:
    """A BEIR folder, or a folder of them (one for each task), documents pooled.

    table: each task is asked with the first wording of its row; an empty table: no instructions.
    max_queries: of each task, max_documents: in all; 0 is no limit. Kept at random, the same ones
    every time; documents that a kept query is judged on always stay.
    """
    directory = io.existing(directory, "eval.directory")
    folders = [directory] if _is_beir(directory) else sorted(filter(_is_beir, directory.iterdir()))
    if not folders:
        raise InputError(
            f"{directory} is no BEIR folder and has none in it; each needs corpus.jsonl,"
            " queries.jsonl and qrels/test.tsv or qrels/dev.tsv."
        )
    if table:
        instructions.require_tasks(table, [f.name for f in folders], "config.eval.instructions")
    tasks, documents = {}, dict[str, Document]()
    for folder in folders:
        wording = table[folder.name].instructions[0] if table else ""
        tasks[folder.name] = _task(folder, wording, max_queries)
        for document in corpus.read_documents(folder):
            # A pool of folders may hold a document once for each task that judges it.
            if documents.setdefault(document.doc_id, document) != document:
                raise InputError(
                    f"{directory}: the id {document.doc_id!r} names different documents in two"
                    " tasks; put the task's name before the id."
                )
    judged = {doc_id for task in tasks.values() for hits in task.qrels.values() for doc_id in hits}
    kept = _some(list(documents), max_documents, always=judged)
    return DevSet(tasks, [documents[doc_id] for doc_id in kept])


def score(dev: DevSet, model: Pretrained, params: Any, mesh: Any) -> dict[str, float]:
    """`dev/nDCG@10` and `dev/R-precision`, means over tasks, and each task's, by exact search.

    params: those of the dual encoder in training; its arrays are used in place. A task of a model
    with class towers is asked by its class's.
    """
    config, tokenizer, format = model.config, model.tokenizer, model.format
    numbers = class_towers.numbers(model.query_towers)

    def encoder(tower: Tower, length: int, params: Any) -> Encoder:
        return Encoder.from_parts(
            config, params, tokenizer, tower=tower, max_length=length, mesh=mesh
        )

    def asking(task: str) -> Encoder:
        if numbers and task not in numbers:
            raise InputError(f"config.model.query_towers has no class for the task {task!r}.")
        own = class_towers.select(params, numbers[task]) if numbers else params
        return encoder("query", format.query_length, own)

    index = ExactIndex(config.dims)
    texts = [document.contents(format.title_separator) for document in dev.documents]
    index.add(encoder("document", format.document_length, params).encode(texts))
    doc_ids = [document.doc_id for document in dev.documents]
    scores: dict[str, dict[str, float]] = {}
    for name, task in dev.tasks.items():
        relevant = max(sum(grade > 0 for grade in hits.values()) for hits in task.qrels.values())
        hits = retrieve(
            asking(name),
            index,
            doc_ids,
            task.queries,
            k=max(10, relevant),  # R-precision looks at as many as are relevant
            instruction=task.instruction,
            order=cast(instructions.Order, format.instruction_order),
            separator=tokenizer.separator if format.separator is None else format.separator,
            drop_self=True,
        )
        scores[name] = evaluate(dict(hits), task.qrels, MEASURES).mean
    means: dict[str, float] = {}
    each: dict[str, float] = {}
    for measure in MEASURES:
        means[f"dev/{measure}"] = sum(found[measure] for found in scores.values()) / len(scores)
        each |= {f"dev/{measure}/{name}": found[measure] for name, found in scores.items()}
    return means | each


def _is_beir(folder: Path) -> bool:
    files = {path.name for path in folder.iterdir()} if folder.is_dir() else set()
    queries = files & {"queries.jsonl", "queries.jsonl.gz"}
    return bool(files & {"corpus.jsonl", "corpus.jsonl.gz"} and queries and "qrels" in files)


def _task(folder: Path, wording: str, max_queries: int) -> DevTask:
    splits = [folder / "qrels" / f"{split}.tsv" for split in ("dev", "test")]
    qrels = io.read_qrels(next((path for path in splits if path.is_file()), splits[-1]))
    queries = {q.query_id: q for q in corpus.read_queries(folder) if q.query_id in qrels}
    if not queries:
        raise InputError(f"{folder}: no query of queries.jsonl is judged in qrels; is it one set?")
    kept = _some(list(queries), max_queries, always=set())
    return DevTask([queries[name] for name in kept], {name: qrels[name] for name in kept}, wording)


def _some(names: list[str], limit: int, *, always: set[str]) -> list[str]:
    """At most `limit` of the names (0: all), in order; those of `always` whatever the limit."""
    if not limit or len(names) <= limit:
        return names
    must = [name for name in names if name in always]
    others = [name for name in names if name not in always]
    count = max(0, limit - len(must))
    kept = set(must) | set(random.Random(0).sample(others, min(count, len(others))))
    return [name for name in names if name in kept]
