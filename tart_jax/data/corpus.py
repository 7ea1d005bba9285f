"""Collections of documents and query files: BEIR and TFDS folders, JSON lines, TSV; gzip or not.

A corpus is its documents in file order: a document's position is its number in that order, from 0.
"""

import hashlib
import json
from array import array
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from tart_jax import io
from tart_jax.data.sources import TfdsRecords, is_tfds
from tart_jax.types import Document, InputError, Query

SUFFIXES = (".jsonl", ".json", ".tsv")


@dataclass(frozen=True)
class CorpusInfo:
    """What the first pass over a corpus found. fingerprint: sha256 of the unzipped content."""

    count: int
    fingerprint: str


def corpus_file(path: str | Path) -> Path:
    """The file of the documents: `path` itself, or corpus.jsonl(.gz) of a BEIR folder.

    A TFDS folder in array_record format (doc_id, title, text) stays a folder."""
    path = io.existing(path, "corpus")
    return path if is_tfds(path) else _file(path, "corpus")


def queries_file(path: str | Path) -> Path:
    """The file that holds the queries: `path` itself, or queries.jsonl(.gz) of a BEIR folder."""
    return _file(path, "queries")


def _file(path: str | Path, name: str) -> Path:
    path = io.existing(path, name)
    if not path.is_dir():
        return path
    for suffix in (".jsonl", ".jsonl.gz"):
        if (path / f"{name}{suffix}").is_file():
            return path / f"{name}{suffix}"
    raise InputError(
        f"folder {path} holds neither {name}.jsonl nor {name}.jsonl.gz; name the file itself."
    )


def read_documents(path: str | Path) -> Iterator[Document]:
    """The documents of a BEIR or TFDS folder, a .jsonl or .tsv (header id, text[, title])."""
    path = corpus_file(path)
    for number, record in _records(path):
        yield _document(record, path, number)


def scan(path: str | Path) -> CorpusInfo:
    """Reads a corpus once and refuses what would fail hours later; keeps 8 bytes a document.

    InputError: a broken line, a missing or non-text field, an id given twice, no document at all.
    """
    path = corpus_file(path)
    digest, hashes = hashlib.sha256(), array("Q")
    for number, record in _records(path, digest):
        hashes.append(_hash(_document(record, path, number).doc_id))
    if not hashes:
        raise InputError(f"{path} holds no document; is it the right file?")
    ordered = np.sort(np.frombuffer(hashes, np.uint64))
    twice = ordered[1:][ordered[1:] == ordered[:-1]]
    if len(twice):
        _refuse_duplicates(path, set(twice.tolist()))
    return CorpusInfo(len(hashes), digest.hexdigest())


def fetch(path: str | Path, positions: Iterable[int]) -> dict[int, Document]:
    """The documents at these positions, by one pass that ends at the last of them."""
    wanted = set(positions)
    found: dict[int, Document] = {}
    for position, document in enumerate(islice(read_documents(path), max(wanted, default=-1) + 1)):
        if position in wanted:
            found[position] = document
    if len(found) < len(wanted):
        raise InputError(
            f"{corpus_file(path)} has no document at position {min(wanted - set(found))}; has it"
            " changed?"
        )
    return found


def _fetch_tfds(records: TfdsRecords, positions: list[int]) -> dict[int, Document]:
    beyond = max(positions, default=-1)
    if beyond >= len(records):
        raise InputError(
            f"{records.directory} has no document at position {beyond}; has it changed?"
        )
    found = zip(positions, records.fetch(positions), strict=True)
    return {
        position: _document(_renamed(record), records.directory, position + 1)
        for position, record in found
    }


class Lookup:
    """Documents by position, again and again: remembers where lines begin, 8 bytes a document.

    A TFDS folder knows them. A gzip file has none; it is read from its start each time.
    """

    def __init__(self, path: str | Path):
        self.path = corpus_file(path)
        self._begins: array | None = None
        self._header: list[tuple[int, str]] = []
        self._tfds = TfdsRecords(self.path) if self.path.is_dir() else None

    def fetch(self, positions: Iterable[int]) -> dict[int, Document]:
        """The documents at these positions. InputError: there is no such position."""
        if self._tfds is not None:
            return _fetch_tfds(self._tfds, list(positions))
        if io.is_gzip(self.path):
            return fetch(self.path, positions)
        begins = self._index() if self._begins is None else self._begins
        found = {}
        with self.path.open("rb") as file:
            for position in positions:
                if position >= len(begins):
                    raise InputError(
                        f"{self.path} has no document at position {position}; has it changed?"
                    )
                file.seek(begins[position])
                line = file.readline().decode("utf-8").rstrip("\r\n")
                parse = _parser(self.path)
                (_, record) = next(iter(parse(self.path, iter([*self._header, (0, line)]))))
                found[position] = _document(record, self.path, 0)
        return found

    def _index(self) -> array:
        begins, place = array("q"), 0
        with self.path.open("rb") as file:
            for line in file:
                if line.strip():
                    begins.append(place)
                place += len(line)
        if ".tsv" in self.path.suffixes and begins:
            with self.path.open("rb") as file:
                self._header = [(1, file.readline().decode("utf-8").rstrip("\r\n"))]
            begins = begins[1:]
        self._begins = begins
        return begins


