"""Builds X2 from its public sources, in the layout of the authors' archive, with a fixed seed.

Layout: corss_task_cross_domain_final/<task>/ in BEIR's layout (the name is the archive's), so that
configs/evaluate/x2.py reads either; dataset.json with the counts beside the published ones. Only
the archive has the very queries of the paper: its draws had no seed.
"""

import shutil
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from tart_jax import io
from tart_jax.data import corpus, dataset_folder
from tart_jax.data.splits import text_hash
from tart_jax.data.x2_sources import TASKS, Asked, Entry
from tart_jax.tables import Table
from tart_jax.types import Document, InputError

KIND = "tart_jax x2"
VERSION = 1
ARCHIVE = "corss_task_cross_domain_final"
FOLDERS = {"ambigqa": "ambig", "nq": "nq"}  # else the task's name
# Documents and queries, where the paper or its archive says so.
PUBLISHED = {
    "ambigqa": (None, 1172),
    "scifact": (5183, 300),
    "gooaq_technical": (4086, 1000),
    "codesearch_py": (457_461, 1000),
    "nq": (2_681_468, None),
}


def run(
    workdir: Path,
    *,
    ambigqa: str,
    wikiqa: str,
    scifact: str,
    gooaq_technical: str,
    linkso_py: str,
    codesearch_py: str,
    nq: str,
    seed: int,
) -> Table:
    """Makes the tasks whose source is named; returns their counts beside the published ones.

    InputError: no source at all, or a file that is not what it should be; nothing is left then.
    """
    named = {name: value for name, value in locals().items() if name in (*TASKS, "nq")}
    sources = {name: io.existing(path, f"config.{name}:") for name, path in named.items() if path}
    if not sources:
        raise InputError(f"no source is named: --config.NAME=PATH of {', '.join(named)}.")
    header = {
        "kind": KIND,
        "version": VERSION,
        "seed": seed,
        "sources": {name: str(path.resolve()) for name, path in sources.items()},
    }
    stats = dataset_folder.finished(workdir, KIND, {ARCHIVE})
    if any(stats.get(name) != value for name, value in header.items()):
        with dataset_folder.building(workdir) as (aside, stats):
            counts = {
                name: _make(aside / ARCHIVE / FOLDERS.get(name, name), name, path, seed)
                for name, path in sources.items()
            }
            stats |= header | {"counts": counts}
    return summary(stats["counts"])


def _make(out: Path, name: str, source: Path, seed: int) -> list[int]:
    """[documents, queries] of a task that is written."""
    if name == "nq":
        return [io.write_jsonl(out / "corpus.jsonl", map(_row, corpus.read_documents(source))), 0]
    read, limit = TASKS[name]
    return _write(out, read, source, limit, seed)


def _write(
    out: Path, read: Callable[[Path], Iterator[Entry]], source: Path, limit: int, seed: int
) -> list[int]:
    asked: list[Asked] = []

    def documents() -> Iterator[Mapping[str, Any]]:
        for entry in read(source):
            if isinstance(entry, Document):
                yield _row(entry)
            else:
                asked.append(entry)

    count = io.write_jsonl(out / "corpus.jsonl", documents())
    if limit:
        asked.sort(key=lambda one: text_hash(f"{seed} {one.query_id}"))
        del asked[limit:]
    if not count or not asked:
        shutil.rmtree(out)
        raise InputError(f"{source} gives {count} documents and {len(asked)} queries.")
    asked.sort(key=lambda one: one.query_id)
    io.write_jsonl(out / "queries.jsonl", ({"_id": a.query_id, "text": a.text} for a in asked))
    io.write_qrels(
        out / "qrels" / "test.tsv", {a.query_id: dict.fromkeys(a.doc_ids, 1) for a in asked}
    )
    return [count, len(asked)]


def _row(document: Document) -> dict[str, str]:
    return {"_id": document.doc_id, "title": document.title, "text": document.text}


def summary(counts: Mapping[str, list[int]]) -> Table:
    rows = []
    for name, (documents, queries) in counts.items():
        known = PUBLISHED.get(name, (None, None))
        said = [f"{value:,}" if value else "" for value in known]
        rows.append([name, f"{documents:,}", said[0], f"{queries:,}", said[1]])
    header = ["task", "documents", "published", "queries", "published"]
    return Table("X2", header, rows, "Published: TART, Table 2, and its archive.")
