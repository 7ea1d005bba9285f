"""A smaller test out of a larger one: fewer queries, fewer documents, the judged ones always."""

from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from tart_jax import io
from tart_jax.data import corpus
from tart_jax.data.instructions import read_table, write_table
from tart_jax.data.splits import text_hash

DESCRIPTION = "sample.json"


def sample(
    source: str | Path, out: Path, *, max_queries: int, max_documents: int, seed: int
) -> Path:
    """`out` with instructions.tsv, each task's queries and qrels, and pooled/corpus.jsonl.

    source: BEIR folders of tasks with instructions.tsv, document ids `task/...`; folders of
    documents alone go into the pool, too. max_queries,
    max_documents: of each task, drawn by (seed, id); 0: all. Made anew where anything differs.
    """
    source = io.existing(source, "test folder")
    table = read_table(source / "instructions.tsv")
    inputs = [source / "instructions.tsv"]
    for name in table:
        inputs += [corpus.queries_file(source / name), source / name / "qrels" / "test.tsv"]
        inputs += [corpus.corpus_file(source / name)]
    others = _others(source, table)
    inputs += [corpus.corpus_file(source / name) for name in others]
    plan: dict[str, Any] = {
        "options": {"max_queries": max_queries, "max_documents": max_documents, "seed": seed},
        "sources": [io.sha256(path) for path in inputs],
    }
    path = out / DESCRIPTION
    if path.is_file() and {k: v for k, v in io.read_json(path).items() if k in plan} == plan:
        return out
    write_table(out / "instructions.tsv", list(table.values()))
    judged = {name: _queries(source / name, out / name, max_queries, seed) for name in table}
    judged |= {name: set() for name in others}
    drawn = Counter[str]()
    rows = _documents(source, judged, max_documents, seed, drawn)
    io.write_jsonl(out / "pooled" / "corpus.jsonl", rows)
    io.write_json(path, plan | {"documents": dict(drawn)})
    return out


def _others(source: Path, tasks: Mapping[str, Any]) -> list[str]:
    """The folders of documents that no query is asked of."""
    names = sorted(path.parent.name for path in source.glob("*/corpus.jsonl*"))
    return [name for name in names if name not in tasks and name != "pooled"]


def _queries(source: Path, out: Path, limit: int, seed: int) -> set[str]:
    """Writes a task's queries and judgements; the documents that are judged."""
    qrels = io.read_qrels(source / "qrels" / "test.tsv")
    asked = [query for query in corpus.read_queries(source) if query.query_id in qrels]
    drawn = sorted((query.query_id for query in asked), key=lambda i: text_hash(f"{seed} {i}"))
    kept = set(drawn[: limit or None])
    rows = ({"_id": q.query_id, "text": q.text} for q in asked if q.query_id in kept)
    io.write_jsonl(out / "queries.jsonl", rows)
    judged = {query_id: hits for query_id, hits in qrels.items() if query_id in kept}
    io.write_qrels(out / "qrels" / "test.tsv", judged)
    return {doc_id for hits in judged.values() for doc_id in hits}


def _documents(
    source: Path, judged: Mapping[str, set[str]], limit: int, seed: int, drawn: Counter[str]
) -> Iterator[dict[str, str]]:
    """The judged documents of each task and others up to `limit`, as rows of a corpus."""
    for name, must in judged.items():
        folder = source / name
        ids = [document.doc_id for document in corpus.read_documents(folder)]
        others = sorted(set(ids) - must, key=lambda i: text_hash(f"{seed} {i}"))
        kept = set(others[: max(0, limit - len(must))] if limit else others) | must
        for document in corpus.read_documents(folder):
            if document.doc_id in kept:
                drawn[name] += 1
                yield {"_id": document.doc_id, "title": document.title, "text": document.text}
