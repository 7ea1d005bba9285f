"""Files: text or gzip, JSON lines, string tables, TREC runs, qrels; none is left half-written."""

import contextlib
import gzip
import hashlib
import json
import os
import shutil
import zlib
from array import array
from collections.abc import Iterable, Iterator
from io import TextIOWrapper
from pathlib import Path
from typing import Any

import numpy as np

from tart_jax.types import InputError, Qrels, Run, ScoredDocument

QRELS_HEADER = ("query-id", "corpus-id", "score")


def existing(path: str | Path, what: str = "file") -> Path:
    """The path, or an InputError that names what is missing."""
    path = Path(path)
    if not path.exists():
        raise InputError(
            f"{what} {path} does not exist; check the path (working folder {Path.cwd()})."
        )
    return path


def is_gzip(path: Path) -> bool:
    """Told by the first two bytes, not by the name."""
    with path.open("rb") as file:
        return file.read(2) == b"\x1f\x8b"


def open_text(path: str | Path) -> TextIOWrapper:
    """A text file for reading; gzip is told by its first two bytes, not by its name.

    Lines end at a line feed alone: a stray carriage return inside one would shift the places of all
    later ones against those that readers by offset count.
    """
    path = existing(path)
    if path.is_dir():
        raise InputError(f"{path} is a folder where a file was expected.")
    if is_gzip(path):
        return gzip.open(path, "rt", encoding="utf-8", newline="\n")
    return path.open(encoding="utf-8", newline="\n")


def lines(path: str | Path) -> Iterator[tuple[int, str]]:
    """(line number from 1, line without its end); an undecodable or cut file is an InputError."""
    number = 0
    with open_text(path) as file:
        try:
            for number, line in enumerate(file, start=1):
                yield number, line.rstrip("\r\n")
        except UnicodeDecodeError as error:
            raise InputError(
                f"{path}: line {number + 1} or later is not UTF-8"
                f" ({error.reason}); convert the file to UTF-8."
            ) from error
        except (EOFError, gzip.BadGzipFile, zlib.error) as error:
            raise InputError(
                f"{path}: the gzip stream ends early or is broken after line {number} ({error})."
            ) from error


