"""Tensors of a model directory, whatever file they lie in, and the hash of parameter values."""

import hashlib
import json
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
    raise InputError(
        f"{directory} holds no weights: none of {', '.join((*SAFETENSORS, *TORCH))} is there."
    )


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

    The same weights from another file layout, or after export and import, hash equal.
    """
    leaves = jax.tree_util.tree_leaves_with_path(params)
    named = {
        jax.tree_util.keystr(path, simple=True, separator="/"): np.ascontiguousarray(leaf)
        for path, leaf in leaves
    }
    digest = hashlib.sha256()
    for name in sorted(named):
        array = named[name]
        digest.update(json.dumps([name, array.dtype.name, list(array.shape)]).encode())
        digest.update(array.reshape(-1).view(np.uint8).data)
    return digest.hexdigest()


def _sharded(index: Path) -> dict[str, np.ndarray]:
    weight_map = io.read_json(index).get("weight_map")
    if not isinstance(weight_map, dict) or not weight_map:
        raise InputError(f"{index} has no weight_map; it should name the shard of each tensor.")
    tensors: dict[str, np.ndarray] = {}
    for name in sorted(set(weight_map.values())):
        if Path(name).name != name:
            raise InputError(f"{index} names a shard outside its folder: {name!r}.")
        tensors.update(read_file(io.existing(index.parent / name, "weight shard")))
    lost = sorted(set(weight_map) - set(tensors))
    if lost:
        raise InputError(f"{index} names tensors that its shards do not hold: {', '.join(lost)}.")
    return tensors
