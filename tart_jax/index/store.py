"""Indexes by name, and their folders: an index, its documents' ids, `index.json` written last."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tart_jax import io
from tart_jax.index.base import Index
from tart_jax.index.bm25 import BM25Index
from tart_jax.index.exact import ExactIndex
from tart_jax.index.faiss_index import FaissIndex
from tart_jax.types import InputError

DESCRIPTION = "index.json"
IDS = "ids"
VERSION = 1
BM25, EXACT = "BM25", "Exact"  # the factories that are not FAISS's


@dataclass
class StoredIndex:
    """An index folder, opened. `description` is its index.json."""

    index: Index
    doc_ids: io.StringTable
    description: dict[str, Any]
    directory: Path


def create(
    factory: str, dims: int, *, dtype: str = "float32", gpu: bool = False
) -> ExactIndex | FaissIndex:
    """An empty index of vectors: Exact, or what a FAISS factory string names.

    dtype: of an Exact index on its devices. gpu: FAISS's. InputError: no such index.
    """
    if factory == EXACT:
        return ExactIndex(dims, dtype=dtype)
    if dtype != "float32":
        raise InputError(
            f"dtype {dtype!r} is for factory={EXACT}; FAISS has its own names, such as SQfp16."
        )
    return FaissIndex(factory, dims, gpu=gpu)


def save(
    directory: str | Path, index: Index, doc_ids: Iterable[str], description: dict[str, Any]
) -> None:
    """Writes an index folder; until its last file stands, `open` refuses it."""
    directory = Path(directory)
    directory.mkdir(parents=True, exist_ok=True)
    (directory / DESCRIPTION).unlink(missing_ok=True)
    index.save(directory)
    count = io.StringTable.write(directory / IDS, doc_ids)
    if count != index.count:
        raise InputError(f"the index has {index.count} documents, but {count} ids came with them.")
    head = {"kind": "tart_jax index", "version": VERSION, "count": count}
    io.write_json(directory / DESCRIPTION, head | description)


def open(directory: str | Path, *, gpu: bool = False, half: bool = False) -> StoredIndex:
    """InputError: no index there, or one of which a part is missing."""
    directory = io.existing(directory, "index folder")
    path = directory / DESCRIPTION
    if not path.is_file():
        raise InputError(f"{directory} holds no finished index; `tart-jax index` writes one.")
    description = io.read_json(path)
    if description.get("kind") != "tart_jax index" or description.get("version") != VERSION:
        raise InputError(f"{path} does not describe an index of this version; build it again.")
    factory = description["factory"]
    index: Index
    if factory == BM25:
        index = BM25Index.load(directory)
    elif factory == EXACT:
        index = ExactIndex.load(directory, dtype=description["dtype"])
    else:
        index = FaissIndex.load(directory, factory, gpu=gpu, half=half)
    doc_ids = io.StringTable(directory / IDS)
    if not index.count == len(doc_ids) == description["count"]:
        raise InputError(
            f"{directory}: index.json says {description['count']} documents, the index has"
            f" {index.count} and the ids {len(doc_ids)}; build it again."
        )
    return StoredIndex(index, doc_ids, description, directory)
