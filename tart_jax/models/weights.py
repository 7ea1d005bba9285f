"""Tensors of a model directory, whatever file they lie in, and the hash of parameter values."""

import contextlib
import hashlib
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import jax
import ml_dtypes  # noqa: F401  # safetensors' numpy face needs it to read bfloat16
import numpy as np
import safetensors
import safetensors.numpy

from tart_jax import io
from tart_jax.models import placement, torch_files
from tart_jax.types import InputError

# In this order: safetensors run nothing and are read fastest.
SAFETENSORS = ("model.safetensors", "model.safetensors.index.json")
TORCH = ("pytorch_model.bin", "pytorch_model.bin.index.json", "checkpoint.pth")


class Stored(Mapping[str, np.ndarray]):
    """Tensors of safetensors files by name, each read when it is asked for, and not kept."""

    def __init__(self, files: Mapping[str, Path]):
        self._files = files  # of each tensor

    def __getitem__(self, name: str) -> np.ndarray:
        # Opened anew: what was read of an open file counts as memory of this process.
        with _opened(self._files[name]) as file:
            return file.get_tensor(name)

    def __iter__(self) -> Iterator[str]:
        return iter(self._files)

    def __len__(self) -> int:
        return len(self._files)


def stored(path: Path) -> Mapping[str, np.ndarray]:
    """The tensors of a model directory or of a weight file, read one by one as they are used.

    A dict of all where they lie in PyTorch's files. InputError: as `read`.
    """
    if path.is_file():
        return _stored([path]) if path.suffix == ".safetensors" else read_file(path)
    whole, index = (path / name for name in SAFETENSORS)
    if whole.is_file():
        return _stored([whole])
    if not index.is_file():
        return read(path)
    names, shards = _shards(index)
    tensors = _stored(shards)
    _check_all(index, names, set(tensors))
    return tensors


def read(directory: Path) -> dict[str, np.ndarray]:
    """Every tensor of the directory's checkpoint by its name.

    InputError: no weights, a shard is missing, or a file is broken.
    """
    for name in (*SAFETENSORS, *TORCH):
        path = directory / name
        if path.is_file():
            return _sharded(path) if name.endswith(".index.json") else read_file(path)
    raise InputError(_no_weights(directory))


def iterate(directory: Path) -> Iterator[tuple[str, np.ndarray]]:
    """(name, tensor) of the directory's checkpoint, one in memory at a time.

    A PyTorch file is read whole, a shard at a time. InputError: as `read`.
    """
    for name in (*SAFETENSORS, *TORCH):
        path = directory / name
        if path.is_file():
            return _iterate_shards(path) if name.endswith(".index.json") else _iterate_file(path)
    raise InputError(_no_weights(directory))


def read_file(path: Path) -> dict[str, np.ndarray]:
    """Every tensor of one `.safetensors`, `.bin` or `.pth` file."""
    if path.suffix != ".safetensors":
        return torch_files.read_tensors(path)
    with _readable(path):
        return dict(safetensors.numpy.load_file(path))


def params_sha256(params: dict[str, Any]) -> str:
    """A hash of parameter values: sorted paths, dtypes, shapes and bytes.

    The same weights from another file layout, after export and import, or with stacked layers,
    hash equal.
    """
    named = {name: (leaf, layer) for name, leaf, layer in _layers_apart(params)}
    digest = hashlib.sha256()
    for name in sorted(named):
        array = np.ascontiguousarray(placement.to_host(*named[name]))
        digest.update(json.dumps([name, array.dtype.name, list(array.shape)]).encode())
        digest.update(array.reshape(-1).view(np.uint8).data)
    return digest.hexdigest()


def _layers_apart(params: dict[str, Any]) -> Iterator[tuple[str, Any, int | None]]:
    """(path, array, None) of each parameter; of stacked layers, [layers, ...], of each layer."""
    for path, leaf in jax.tree_util.tree_leaves_with_path(params):
        parts = jax.tree_util.keystr(path, simple=True, separator="/").split("/")
        after = parts.index("layers") + 1 if "layers" in parts else len(parts)
        if parts[after : after + 1] and not parts[after].isdigit():
            for number in range(len(leaf)):
                yield "/".join((*parts[:after], str(number), *parts[after:])), leaf, number
        else:
            yield "/".join(parts), leaf, None


def _no_weights(directory: Path) -> str:
    return f"{directory} holds no weights: none of {', '.join((*SAFETENSORS, *TORCH))} is there."


def _sharded(index: Path) -> dict[str, np.ndarray]:
    tensors: dict[str, np.ndarray] = {}
    names, shards = _shards(index)
    for shard in shards:
        tensors.update(read_file(shard))
    _check_all(index, names, set(tensors))
    return tensors


def _iterate_shards(index: Path) -> Iterator[tuple[str, np.ndarray]]:
    names, shards = _shards(index)
    seen = set()
    for shard in shards:
        for name, tensor in _iterate_file(shard):
            seen.add(name)
            yield name, tensor
            del tensor  # or the last one would stay while the next is read
    _check_all(index, names, seen)


def _iterate_file(path: Path) -> Iterator[tuple[str, np.ndarray]]:
    if path.suffix != ".safetensors":
        tensors = torch_files.read_tensors(path)
        while tensors:
            yield tensors.popitem()
        return
    with _opened(path) as file:
        for name in file.keys():  # noqa: SIM118  # it is no mapping
            yield name, file.get_tensor(name)


def _stored(files: list[Path]) -> Stored:
    places = {}
    for path in files:
        with _opened(path) as file:
            places.update(dict.fromkeys(file.keys(), path))
    return Stored(places)


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[Any]:
    with _readable(path), safetensors.safe_open(path, framework="np") as file:
        yield file


@contextlib.contextmanager
def _readable(path: Path) -> Iterator[None]:
    try:
        yield
    except (safetensors.SafetensorError, OSError, ValueError, KeyError) as error:
        raise InputError(f"{path} is not a readable safetensors file ({error}).") from error


def _shards(index: Path) -> tuple[set[str], list[Path]]:
    """The names of all tensors, and the files that hold them."""
    weight_map = io.read_json(index).get("weight_map")
    if not isinstance(weight_map, dict) or not weight_map:
        raise InputError(f"{index} has no weight_map; it should name the shard of each tensor.")
    shards = sorted(set(weight_map.values()))
    for name in shards:
        if Path(name).name != name:
            raise InputError(f"{index} names a shard outside its folder: {name!r}.")
    return set(weight_map), [io.existing(index.parent / name, "weight shard") for name in shards]


def _check_all(index: Path, names: set[str], found: set[str]) -> None:
    if lost := sorted(names - found):
        raise InputError(f"{index} names tensors that its shards do not hold: {', '.join(lost)}.")
