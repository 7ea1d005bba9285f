"""What there is to audit under a path, read leniently: a fault becomes a finding, not a refusal."""

import gzip
import json
import re
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, NamedTuple

from tart_jax import io
from tart_jax.data.examples import DOCUMENT_FIELDS, FIELDS
from tart_jax.data.sources import TfdsRecords, is_tfds
from tart_jax.types import InputError

CORPUS = len(DOCUMENT_FIELDS)  # the kind of a document that stands in a corpus, not in an example
KINDS = (*DOCUMENT_FIELDS, "corpus")
Layout = Literal["jsonl", "tfds", "beir"]


class Doc(NamedTuple):
    """A document as it stands in the file; `kind` is its place in `KINDS`."""

    kind: int
    doc_id: str
    text: str
    title: str = ""
    score: float | None = None  # a teacher's

    def contents(self) -> str:
        return f"{self.title} {self.text}".strip() if self.title else self.text


@dataclass
class Item:
    """An example, a query (no documents), or a document of a corpus (no query).

    problem: why the record cannot be read; then nothing else of it is. extra: unknown keys.
    """

    where: str
    task: str
    query_id: str = ""
    query: str | None = None
    instruction: str | None = None
    documents: list[Doc] = field(default_factory=list)
    problem: str = ""
    extra: tuple[str, ...] = ()
    is_example: bool = True


class Source(NamedTuple):
    """A training file, a TFDS folder or a BEIR folder; `name` is its task where it names none."""

    path: Path
    layout: Layout
    name: str

    def items(self) -> Iterator[Item]:
        if self.layout == "tfds":
            return _tfds(self.path, self.name)
        return _beir(self.path, self.name) if self.layout == "beir" else _training(self)


def find(path: str | Path) -> list[Source]:
    """The sources under a path: a file, a folder, or a folder of several, in order of name."""
    path = io.existing(path, "data to audit")
    if path.is_file():
        if path.name.removesuffix(".gz").endswith(".jsonl"):
            return [Source(path, "jsonl", _stem(path))]
        raise InputError(f"{path} is no training file; those end in .jsonl or .jsonl.gz.")
    found = _find(path, 6)
    if not found:
        raise InputError(
            f"{path} holds nothing to audit: no training file (.jsonl), TFDS folder"
            " (dataset_info.json) or BEIR folder (corpus.jsonl)."
        )
    return found


def _find(folder: Path, depth: int) -> list[Source]:
    if is_tfds(folder):  # TFDS keeps the versions of a set in folders of their own
        version = re.fullmatch(r"\d+\.\d+\.\d+", folder.name)
        return [Source(folder, "tfds", folder.parent.name if version else folder.name)]
    if any((folder / f"corpus.jsonl{suffix}").is_file() for suffix in ("", ".gz")):
        return [Source(folder, "beir", folder.name)]
    found: list[Source] = []
    for child in sorted(folder.iterdir()):
        if child.name.startswith("."):
            continue
        if child.is_dir() and depth:
            found += _find(child, depth - 1)
        elif child.is_file() and child.name.removesuffix(".gz").endswith(".jsonl"):
            found.append(Source(child, "jsonl", _stem(child)))
    return found


def _stem(path: Path) -> str:
    return path.name.removesuffix(".gz").removesuffix(".jsonl")


def _lines(path: Path) -> Iterator[tuple[int, bytes]]:
    """Lines as bytes: one that is not UTF-8 must not end the audit."""
    number = 0
    with gzip.open(path, "rb") if io.is_gzip(path) else path.open("rb") as file:
        try:
            for number, line in enumerate(file, start=1):
                if line.strip():
                    yield number, line
        except (EOFError, gzip.BadGzipFile, zlib.error) as error:
            raise InputError(
                f"{path}: the gzip stream ends early or is broken after line {number} ({error})."
            ) from error


def _objects(path: Path) -> Iterator[tuple[str, Any, str]]:
    """(file and line, value, problem) of every line."""
    for number, line in _lines(path):
        where = f"{path}: line {number}"
        try:
            record = json.loads(line)
        except (ValueError, RecursionError) as error:
            yield where, None, f"not JSON ({type(error).__name__}: {str(error)[:80]})"
            continue
        problem = "" if isinstance(record, dict) else "not a JSON object"
        yield where, record, problem


def _training(source: Source) -> Iterator[Item]:
    for where, record, problem in _objects(source.path):
        yield (
            Item(where, source.name, problem=problem)
            if problem
            else parse(record, where, source.name)
        )


