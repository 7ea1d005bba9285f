"""Embedding shards on disk: written one at a time, resumed after a kill, read memory-mapped.

A folder holds `embeddings-00003-of-00016.npy` (float32 or float16 [n, d], corpus order), its ids
beside it, and `manifest.json`. While the encoding runs the manifest says `complete: false`, and
each finished shard has a small JSON file, written last: what has none is done again. Several
processes may fill one folder; the first of them prepares it and gathers the manifest.
"""

import bisect
from collections.abc import Iterator, Sequence
from itertools import accumulate
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

from tart_jax import distributed, io
from tart_jax.types import InputError

MANIFEST = "manifest.json"
VERSION = 1


class EmbeddingWriter:
    """Writes the shards of one encoding; started again over the same folder it continues.

    `identity` holds what the embeddings depend on (weights hash, format, pooling, corpus, ...), in
    plain JSON values. InputError: the folder holds embeddings of another identity. Of several
    processes each makes one, and calls `finish`; in between each writes shards of its own.
    """

    def __init__(
        self,
        directory: str | Path,
        identity: dict[str, Any],
        *,
        count: int,
        shard_size: int,
        dtype: str,
        overwrite: bool = False,
    ):
        if dtype not in ("float32", "float16"):
            raise InputError(f"dtype {dtype!r} is not one of float32, float16.")
        if shard_size < 1:
            raise InputError(f"shard_size {shard_size} is not positive; 8192 documents are usual.")
        self.directory = Path(directory)
        self.shard_size, self.dtype = shard_size, dtype
        self.num_shards = -(-count // shard_size)
        self._plan = {
            "kind": "tart_jax embeddings",
            "version": VERSION,
            "complete": False,
            **identity,
            "dtype": dtype,
            "shard_size": shard_size,
            "count": count,
            "shards": [],
        }
        self.directory.mkdir(parents=True, exist_ok=True)
        manifest = self.directory / MANIFEST
        stored = io.read_json(manifest) if manifest.is_file() else None
        other = [] if stored is None else _differences(stored, self._plan)
        if stored is not None and other and not overwrite:
            raise InputError(_refusal(self.directory, stored, self._plan))
        self.complete = bool(stored and not other and stored["complete"])
        self._records = stored["shards"] if self.complete and stored else [None] * self.num_shards
        distributed.barrier("manifest read")  # nothing changes before all have judged it
        if distributed.is_main_process():
            self._prepare(manifest, other)
        distributed.barrier("embeddings folder ready")

    def _prepare(self, manifest: Path, other: list[str]) -> None:
        if other:
            manifest.unlink(missing_ok=True)
            self._remove("embeddings-*")
        self._remove(".embeddings-*.tmp")  # what a killed run was writing
        if not self.complete:
            io.write_json(manifest, self._plan)

    def is_done(self, shard: int) -> bool:
        """Whether this shard is on disk, whole."""
        record = self._record(shard)
        path = self._path(shard, ".npy")
        return bool(record) and path.is_file() and path.stat().st_size == record["bytes"]

    def write(self, shard: int, ids: Sequence[str], embeddings: Float[np.ndarray, "n d"]) -> None:
        """Writes one shard. InputError: values that are not finite, or too large for float16."""
        with np.errstate(over="ignore"):  # what is too large becomes inf, and is named below
            stored = embeddings.astype(self.dtype)
        if not np.isfinite(stored).all():
            row = int(np.argmin(np.isfinite(stored).all(axis=1)))
            raise InputError(
                f"the embedding of document {ids[row]!r} is not finite in {self.dtype}; did the"
                " training diverge, or is --config.dtype=float32 needed?"
            )
        path = self._path(shard, ".npy")
        with io.writing(path) as aside, aside.open("wb") as file:
            np.save(file, stored)
        io.StringTable.write(self._path(shard, ""), ids)
        record = {
            "file": path.name,
            "documents": len(ids),
            "bytes": path.stat().st_size,
            "sha256": io.sha256(path),
        }
        io.write_json(self._path(shard, ".json"), record)

    def finish(self) -> None:
        """Gathers the shard records into the manifest; only then can the folder be read.

        InputError: a shard that no process wrote.
        """
        distributed.barrier("embedding shards written")
        if not distributed.is_main_process():
            return
        records = [self._record(shard) for shard in range(self.num_shards)]
        if None in records:
            raise InputError(
                f"{self._path(records.index(None), '.npy')} is not there although all processes are"
                " done; let them share one file system, and run the same command again."
            )
        if not self.complete or records != self._records:
            manifest = self._plan | {"complete": True, "shards": records}
            io.write_json(self.directory / MANIFEST, manifest)
        self._remove("embeddings-*.json")
        self.complete, self._records = True, records

    def _record(self, shard: int) -> Any:
        beside = self._path(shard, ".json")
        return io.read_json(beside) if beside.is_file() else self._records[shard]

    def _path(self, shard: int, suffix: str) -> Path:
        return self.directory / io.shard_name("embeddings", shard, self.num_shards, suffix)

    def _remove(self, pattern: str) -> None:
        for path in self.directory.glob(pattern):
            path.unlink()


def _differences(stored: dict[str, Any], plan: dict[str, Any]) -> list[str]:
    same = {"complete", "shards", "source", "corpus"}  # the same content under another name
    return [name for name in plan if name not in same and stored.get(name) != plan[name]]


def _refusal(directory: Path, stored: dict[str, Any], plan: dict[str, Any]) -> str:
    names = _differences(stored, plan)
    return (
        f"{directory} holds embeddings made with another {' and '.join(names)}"
        f" ({_short(stored.get(names[0]))}, now {_short(plan[names[0]])});"
        " choose another workdir, or --config.overwrite=True."
    )


def _short(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{key} {_short(part)}" for key, part in value.items())
    text = str(value)
    return f"{text[:12]}..." if len(text) > 40 else text


class Embeddings:
    """Finished embeddings on disk; nothing is read into memory until a shard is looked at.

    prefix: only the documents whose ids begin so, as if no others had been encoded: a task's own
    corpus out of the pooled one. InputError: there is none.
    """

    def __init__(self, directory: Path, manifest: dict[str, Any], prefix: str = ""):
        self.directory, self.manifest = directory, manifest
        self.dims: int = manifest["dims"]
        self.count: int = manifest["count"]
        self._sizes = [record["documents"] for record in manifest["shards"]]
        self.ids: Sequence[str] = ShardedIds(directory, self._sizes)
        self._rows: np.ndarray | None = None
        if prefix:
            places = (place for place, name in enumerate(self.ids) if name.startswith(prefix))
            self._rows = np.fromiter(places, np.int64)
            self.ids, self.count = SomeIds(self.ids, self._rows), len(self._rows)
            if not self.count:
                raise InputError(
                    f"no document of {directory} has an id that begins with {prefix!r}; the first"
                    f" id is {self.ids.all[0] if self._sizes else None!r}."
                )

    @classmethod
    def open(cls, directory: str | Path, prefix: str = "") -> "Embeddings":
        """InputError: no embeddings there, an encoding not finished, or a file cut short."""
        directory = io.existing(directory, "embeddings folder")
        path = directory / MANIFEST
        if not path.is_file():
            raise InputError(f"{directory} holds no {MANIFEST}; `tart-jax encode` writes one.")
        manifest = io.read_json(path)
        if manifest.get("kind") != "tart_jax embeddings" or manifest.get("version") != VERSION:
            raise InputError(f"{path} does not describe embeddings of this version; encode again.")
        if not manifest["complete"]:
            raise InputError(
                f"the encoding in {directory} has not finished; run the same `tart-jax encode`"
                " again, it continues."
            )
        for record in manifest["shards"]:
            size = io.existing(directory / record["file"], "embedding shard").stat().st_size
            if size != record["bytes"]:
                raise InputError(
                    f"{directory / record['file']} has {size} bytes where the manifest says"
                    f" {record['bytes']}; remove the folder and encode again."
                )
        return cls(directory, manifest, prefix)

    @property
    def manifest_sha256(self) -> str:
        """What an index remembers, to tell whether the embeddings are still the same."""
        return io.sha256(self.directory / MANIFEST)

    def shards(self, *, verify: bool = False) -> Iterator[Float[np.ndarray, "n d"]]:
        """The shards in corpus order, memory-mapped, in the stored dtype.

        verify: refuse (InputError) a shard whose bytes do not have the manifest's sha256.
        """
        begin = 0
        for record in self.manifest["shards"]:
            path = self.directory / record["file"]
            if verify and io.sha256(path) != record["sha256"]:
                raise InputError(
                    f"{path} does not have the checksum that its manifest names; remove the folder"
                    " and encode again."
                )
            shard = np.load(path, mmap_mode="r")
            if self._rows is None:
                yield shard
            else:
                here = (self._rows >= begin) & (self._rows < begin + len(shard))
                yield shard[self._rows[here] - begin]
            begin += len(shard)

    def sample(self, size: int, *, seed: int) -> Float[np.ndarray, "n d"]:
        """At most `size` embeddings, float32, drawn without replacement over the whole corpus."""
        if size >= self.count:
            rows = np.arange(self.count)
        else:
            rows = np.sort(np.random.default_rng(seed).choice(self.count, size, replace=False))
        parts, begin = [], 0
        for shard in self.shards():
            inside = rows[(rows >= begin) & (rows < begin + len(shard))] - begin
            parts.append(np.asarray(shard[inside], np.float32))
            begin += len(shard)
        return np.concatenate(parts)


class ShardedIds(Sequence[str]):
    """The document ids of all shards as one sequence; each shard's table is opened on first use."""

    def __init__(self, directory: Path, documents: Sequence[int]):
        self._directory = directory
        self._ends = list(accumulate(documents))
        self._tables: dict[int, io.StringTable] = {}

    def __len__(self) -> int:
        return self._ends[-1] if self._ends else 0

    def __getitem__(self, index: Any) -> Any:
        if not isinstance(index, int | np.integer):
            raise TypeError(f"document ids are taken one at a time, not by {index!r}.")
        if not 0 <= index < len(self):
            raise IndexError(index)
        shard = bisect.bisect_right(self._ends, index)
        begin = self._ends[shard - 1] if shard else 0
        return self._table(shard)[int(index) - begin]

    def _table(self, shard: int) -> io.StringTable:
        if shard not in self._tables:
            name = io.shard_name("embeddings", shard, len(self._ends), "")
            self._tables[shard] = io.StringTable(self._directory / name)
        return self._tables[shard]


class SomeIds(Sequence[str]):
    """The ids at some places among all of them."""

    def __init__(self, all: Sequence[str], places: np.ndarray):
        self.all, self._places = all, places

    def __len__(self) -> int:
        return len(self._places)

    def __getitem__(self, index: Any) -> Any:
        return self.all[int(self._places[index])]
