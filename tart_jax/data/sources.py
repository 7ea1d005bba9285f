"""Random-access sources of training examples: JSON lines by offset, TFDS array_record folders."""

import functools
import hashlib
import json
import mmap
from array import array
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy as np

from tart_jax import io
from tart_jax.data import examples
from tart_jax.data.examples import TrainingExample
from tart_jax.types import InputError

BLOCK = 1024  # records that are read together
BERRI_KIND = "tart_jax berri"  # what a BERRI build calls itself in its build.json


@runtime_checkable
class ExampleSource(Protocol):
    """A list of examples that need not fit in memory. `fingerprint` changes with any example."""

    fingerprint: str

    def __len__(self) -> int: ...

    def __getitem__(self, index: int) -> TrainingExample: ...

    @property
    def tasks(self) -> dict[str, int]:
        """Examples per task that take the table's instruction; empty where counting would mean
        reading everything."""


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
        numbers, starts, codes = array("q"), array("q"), array("i")
        self._tasks, names = dict[str, int](), dict[str, int]()
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
                    codes.append(names.setdefault(example.task, len(names)))
        if not starts:
            raise InputError(f"{path} holds no example; is it the right file?")
        self._starts, self._numbers = np.asarray(starts), np.asarray(numbers)
        self._codes, self._names = np.asarray(codes), list(names)
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

    def places(self) -> dict[str, np.ndarray]:
        """task -> the positions of its examples, in order."""
        return {name: np.flatnonzero(self._codes == code) for code, name in enumerate(self._names)}

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


class TfdsRecords:
    """The records of a TFDS folder in array_record format, by position; no TensorFlow.

    Features are texts, alone or in a Sequence of dicts, which comes back as a list of dicts.
    split: "" takes the only one.
    """

    def __init__(self, directory: str | Path, split: str = ""):
        import tensorflow_datasets as tfds  # heavy, and absent on some accelerator machines

        self.directory = Path(directory)
        self.shards = sorted(self.directory.glob("*.array_record*"))
        if not self.shards or not is_tfds(self.directory):
            raise InputError(f"{directory} holds no dataset_info.json with array_record shards.")
        try:
            builder = tfds.builder_from_directory(directory)
            splits = sorted(builder.info.splits)
            if split not in splits and (split or len(splits) != 1):
                raise InputError(
                    f"{directory} has the splits {', '.join(splits)}; it should have"
                    f" {split or 'only one'}."
                )
            # Its own decoder reads 15,000 small records a second, `_record` 90,000.
            self._raw = builder.as_data_source(split=split or splits[0]).data_source
        except InputError:
            raise
        except Exception as error:  # of many kinds, by what is wrong in the folder
            raise InputError(
                f"{directory} is not readable as a TFDS folder ({error!r})."
            ) from error

    def __len__(self) -> int:
        return len(self._raw)

    def __iter__(self) -> Iterator[dict[str, Any]]:
        for start in range(0, len(self), BLOCK):
            yield from self.fetch(range(start, min(start + BLOCK, len(self))))

    def fetch(self, positions: Sequence[int]) -> list[dict[str, Any]]:
        """Many at once, which is some ten times as fast as one by one."""
        if not len(positions):
            return []
        try:
            return list(map(_record, self._raw.__getitems__(positions)))
        except Exception as error:  # of many kinds, by what is wrong in the shard
            raise InputError(
                f"{self.directory}: records {min(positions)} to {max(positions)} cannot be read"
                f" ({error!r}); is a shard missing or cut? Copy or build the folder again."
            ) from error


def is_tfds(path: Path) -> bool:
    return (path / "dataset_info.json").is_file()


class TfdsSource:
    """A folder written by tensorflow-datasets with file_format="array_record"; no TensorFlow.

    Features are the keys of `examples.FIELDS`: Text, and Sequence({doc_id, title, text}).
    """

    def __init__(self, directory: str | Path, split: str = "train"):
        self.directory = Path(directory)
        self._records = TfdsRecords(directory, split)
        digests = "".join(io.sha256(shard) for shard in self._records.shards)
        self.fingerprint = hashlib.sha256(digests.encode()).hexdigest()

    def __len__(self) -> int:
        return len(self._records)

    def __getitem__(self, index: int) -> TrainingExample:
        index = range(len(self))[index]
        return examples.parse(self._records.fetch([index])[0], f"{self.directory}: record {index}")

    @property
    def tasks(self) -> dict[str, int]:
        """From the `build.json` beside a BERRI set, whose examples all take the table's."""
        path = self.directory.parent / "build.json"
        facts = io.read_json(path) if path.is_file() else {}
        if not isinstance(facts, dict) or facts.get("kind") != BERRI_KIND:
            return {}
        return {facts["task"]: len(self)}


def _record(serialized: bytes) -> dict[str, Any]:
    """A tf.train.Example as TFDS lays it out: `name`, or `name/field` for each of a Sequence."""
    record: dict[str, Any] = {}
    columns: dict[str, dict[str, list[Any]]] = {}
    for name, feature in _example_class().FromString(serialized).features.feature.items():
        kind = feature.WhichOneof("kind")
        found = getattr(feature, kind).value if kind else ()
        values = [v.decode("utf-8") if isinstance(v, bytes) else v for v in found]
        group, _, field = name.partition("/")
        if field:
            columns.setdefault(group, {})[field] = values
        else:
            (record[name],) = values
    for group, fields in columns.items():
        rows = zip(*fields.values(), strict=True)
        record[group] = [dict(zip(fields, row, strict=True)) for row in rows]
    return record


@functools.cache
def _example_class() -> Any:
    from tensorflow_datasets.proto import tf_example_pb2

    return tf_example_pb2.Example