def parse(record: dict[str, Any], where: str, name: str) -> Item:
    """A record as an item; what `examples.parse` could not read at all is its `problem`."""
    task, query_id, query = record.get("task"), record.get("query_id"), record.get("query")
    task = task if isinstance(task, str) and task.strip() else name
    if not all(isinstance(record.get(key), str) for key in ("task", "query_id", "query")) or not (
        record["task"].strip() and record["query_id"].strip()
    ):
        return Item(where, task, problem="'task', 'query_id' and 'query' should be strings")
    instruction = record.get("instruction")
    if instruction is not None and not isinstance(instruction, str):
        return Item(where, task, problem=f"'instruction' is {instruction!r}, no string")
    documents = []
    for kind, key in enumerate(DOCUMENT_FIELDS):
        values = record.get(key, [])
        if not isinstance(values, list):
            return Item(where, task, problem=f"{key!r} is no list")
        for value in values:
            doc = _doc(value, kind)
            if doc is None:
                return Item(where, task, problem=f"{key!r} holds {str(value)[:60]!r}, no document")
            documents.append(doc)
    extra = tuple(sorted(set(record) - _FIELDS)) if len(record) > 4 else ()
    return Item(where, task, str(query_id), query, instruction, documents, extra=extra)


_FIELDS = frozenset(FIELDS)


def _doc(value: Any, kind: int) -> Doc | None:
    if not isinstance(value, dict):
        return None
    doc_id, text, title = value.get("doc_id"), value.get("text"), value.get("title") or ""
    if isinstance(doc_id, str) and isinstance(text, str) and isinstance(title, str):
        return Doc(kind, doc_id, text, title, value.get("score"))
    return None


def _tfds(path: Path, name: str) -> Iterator[Item]:
    """Examples of the split `train`; a folder with another only split may hold a corpus."""
    info = io.read_json(path / "dataset_info.json")
    splits = [split.get("name") for split in info.get("splits", [])]
    for index, record in enumerate(TfdsRecords(path, "train" if "train" in splits else "")):
        where = f"{path}: record {index}"
        if "query" in record:
            yield parse(record, where, name)
            continue
        doc = _doc(record, CORPUS)
        documents, problem = ([doc], "") if doc else ([], "neither an example nor a document")
        yield Item(where, name, documents=documents, problem=problem, is_example=False)


def _beir(folder: Path, name: str) -> Iterator[Item]:
    """Queries first, then documents; ids may be numbers, as `corpus` allows."""
    for part in ("queries", "corpus"):
        # Some folders keep the queries of each split in a file of its own.
        for path in sorted(folder.glob(f"{part}*.jsonl")) + sorted(
            folder.glob(f"{part}*.jsonl.gz")
        ):
            for where, record, problem in _objects(path):
                yield _beir_item(record, where, name, part, problem)


def _beir_item(record: Any, where: str, name: str, part: str, problem: str) -> Item:
    if problem:
        return Item(where, name, problem=problem, is_example=False)
    identifier, text = record.get("_id", record.get("id")), record.get("text")
    title, instruction = record.get("title") or "", record.get("instruction")
    if not isinstance(identifier, str | int) or not isinstance(text, str):
        problem = "'_id' and 'text' should be strings"
    elif not isinstance(title, str) or not isinstance(instruction, str | None):
        problem = "'title' and 'instruction' should be strings"
    if problem:
        return Item(where, name, problem=problem, is_example=False)
    if part == "corpus":
        documents = [Doc(CORPUS, str(identifier), text, title)]
        return Item(where, name, documents=documents, is_example=False)
    return Item(where, name, str(identifier), text, instruction or "", is_example=False)


def judgements(folder: Path) -> Iterator[tuple[str, str, str, int]]:
    """(file and line, query id, document id, relevance) of every file in `qrels`."""
    for path in sorted((folder / "qrels").glob("*.tsv")):
        for number, line in io.lines(path):
            fields = line.split("\t")
            if number == 1 and tuple(fields) == io.QRELS_HEADER or not line.strip():
                continue
            try:
                query_id, doc_id, relevance = fields
                yield f"{path}: line {number}", query_id, doc_id, int(relevance)
            except ValueError as error:
                raise InputError(
                    f"{path}: line {number} should be 'query-id<TAB>corpus-id<TAB>integer score',"
                    f" not {line[:80]!r}."
                ) from error
