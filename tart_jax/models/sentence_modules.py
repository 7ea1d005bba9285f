"""The files by which sentence-transformers knows pooling, projection, normalisation and length."""

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import safetensors.numpy

from tart_jax import io
from tart_jax.models import weights
from tart_jax.types import InputError

MODULES = "modules.json"
LENGTH = "sentence_bert_config.json"
POOLING, DENSE, NORMALIZE = "1_Pooling", "2_Dense", "Normalize"
# Their flag in 1_Pooling/config.json, and the name that later versions write as `pooling_mode`.
FLAGS = {
    "mean": "pooling_mode_mean_tokens",
    "cls": "pooling_mode_cls_token",
    "max": "pooling_mode_max_tokens",
    "last": "pooling_mode_lasttoken",
}
NAMES = {"mean": "mean", "cls": "cls", "max": "max", "lasttoken": "last"}
# The paths of 2.x to 5.x, which 6.x still reads: a directory with them loads everywhere.
TYPE = "sentence_transformers.models."


@dataclasses.dataclass(frozen=True)
class SentenceModules:
    """What a directory's modules.json asks for.

    encoder: where the encoder lies. pooling, max_length: None where nothing says. projection: a
    dense layer's {"kernel": [d, p], "bias": [p]}, or None.
    """

    encoder: Path
    pooling: str | None = None
    normalize: bool = False
    projection: dict[str, np.ndarray] | None = None
    max_length: int | None = None


def read(directory: Path) -> SentenceModules:
    """Reads `modules.json` and what it names; a directory without it is an encoder alone.

    InputError: a module, an order of modules or a pooling that our towers do not have.
    """
    path = directory / MODULES
    if not path.is_file():
        return SentenceModules(directory, max_length=_max_length(directory))
    entries = io.read_json(path)
    try:
        modules = [(entry["type"].rpartition(".")[2], entry["path"]) for entry in entries]
    except (TypeError, KeyError, AttributeError) as error:
        raise InputError(f"{path} should list modules with `type` and `path` ({error}).") from error
    kinds = [kind for kind, _ in modules]
    known = ["Transformer", "Pooling", "Dense", "Normalize"]
    if kinds[:2] != known[:2] or kinds != [kind for kind in known if kind in kinds]:
        raise InputError(
            f"{path} chains {', '.join(kinds)}; supported is {', '.join(known)} in this order, the "
            "last two optional."
        )
    folders = {kind: directory / folder for kind, folder in modules}
    return SentenceModules(
        encoder=folders["Transformer"],
        pooling=_pooling(folders["Pooling"] / "config.json"),
        normalize="Normalize" in kinds,
        projection=_dense(folders["Dense"]) if "Dense" in kinds else None,
        max_length=_max_length(folders["Transformer"]),
    )


def write(
    directory: Path,
    *,
    dims: int,
    pooling: str,
    normalize: bool,
    projection: dict[str, Any] | None,
    max_length: int,
) -> None:
    """Writes modules.json and the folders it names. dims: width of the encoder."""
    chain = [("Transformer", ""), ("Pooling", POOLING)]
    if projection is not None:
        chain.append(("Dense", DENSE))
    if normalize:
        chain.append(("Normalize", f"{len(chain)}_{NORMALIZE}"))
    entries = [
        {"idx": index, "name": str(index), "path": folder, "type": TYPE + kind}
        for index, (kind, folder) in enumerate(chain)
    ]
    io.write_json(directory / MODULES, entries)
    io.write_json(directory / LENGTH, {"max_seq_length": max_length, "do_lower_case": False})
    flags = {flag: name == pooling for name, flag in FLAGS.items()}
    io.write_json(directory / POOLING / "config.json", {"word_embedding_dimension": dims, **flags})
    if normalize:
        (directory / chain[-1][1]).mkdir()  # empty: there is nothing to set
    if projection is not None:
        _write_dense(directory / DENSE, projection)


def _pooling(path: Path) -> str:
    config = io.read_json(path)
    named = config.get("pooling_mode")
    active = [
        key.removeprefix("pooling_mode_").removesuffix("_tokens").removesuffix("_token")
        for key, value in config.items()
        if key.startswith("pooling_mode_") and value is True
    ]
    if named is not None:
        active = [named] if isinstance(named, str) else list(named)
    if len(active) != 1 or active[0] not in NAMES:
        raise InputError(
            f"{path} asks for pooling {' and '.join(active) or 'none'}; supported is exactly one "
            f"of {', '.join(NAMES)}."
        )
    return NAMES[active[0]]


def _dense(folder: Path) -> dict[str, np.ndarray]:
    config = io.read_json(folder / "config.json")
    activation = str(config.get("activation_function", "Tanh")).rpartition(".")[2]
    if activation != "Identity":
        raise InputError(
            f"{folder} applies {activation} after its layer; only Identity is supported."
        )
    tensors = weights.read(folder)
    kernel, bias = tensors.get("linear.weight"), tensors.get("linear.bias")
    shape = (config.get("out_features"), config.get("in_features"))
    if kernel is None or kernel.shape != shape:
        raise InputError(f"{folder} holds no linear.weight of shape {list(shape)}.")
    if bias is None:
        bias = np.zeros(kernel.shape[0], np.float32)
    return {
        "kernel": np.ascontiguousarray(kernel.T, np.float32),
        "bias": np.ascontiguousarray(bias, np.float32),
    }


def _write_dense(folder: Path, projection: dict[str, Any]) -> None:
    kernel = np.asarray(projection["kernel"], np.float32)
    io.write_json(
        folder / "config.json",
        {
            "in_features": kernel.shape[0],
            "out_features": kernel.shape[1],
            "bias": True,
            "activation_function": "torch.nn.modules.linear.Identity",
        },
    )
    safetensors.numpy.save_file(
        {
            "linear.weight": np.ascontiguousarray(kernel.T),
            "linear.bias": np.asarray(projection["bias"], np.float32),
        },
        folder / "model.safetensors",
        metadata={"format": "pt"},
    )


def _max_length(directory: Path) -> int | None:
    path = directory / LENGTH
    length = io.read_json(path).get("max_seq_length") if path.is_file() else None
    return None if length is None else int(length)