def read_queries(path: str | Path) -> list[Query]:
    """Queries of a BEIR folder, a .jsonl (`_id`, `text`[, `instruction`]) or a .tsv (id, text)."""
    path = queries_file(path)
    queries: list[Query] = []
    lines: dict[str, int] = {}
    for number, record in _records(path):
        query_id = _identifier(record, path, number)
        if query_id in lines:
            raise InputError(
                f"{path}: query id {query_id!r} on lines {lines[query_id]} and {number};"
                " ids are unique."
            )
        lines[query_id] = number
        instruction = _text(record, "instruction", path, number, optional=True)
        queries.append(Query(query_id, _text(record, "text", path, number), instruction))
    if not queries:
        raise InputError(f"{path} holds no query; is it the right file?")
    return queries


def _records(path: Path, digest: Any = None) -> Iterator[tuple[int, dict[str, Any]]]:
    """(line number, fields) of a JSON-lines or TSV file; `digest` is fed every line."""
    if path.is_dir():
        yield from _tfds(path, digest)
        return
    suffix = Path(path.name.removesuffix(".gz")).suffix
    if suffix not in SUFFIXES:
        raise InputError(
            f"{path}: a file of documents or queries ends in {', '.join(SUFFIXES)}, or these + .gz."
        )
    lines = _fed(io.lines(path), digest) if digest else io.lines(path)
    yield from _parser(path)(path, lines)


def _tfds(path: Path, digest: Any) -> Iterator[tuple[int, dict[str, Any]]]:
    for number, record in enumerate(map(_renamed, TfdsRecords(path)), start=1):
        if digest:
            digest.update(json.dumps(record, sort_keys=True).encode() + b"\n")
        yield number, record


def _renamed(record: dict[str, Any]) -> dict[str, Any]:
    if "doc_id" in record:
        record["_id"] = record.pop("doc_id")
    return record


def _parser(path: Path) -> Callable[..., Iterator[tuple[int, dict[str, Any]]]]:
    return _tsv if path.name.removesuffix(".gz").endswith(".tsv") else io.parse_jsonl


def _fed(lines: Iterator[tuple[int, str]], digest: Any) -> Iterator[tuple[int, str]]:
    for number, line in lines:
        digest.update(line.encode("utf-8") + b"\n")
        yield number, line


def _tsv(path: Path, lines: Iterator[tuple[int, str]]) -> Iterator[tuple[int, dict[str, Any]]]:
    names: list[str] = []
    for number, line in lines:
        fields = line.split("\t")
        if not names:
            names = [name.strip() for name in fields]
            if not {"id", "text"} <= set(names):
                raise InputError(
                    f"{path}: line 1 should be a header with the columns id and text, not"
                    f" {line[:80]!r}."
                )
        elif line.strip():
            if len(fields) != len(names):
                raise InputError(
                    f"{path}: line {number} has {len(fields)} columns, the header {len(names)};"
                    " texts hold no tabs."
                )
            yield number, dict(zip(names, map(_unquoted, fields), strict=True))


def _unquoted(field: str) -> str:
    # DPR's psgs_w100.tsv is quoted as csv does ("" for a quote). A csv reader would take a stray
    # quote elsewhere for the start of a field over many lines; here it stays as it is.
    if (
        len(field) >= 2
        and field[0] == field[-1] == '"'
        and '"' not in field[1:-1].replace('""', "")
    ):
        return field[1:-1].replace('""', '"')
    return field


def _document(record: dict[str, Any], path: Path, number: int) -> Document:
    title = _text(record, "title", path, number, optional=True)
    return Document(_identifier(record, path, number), _text(record, "text", path, number), title)


def _identifier(record: dict[str, Any], path: Path, number: int) -> str:
    value = record.get("_id", record.get("id"))
    if isinstance(value, int) and not isinstance(value, bool):
        value = str(value)
    if not isinstance(value, str):
        raise InputError(
            f"{path}: line {number} needs the field '_id' (or 'id') with a text, not {value!r}."
        )
    if not value or value.split() != [value]:
        raise InputError(
            f"{path}: line {number} has the id {value!r}; ids are not empty and hold no space,"
            " which would break a TREC run."
        )
    return value


def _text(
    record: dict[str, Any], name: str, path: Path, number: int, *, optional: bool = False
) -> str:
    value = record.get(name)
    if value is None and optional:
        return ""
    if not isinstance(value, str):
        raise InputError(
            f"{path}: line {number} needs the field {name!r} with a text, not {str(value)[:40]!r}."
        )
    return value


def _hash(doc_id: str) -> int:
    return int.from_bytes(hashlib.blake2b(doc_id.encode("utf-8"), digest_size=8).digest(), "little")


def _refuse_duplicates(path: Path, suspects: set[int]) -> None:
    """Different ids may share a 64-bit hash; a second pass tells, and finds the lines."""
    lines: dict[str, int] = {}
    for number, record in _records(path):
        doc_id = _identifier(record, path, number)
        if _hash(doc_id) not in suspects:
            continue
        if doc_id in lines:
            raise InputError(
                f"{path}: document id {doc_id!r} on lines {lines[doc_id]} and {number};"
                " ids are unique."
            )
        lines[doc_id] = number
