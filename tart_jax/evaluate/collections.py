"""The tasks of a benchmark: a table of them, their files, and one test folder made of them."""

import csv
import logging
import shutil
import tempfile
import zipfile
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from tqdm import tqdm

from tart_jax import config as configs
from tart_jax import io
from tart_jax.data import corpus, dataset_folder, ir_collections
from tart_jax.data.berri import fetch
from tart_jax.data.berri.task import Origin, Source
from tart_jax.data.instructions import InstructionRow, read_table, write_table
from tart_jax.data.sources import JsonlSource
from tart_jax.types import Document, InputError, Qrels, Query

log = logging.getLogger(__name__)
KIND = "tart_jax benchmark"
LOTTE = "collection.tsv"


class Row(NamedTuple):
    """A task of a benchmark, as its table has it.

    folder: under the root, in BEIR's layout or LoTTE's; or a .jsonl of training examples, whose
    queries are the documents: what looks like an answer and is of another kind; or
    "ir_datasets:NAME" (split: test). split: of the qrels
    (LoTTE: of the questions); "": documents without queries, for the pool. instruction:
    "bank:NAME/ROW", the same of a .tsv under the root, or a text. group: its mean counts as one
    task. url, md5: of a zip file whose contents make the first part of `folder`; after a space
    further addresses of the same file. documents, queries: counts that its source publishes, or "".
    """

    task: str
    folder: str
    split: str
    instruction: str
    group: str
    url: str
    md5: str
    documents: str
    queries: str


def read(path: str | Path, tasks: Sequence[str] = ()) -> list[Row]:
    """The rows of a table with the columns of `Row`. InputError: others, or a task twice."""
    file = io.existing(path, "table of tasks")
    with io.open_text(file) as stream:
        rows = list(csv.reader(stream, delimiter="\t", quoting=csv.QUOTE_NONE))
    if not rows or tuple(rows[0]) != Row._fields:
        raise InputError(f"{file}: line 1 should name the columns {' '.join(Row._fields)}.")
    found = []
    for number, cells in enumerate(rows[1:], start=2):
        if len(cells) != len(Row._fields):
            raise InputError(
                f"{file}: line {number} has {len(cells)} cells, not {len(Row._fields)}."
            )
        found.append(Row(*cells))
    names = [row.task for row in found]
    if len(set(names)) < len(names) or not names:
        raise InputError(f"{file} has no task, or one twice: {', '.join(names)}.")
    if unknown := sorted(set(tasks) - set(names) - {row.group for row in found}):
        raise InputError(f"config.tasks: {unknown[0]!r} is not in {file}: {', '.join(names)}.")
    return [row for row in found if not tasks or row.task in tasks or row.group in tasks]


class Published(NamedTuple):
    """A figure of the literature, 0 to 1."""

    task: str
    measure: str
    system: str
    value: str
    source: str


def published() -> list[Published]:
    """The rows of configs/evaluate/published.tsv."""
    file = configs.find("configs/evaluate/published.tsv")
    with io.open_text(file) as stream:
        rows = list(csv.reader(stream, delimiter="\t", quoting=csv.QUOTE_NONE))
    return [Published(*cells) for cells in rows[1:]]


def make(out: Path, rows: Sequence[Row], root: str | Path, *, pooled: bool, download: bool) -> Path:
    """Makes `out` a test folder: instructions.tsv, and <task> in BEIR's layout, split "test".

    Ids become `task/id`; pooled: pooled/corpus.jsonl with the documents of all, too. What stands
    there of the same options is taken. InputError: files are missing, with the way to get them.
    """
    folders = {row.task: find(row, Path(root), download=download) for row in rows}
    header = {
        "kind": KIND,
        "rows": [list(row) for row in rows],
        "pooled": pooled,
        "sources": {name: str(folder.resolve()) for name, folder in folders.items()},
    }
    description = out / dataset_folder.STATS
    before = io.read_json(description).get("rows", []) if description.is_file() else []
    ours = {*folders, *(cells[0] for cells in before), "instructions.tsv", "pooled"}
    stats = dataset_folder.finished(out, KIND, ours)
    if any(stats.get(name) != value for name, value in header.items()):
        with dataset_folder.building(out) as (aside, stats):
            table = [_instruction(row, Path(root)) for row in rows if row.split]
            write_table(aside / "instructions.tsv", table)
            stats |= header | {"counts": _write(aside, rows, folders, pooled)}
    _tell_counts(rows, stats["counts"])
    return out


