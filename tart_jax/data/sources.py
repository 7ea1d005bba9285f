"""Random-access sources of training examples: JSON lines by offset, TFDS array_record folders."""

import hashlib
import json
import mmap
from array import array
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy as np

from tart_jax import io
from tart_jax.data import examples
from tart_jax.data.examples import DOCUMENT_FIELDS, TrainingExample
from tart_jax.types import InputError


@runtime_checkable
class ExampleSource(Protocol):
    """A list of examples that need not fit in memory. `fingerprint` changes with any example."""

    fingerprint: str

    def __len__(self) -> int: ...

    def __getitem__(self, index: int) -> TrainingExample: ...

    @property
    def tasks(self) -> dict[str, int]:
        """Examples per task; empty where counting would mean reading everything."""


def open_source(path: str | Path) -> ExampleSource:
    """A JSON-lines file or a folder of TFDS array_record shards; anything else is an InputError."""
    path = io.existing(path, "training data")
    return TfdsSource(path) if path.is_dir() else JsonlSource(path)


class JsonlSource:
    """A plain JSON-lines file: one pass checks every line and keeps 8 bytes of offset for each.

    The file is mapped into memory, so its size is bounded by the disk. Pickles without the map, for
    loader processes.
    """

    def __init__(self, path: str | Path):
        self.path = io.existing(path, "training data")
        with self.path.open("rb") as file:
            if file.read(2) == b"\x1f\x8b":
                raise InputError(
                    f"{path} is gzip, which has no random access; unpack it once: gunzip -k {path}"
                )
        ends, digest = array("q", [0]), hashlib.sha256()
        numbers, self._tasks = array("q"), dict[str, int]()
        starts = array("q")
        with self.path.open("rb") as file:
            for number, line in enumerate(file, start=1):
                digest.update(line)
                ends.append(ends[-1] + len(line))
                if line.strip():
                    example = self._parse(line, number)
                    if example.instruction is None:
                        self._tasks[example.task] = self._tasks.get(example.task, 0) + 1
                    starts.append(ends[-2])
                    numbers.append(number)
        if not starts:
            raise InputError(f"{path} holds no example; is it the right file?")
        self._starts, self._numbers = np.asarray(starts), np.asarray(numbers)
        self.fingerprint = digest.hexdigest()
        self._map: mmap.mmap | None = None

    def __len__(self) -> int:
        return len(self._starts)

    def __getitem__(self, index: int) -> TrainingExample:
        index = range(len(self))[index]
        if self._map is None:
            with self.path.open("rb") as file:
                self._map = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        start = int(self._starts[index])
        end = self._map.find(b"\n", start)
        line = self._map[start : end if end >= 0 else len(self._map)]
        return self._parse(line, int(self._numbers[index]))

    @property
    def tasks(self) -> dict[str, int]:
        return dict(self._tasks)

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"_map": None}

    def _parse(self, line: bytes, number: int) -> TrainingExample:
        where = f"{self.path}: line {number}"
        try:
            record = json.loads(line)
        except ValueError as error:  # UnicodeDecodeError is one, too
            raise InputError(f"{where} is not JSON ({error}): {line[:80]!r}.") from error
        if not isinstance(record, dict):
            raise InputError(f"{where} is not a JSON object: {line[:80]!r}.")
        return examples.parse(record, where)


class TfdsSource:
    """A folder written by tensorflow-datasets with file_format="array_record"; no TensorFlow.

    Features are the keys of `examples.FIELDS`: Text, and Sequence({doc_id, title, text}).
    """

    def __init__(self, directory: str | Path, split: str = "train"):
        import tensorflow_datasets as tfds  # heavy, and absent on some accelerator machines

        self.directory = Path(directory)
        shards = sorted(self.directory.glob("*.array_record*"))
        if not shards or not (self.directory / "dataset_info.json").is_file():
            raise InputError(f"{directory} holds no dataset_info.json with array_record shards.")
        self._records = tfds.builder_from_directory(directory).as_data_source(split=split)
        digests = "".join(io.sha256(shard) for shard in shards)
        self.fingerprint = hashlib.sha256(digests.encode()).hexdigest()

    def __len__(self) -> int:
        return len(self._records)

    def __getitem__(self, index: int) -> TrainingExample:
        record: dict[str, Any] = _decoded(self._records[index])
        for key in DOCUMENT_FIELDS:  # a Sequence of dicts comes back as a dict of lists
            columns = record.get(key, {})
            rows = zip(*columns.values(), strict=True)
            record[key] = [dict(zip(columns, row, strict=True)) for row in rows]
        return examples.parse(record, f"{self.directory}: record {index}")

    @property
    def tasks(self) -> dict[str, int]:
        return {}


def _decoded(value: Any) -> Any:
    if isinstance(value, bytes):
        return value.decode("utf-8")
    if isinstance(value, Mapping):
        return {key: _decoded(item) for key, item in value.items()}
    return [_decoded(item) for item in value] if isinstance(value, list | np.ndarray) else value
