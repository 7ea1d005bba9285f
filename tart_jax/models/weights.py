"""Tensors of a model directory, whatever file they lie in, and the hash of parameter values."""

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jax
import ml_dtypes  # noqa: F401  # safetensors' numpy face needs it to read bfloat16
import numpy as np
import safetensors
import safetensors.numpy

from tart_jax import io
from tart_jax.models import torch_files
from tart_jax.types import InputError

# In this order: safetensors run nothing and are read fastest.
SAFETENSORS = ("model.safetensors", "model.safetensors.index.json")
TORCH = ("pytorch_model.bin", "pytorch_model.bin.index.json", "checkpoint.pth")


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
    try:
        return dict(safetensors.numpy.load_file(path))
    except (safetensors.SafetensorError, OSError, ValueError, KeyError) as error:
        raise InputError(f"{path} is not a readable safetensors file ({error}).") from error


def params_sha256(params: dict[str, Any]) -> str:
    """A hash of parameter values: sorted paths, dtypes, shapes and bytes.

    The same weights from another file layout, after export and import, or with stacked layers,
    hash equal.
    """
    named = dict(_layers_apart(params))
    digest = hashlib.sha256()
    for name in sorted(named):
        array = np.ascontiguousarray(named[name])
        digest.update(json.dumps([name, array.dtype.name, list(array.shape)]).encode())
        digest.update(array.reshape(-1).view(np.uint8).data)
    return digest.hexdigest()


def _layers_apart(params: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    """(path, array) of each parameter; of stacked layers, [layers, ...], those of each layer."""
    for path, leaf in jax.tree_util.tree_leaves_with_path(params):
        parts = jax.tree_util.keystr(path, simple=True, separator="/").split("/")
        after = parts.index("layers") + 1 if "layers" in parts else len(parts)
        if parts[after : after + 1] and not parts[after].isdigit():
            for number, layer in enumerate(np.asarray(leaf)):
                yield "/".join((*parts[:after], str(number), *parts[after:])), layer
        else:
            yield "/".join(parts), leaf


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
    try:
        with safetensors.safe_open(path, framework="np") as file:
            for name in file.keys():  # noqa: SIM118  # it is no mapping
                yield name, file.get_tensor(name)
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