def find(row: Row, root: Path, *, download: bool) -> Path:
    """The folder of a task under `root`, out of a zip file there or at its url."""
    if row.folder.startswith(ir_collections.MARK):
        return ir_collections.folder(row.folder.removeprefix(ir_collections.MARK), root)
    folder = root / row.folder
    if folder.is_dir() or folder.is_file():
        return folder
    name = Path(row.folder).parts[0]
    address, *mirrors = row.url.split() or [""]
    if not address.endswith(".zip"):
        known = f"get it from {address}" if address else "no address is known for it"
        raise InputError(
            f"task {row.task}: the folder {folder} does not exist, and {known}; put it there, or"
            " name another --config.root."
        )
    if (root / name).exists():
        raise InputError(f"task {row.task}: {root / name} is there and holds no {row.folder}.")
    md5 = row.md5 or None
    source = Source(f"{name}.zip", address, None, None, name, md5=md5, mirrors=tuple(mirrors))
    manual = (
        f"get {address}, unpack it so that {folder} stands there, or name another --config.root"
        " (--config.download=True gets it)."
    )
    origin = Origin((source,), "its own", "", "BEIR", manual)
    ((archive,),) = fetch.find(name, origin, root / "downloads", download=download).units
    with tempfile.TemporaryDirectory(dir=root) as aside, zipfile.ZipFile(archive) as zipped:
        zipped.extractall(aside)  # zipfile leaves no path that goes outside
        if (inner := Path(aside) / name).is_dir():
            inner.rename(root / name)
    if not folder.is_dir():
        raise InputError(f"task {row.task}: {archive} holds no folder {row.folder}.")
    return folder


def _write(
    out: Path, rows: Sequence[Row], folders: dict[str, Path], pooled: bool
) -> dict[str, list[int]]:
    """Task -> [documents, queries], all written."""
    counts = {}
    for row in rows:
        folder, place = folders[row.task], out / row.task
        counts[row.task] = [
            _write_documents(place / "corpus.jsonl", folder, row.task),
            _write_queries(place, folder, row) if row.split else 0,
        ]
    if pooled:
        (out / "pooled").mkdir()
        with (out / "pooled" / "corpus.jsonl").open("wb") as union:
            for row in rows:
                with (out / row.task / "corpus.jsonl").open("rb") as one:
                    shutil.copyfileobj(one, union)
    return counts


def _write_documents(path: Path, folder: Path, task: str) -> int:
    path.parent.mkdir(parents=True)
    documents = tqdm(_documents(folder), desc=task, unit="doc", disable=None)
    return io.write_jsonl(
        path, ({"_id": f"{task}/{d.doc_id}", "title": d.title, "text": d.text} for d in documents)
    )


def _write_queries(place: Path, folder: Path, row: Row) -> int:
    """The judged queries and their judgements."""
    queries, qrels = _asked(folder, row.split)
    named = {
        f"{row.task}/{query_id}": {
            f"{row.task}/{doc_id}": grade for doc_id, grade in judged.items()
        }
        for query_id, judged in qrels.items()
    }
    io.write_qrels(place / "qrels" / "test.tsv", named)
    kept = (
        {"_id": f"{row.task}/{q.query_id}", "text": q.text} for q in queries if q.query_id in qrels
    )
    return io.write_jsonl(place / "queries.jsonl", kept)


def _documents(folder: Path) -> Iterator[Document]:
    if folder.is_file():
        examples = JsonlSource(folder)
        for place in range(len(examples)):
            yield Document(examples[place].query_id, examples[place].query)
        return
    if not (folder / LOTTE).is_file():
        newer = folder / "corpus_new.jsonl"  # of X2's archive
        yield from corpus.read_documents(newer if newer.is_file() else folder)
        return
    for number, line in io.lines(folder / LOTTE):
        doc_id, tab, text = line.rstrip("\n").partition("\t")
        if not tab:
            raise InputError(f"{folder / LOTTE}: line {number} should be an id, a tab and a text.")
        yield Document(doc_id, text)


def _asked(folder: Path, split: str) -> tuple[list[Query], Qrels]:
    if not (folder / LOTTE).is_file():
        return corpus.read_queries(folder), io.read_qrels(folder / "qrels" / f"{split}.tsv")
    queries, qrels = [], {}
    path = folder / f"qas.{split}.jsonl"
    for number, record in io.read_jsonl(path):
        try:
            query_id = str(record["qid"])  # 0 is one, too
            queries.append(Query(query_id, record["query"]))
            qrels[query_id] = {str(doc_id): 1 for doc_id in record["answer_pids"]}
        except (KeyError, TypeError) as error:
            raise InputError(
                f"{path}: line {number} should have qid, query and answer_pids."
            ) from error
    return queries, qrels


def _instruction(row: Row, root: Path) -> InstructionRow:
    """The task's wordings under the task's name."""
    table, _, name = row.instruction.rpartition("/")
    if not table.startswith("bank:") and not table.endswith(".tsv"):
        return InstructionRow(row.task, "", "", "", (row.instruction,))
    rows = read_table(table if table.startswith("bank:") else root / table)
    if name not in rows:
        raise InputError(f"task {row.task}: {row.instruction} names no row of {table}.")
    return replace(rows[name], task=row.task)


def _tell_counts(rows: Sequence[Row], counts: dict[str, list[int]]) -> None:
    """Logs where a collection is not as large as published."""
    for row in rows:
        for what, known, found in zip(
            ("documents", "queries"), (row.documents, row.queries), counts[row.task], strict=True
        ):
            if known and int(known) != found:
                log.warning("%s: %d %s, published are %s.", row.task, found, what, known)
