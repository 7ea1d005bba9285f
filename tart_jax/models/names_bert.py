"""Hugging Face's BERT parameter names and ours: one table, read in both directions."""

import dataclasses
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import jax
import numpy as np

from tart_jax.models.bert import BertConfig, BertEncoder
from tart_jax.types import InputError

# Hugging Face's module, our module (# stands for the layer number), its kind.
TABLE = (
    ("embeddings.word_embeddings", "embeddings.tokens", "embed"),
    ("embeddings.position_embeddings", "embeddings.positions", "embed"),
    ("embeddings.token_type_embeddings", "embeddings.types", "embed"),
    ("embeddings.LayerNorm", "embeddings.norm", "norm"),
    ("encoder.layer.#.attention.self.query", "layers.#.attention.query", "linear"),
    ("encoder.layer.#.attention.self.key", "layers.#.attention.key", "linear"),
    ("encoder.layer.#.attention.self.value", "layers.#.attention.value", "linear"),
    ("encoder.layer.#.attention.output.dense", "layers.#.attention.output", "linear"),
    ("encoder.layer.#.attention.output.LayerNorm", "layers.#.attention_norm", "norm"),
    ("encoder.layer.#.intermediate.dense", "layers.#.up", "linear"),
    ("encoder.layer.#.output.dense", "layers.#.down", "linear"),
    ("encoder.layer.#.output.LayerNorm", "layers.#.output_norm", "norm"),
)
# kind: (their parameter, ours). A linear layer's weight is [out, in] there and [in, out] here.
PARAMETERS = {
    "embed": (("weight", "embedding"),),
    "norm": (("weight", "scale"), ("bias", "bias")),
    "linear": (("weight", "kernel"), ("bias", "bias")),
}
# Heads and buffers of an encoder checkpoint that an embedding has no use for.
IGNORED = re.compile(r"embeddings\.position_ids|embeddings\.token_type_ids|pooler\..*|cls\..*")
OLD_NAMES = ((".gamma", ".weight"), (".beta", ".bias"))  # TensorFlow's, in checkpoints of 2019

Path = tuple[str | int, ...]


@dataclasses.dataclass(frozen=True)
class Problems:
    """What keeps a checkpoint from being this encoder."""

    missing: list[str]
    misshaped: list[str]
    unexpected: list[str]

    def __bool__(self) -> bool:
        return bool(self.missing or self.misshaped or self.unexpected)

    def __str__(self) -> str:
        groups = (
            ("missing", self.missing),
            ("of the wrong shape", self.misshaped),
            ("unexpected", self.unexpected),
        )
        return "; ".join(f"{len(keys)} {name}: {', '.join(keys)}" for name, keys in groups if keys)


def names(config: BertConfig) -> Iterator[tuple[str, Path, bool]]:
    """(Hugging Face name, path in our params, whether transposed) of every parameter."""
    for theirs, ours, kind in TABLE:
        layers: Iterable[int | None] = range(config.num_hidden_layers) if "#" in theirs else (None,)
        for layer in layers:
            path: Path = tuple(layer if part == "#" else part for part in ours.split("."))  # type: ignore[misc]
            for their_leaf, our_leaf in PARAMETERS[kind]:
                name = f"{theirs.replace('#', str(layer))}.{their_leaf}"
                yield name, (*path, our_leaf), our_leaf == "kernel"


def from_hf(
    tensors: Mapping[str, np.ndarray], config: BertConfig, source: str
) -> tuple[dict[str, Any], tuple[str, ...]]:
    """The encoder's params (float32) out of a checkpoint's tensors, and the keys that were ignored.

    InputError: keys missing, of another shape, or unexpected; all of them in one message.
    """
    found = plain_names(tensors)
    shapes = _shapes(config)
    params: dict[str, Any] = {}
    problems = Problems([], [], [])
    for name, path, transposed in names(config):
        tensor = found.pop(name, None)
        if tensor is None:
            problems.missing.append(name)
            continue
        value = tensor.T if transposed else tensor
        if value.shape != shapes[path]:
            wanted = shapes[path][::-1] if transposed else shapes[path]
            problems.misshaped.append(f"{name} {list(tensor.shape)} instead of {list(wanted)}")
            continue
        put_leaf(params, path, np.ascontiguousarray(value, np.float32))
    ignored = tuple(sorted(name for name in found if IGNORED.fullmatch(name)))
    problems.unexpected.extend(sorted(set(found) - set(ignored)))
    if problems:
        raise InputError(
            f"{source} does not hold the encoder its config.json describes: {problems}."
        )
    return params, ignored


def to_hf(params: Mapping[str, Any], config: BertConfig) -> dict[str, np.ndarray]:
    """The tensors of an `AutoModel` checkpoint (float32, bare names, no pooler)."""
    tensors = {}
    for name, path, transposed in names(config):
        value: Any = params
        for part in path:
            value = value[part]
        array = np.asarray(value, np.float32)
        tensors[name] = np.ascontiguousarray(array.T if transposed else array)
    return tensors


def plain_names(tensors: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Tensors under today's bare names: prefixes taken off, `gamma` and `beta` renamed."""
    plain = {}
    prefix = _prefix(tensors)
    for name, tensor in tensors.items():
        new = name.removeprefix(prefix)
        for old, today in OLD_NAMES:
            if new.endswith(f"LayerNorm{old}"):
                new = new.removesuffix(old) + today
        plain[new] = tensor
    return plain


def _prefix(tensors: Iterable[str]) -> str:
    """What stands before `embeddings.word_embeddings.weight`, the one key every checkpoint has."""
    anchor = "embeddings.word_embeddings.weight"
    found = [name.removesuffix(anchor) for name in tensors if name.endswith(anchor)]
    return found[0] if len(found) == 1 else ""


def _shapes(config: BertConfig) -> dict[Path, tuple[int, ...]]:
    from flax import nnx

    def build() -> dict[str, Any]:
        return nnx.to_pure_dict(nnx.state(BertEncoder(config, rngs=nnx.Rngs(0)), nnx.Param))

    leaves = jax.tree_util.tree_leaves_with_path(jax.eval_shape(build))
    return {tuple(part.key for part in path): leaf.shape for path, leaf in leaves}


def put_leaf(params: dict[Any, Any], path: Path, value: np.ndarray) -> None:
    for part in path[:-1]:
        params = params.setdefault(part, {})
    params[path[-1]] = value