def read_jsonl(path: str | Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """(line number, object) of each line; blank ones are skipped, others are InputErrors."""
    return parse_jsonl(path, lines(path))


def parse_jsonl(
    path: str | Path, numbered: Iterable[tuple[int, str]]
) -> Iterator[tuple[int, dict[str, Any]]]:
    """The objects of numbered lines that came from `path`."""
    for number, line in numbered:
        if not line.strip():
            continue
        try:
            record = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise InputError(
                f"{path}: line {number} is not JSON ({error}): {line[:80]!r}."
            ) from error
        if not isinstance(record, dict):
            raise InputError(f"{path}: line {number} is not a JSON object: {line[:80]!r}.")
        yield number, record


def read_json(path: str | Path) -> Any:
    """A JSON file, or an InputError that names it."""
    with open_text(path) as file:
        try:
            return json.load(file)
        except ValueError as error:
            raise InputError(f"{path} is not JSON ({error}).") from error


def read_json_list(path: str | Path) -> Iterator[tuple[int, Any]]:
    """(number from 1, value) of each item of a JSON list, one item in memory at a time."""
    import ijson

    number = 0
    with open_text(path) as file:
        try:
            events = ijson.parse(file.buffer, use_float=True)
            if next(events, None) != ("", "start_array", None):
                raise InputError(f"{path} should hold one JSON list; it begins otherwise.")
            for number, item in enumerate(ijson.items(events, "item"), start=1):
                yield number, item
        except (ijson.JSONError, ValueError, EOFError, gzip.BadGzipFile, zlib.error) as error:
            if isinstance(error, InputError):
                raise
            said = str(error).strip().splitlines()[0]  # the parser draws an arrow below
            raise InputError(f"{path}: item {number + 1} is not JSON ({said}).") from error


@contextlib.contextmanager
def writing(path: str | Path) -> Iterator[Path]:
    """A path to write to, renamed onto `path` at the end, removed if anything fails."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    aside = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        yield aside
        if aside.is_file():
            with aside.open("rb+") as file:  # rename must not overtake the data on a power cut
                os.fsync(file.fileno())
        os.replace(aside, path)
    except BaseException:
        shutil.rmtree(aside, ignore_errors=True) if aside.is_dir() else aside.unlink(
            missing_ok=True
        )
        raise


def write_json(path: str | Path, value: Any) -> None:
    with writing(path) as aside:
        aside.write_text(
            json.dumps(value, indent=2, ensure_ascii=False, sort_keys=False) + "\n", "utf-8"
        )


def write_jsonl(path: str | Path, records: Iterable[Any]) -> int:
    """Writes one JSON value per line, gzip'd when the name ends in .gz; returns how many."""
    count = 0
    with writing(path) as aside:
        opener = gzip.open if str(path).endswith(".gz") else open
        with opener(aside, "wt", encoding="utf-8") as file:
            for record in records:
                file.write(json.dumps(record, ensure_ascii=False) + "\n")
                count += 1
    return count


def sha256(path: str | Path) -> str:
    return _digest(path, "sha256")


def md5(path: str | Path) -> str:
    """For files whose publisher names no better checksum."""
    return _digest(path, "md5")


def _digest(path: str | Path, kind: str) -> str:
    with Path(path).open("rb") as file:
        return hashlib.file_digest(file, kind).hexdigest()


def shard_name(name: str, index: int, count: int, suffix: str) -> str:
    """`name-00003-of-00016.npy`"""
    return f"{name}-{index:05d}-of-{count:05d}{suffix}"


def read_qrels(path: str | Path) -> Qrels:
    """BEIR qrels: a TSV with the header query-id, corpus-id, score."""
    qrels: Qrels = {}
    for number, line in lines(path):
        fields = line.split("\t")
        if number == 1:
            if tuple(fields) != QRELS_HEADER:
                raise InputError(
                    f"{path}: line 1 should be the header 'query-id<TAB>corpus-id<TAB>score',"
                    f" not {line[:80]!r}."
                )
            continue
        if not line.strip():
            continue
        try:
            query_id, doc_id, relevance = fields
            qrels.setdefault(query_id, {})[doc_id] = int(relevance)
        except ValueError as error:
            raise InputError(
                f"{path}: line {number} should be 'query-id<TAB>corpus-id<TAB>integer score',"
                f" not {line[:80]!r}."
            ) from error
    if not qrels:
        raise InputError(f"{path} holds no judgement; is it the right split?")
    return qrels


def write_qrels(path: str | Path, qrels: Qrels) -> None:
    with writing(path) as aside, aside.open("w", encoding="utf-8") as file:
        file.write("\t".join(QRELS_HEADER) + "\n")
        for query_id, judged in qrels.items():
            for doc_id, relevance in judged.items():
                file.write(f"{query_id}\t{doc_id}\t{relevance}\n")


def read_run(path: str | Path) -> Run:
    """A TREC run, `query_id Q0 doc_id rank score tag`, in the order of the file."""
    run: Run = {}
    for number, line in lines(path):
        if line.strip():
            query_id, hit = run_hit(line, f"{path}: line {number}")
            run.setdefault(query_id, []).append(hit)
    if not run:
        raise InputError(f"{path} holds no hit; did the search finish?")
    return run


def run_blocks(path: str | Path, queries: int = 500) -> Iterator[Run]:
    """A TREC run by blocks of queries. InputError: a query's lines are apart."""
    block: Run = {}
    seen = set[str]()
    for number, line in lines(path):
        if not line.strip():
            continue
        query_id, hit = run_hit(line, f"{path}: line {number}")
        if query_id not in block:
            if query_id in seen:
                raise InputError(
                    f"{path}: line {number} goes on with query {query_id!r}, whose hits stand"
                    " together elsewhere; sort it by query: sort -s -k1,1."
                )
            if len(block) == queries:
                yield block
                block = {}
            seen.add(query_id)
        block.setdefault(query_id, []).append(hit)
    if not block:
        raise InputError(f"{path} holds no hit; did the search finish?")
    yield block


def run_hit(line: str, where: str) -> tuple[str, ScoredDocument]:
    """(query_id, hit) of a line of a TREC run; `where` goes into the error of a bad one."""
    try:
        query_id, _, doc_id, _, score, _ = line.split()
        return query_id, ScoredDocument(doc_id, float(score))
    except ValueError as error:
        raise InputError(
            f"{where} should be 'query Q0 document rank score tag', not {line[:80]!r}."
        ) from error


def run_lines(query_id: str, hits: Iterable[ScoredDocument], tag: str) -> Iterator[str]:
    """The lines of one query of a TREC run; nine digits keep every float32 apart."""
    for rank, (doc_id, score) in enumerate(hits, start=1):
        yield f"{query_id} Q0 {doc_id} {rank} {score:.9g} {tag}\n"


class StringTable:
    """A read-only list of strings in two memory-mapped files: 36M ids without 36M objects."""

    def __init__(self, path: str | Path):
        path = Path(path)
        self._ends = np.load(existing(path.with_suffix(".ends.npy"), "string table"), mmap_mode="r")
        empty = not len(self._ends) or not self._ends[-1]
        self._bytes = (
            b"" if empty else np.memmap(existing(path.with_suffix(".utf8")), np.uint8, "r")
        )

    def __len__(self) -> int:
        return len(self._ends)

    def __getitem__(self, index: int) -> str:
        if not -len(self) <= index < len(self):
            raise IndexError(index)
        index %= len(self)
        start = int(self._ends[index - 1]) if index else 0
        return bytes(self._bytes[start : int(self._ends[index])]).decode("utf-8")

    @staticmethod
    def write(path: str | Path, strings: Iterable[str]) -> int:
        """Writes `path.utf8` and `path.ends.npy`; returns how many strings there are."""
        path = Path(path)
        ends, end = array("q"), 0
        with writing(path.with_suffix(".utf8")) as aside, aside.open("wb") as file:
            for text in strings:
                end += file.write(text.encode("utf-8"))
                ends.append(end)
        with writing(path.with_suffix(".ends.npy")) as aside, aside.open("wb") as file:
            np.save(file, np.asarray(ends, np.int64))
        return len(ends)
