"""A sheet of pooled hits from other corpora, for a person to judge, and what was judged.

A pooled corpus holds documents that answer a query of another task and that nobody judged for it:
hits that count as wrong and are not (TART, section 6.2, checks a sample by hand).
"""

import csv
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from tart_jax import io
from tart_jax.data import corpus, lookup
from tart_jax.evaluate.systems import kind
from tart_jax.types import InputError, Qrels

COLUMNS = ("relevance", "task", "query_id", "doc_id", "asked", "query", "document")
LOOKED_AT = 10  # hits of a query


class Asked(NamedTuple):
    """A pooled run of a task."""

    task: str
    words: str
    run: Path


def export(path: Path, test: Path, runs: Sequence[Asked]) -> int:
    """Writes the first hits from other tasks' documents, each pair once; the number of them.

    The column `relevance` is empty: 0 or more by whoever reads. test: a folder of test tasks with
    pooled/. What was judged in a sheet that stands there is kept.
    """
    before = judged(path) if path.is_file() else {}
    texts = lookup.of_corpus(test / "pooled")
    pairs: dict[tuple[str, str], Asked] = {}
    for asked in runs:
        for block in io.run_blocks(asked.run):
            for query_id, hits in block.items():
                best = sorted(hits, key=lambda hit: (hit.score, hit.doc_id), reverse=True)
                for hit in best[:LOOKED_AT]:
                    if kind(hit.doc_id) != asked.task:
                        pairs.setdefault((query_id, hit.doc_id), asked)
    queries = {
        task: {query.query_id: query.text for query in corpus.read_queries(test / task)}
        for task in {asked.task for asked in pairs.values()}
    }
    with io.writing(path) as aside, aside.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, delimiter="\t", lineterminator="\n")
        writer.writerow(COLUMNS)
        for (query_id, doc_id), asked in sorted(pairs.items()):
            document = texts.get(doc_id)
            grade = before.get(query_id, {}).get(doc_id, "")
            said = (
                asked.words,
                queries[asked.task][query_id],
                document.contents() if document else "",
            )
            plain = [" ".join(text.split()) for text in said]
            writer.writerow([grade, asked.task, query_id, doc_id, *plain])
    return len(pairs)


def judged(path: str | Path) -> Qrels:
    """query_id -> doc_id -> grade, where there is one. InputError: another file, a bad grade."""
    found: Qrels = {}
    with io.open_text(io.existing(path, "judging sheet")) as stream:
        rows = csv.reader(stream, delimiter="\t")
        if tuple(next(rows, ())) != COLUMNS:
            raise InputError(f"{path}: line 1 should name the columns {' '.join(COLUMNS)}.")
        for row in rows:
            where = f"{path}: line {rows.line_num}"
            if len(row) != len(COLUMNS):
                raise InputError(f"{where} has {len(row)} cells, not {len(COLUMNS)}.")
            grade, _, query_id, doc_id = row[:4]
            if not grade.strip():
                continue
            if not grade.strip().isdecimal():
                raise InputError(f"{where}: relevance {grade!r} should be a number, 0 or more.")
            found.setdefault(query_id, {})[doc_id] = int(grade)
    return found


def merged(qrels: Path, more: Qrels, out: Path) -> Path:
    """`out` with the judgements of both, of the queries of the first."""
    both = io.read_qrels(qrels)
    for query_id, own in both.items():
        own |= more.get(query_id, {})
    io.write_qrels(out, both)
    return out


def runs_of(rows: Iterable[Mapping[str, Any]], workdir: Path) -> list[Asked]:
    """The pooled runs among the rows of results.json."""
    return [
        Asked(row["task"], row["words"], workdir / row["run"] / "run.trec")
        for row in rows
        if row["scope"] == "pooled"
    ]
