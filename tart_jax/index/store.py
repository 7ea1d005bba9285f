"""Index folders: an index, the ids of its documents, and `index.json`, written last."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tart_jax import io
from tart_jax.index.base import Index
from tart_jax.index.bm25 import BM25Index
from tart_jax.index.faiss_index import FaissIndex
from tart_jax.types import InputError

DESCRIPTION = "index.json"
IDS = "ids"
VERSION = 1


@dataclass
class StoredIndex:
    """An index folder, opened. `description` is its index.json."""

    index: Index
    doc_ids: io.StringTable
    description: dict[str, Any]
    directory: Path


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


def open(directory: str | Path, *, gpu: bool = False) -> StoredIndex:
    """InputError: no index there, or one of which a part is missing."""
    directory = io.existing(directory, "index folder")
    path = directory / DESCRIPTION
    if not path.is_file():
        raise InputError(f"{directory} holds no finished index; `tart-jax index` writes one.")
    description = io.read_json(path)
    if description.get("kind") != "tart_jax index" or description.get("version") != VERSION:
        raise InputError(f"{path} does not describe an index of this version; build it again.")
    factory = description["factory"]
    index: Index = (
        BM25Index.load(directory)
        if factory == "BM25"
        else FaissIndex.load(directory, factory, gpu=gpu)
    )
    doc_ids = io.StringTable(directory / IDS)
    if not index.count == len(doc_ids) == description["count"]:
        raise InputError(
            f"{directory}: index.json says {description['count']} documents, the index has"
            f" {index.count} and the ids {len(doc_ids)}; build it again."
        )
    return StoredIndex(index, doc_ids, description, directory)
