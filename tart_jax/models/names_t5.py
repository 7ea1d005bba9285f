"""Hugging Face's T5 parameter names and ours: one table, read in both directions."""

import dataclasses
import functools
import hashlib
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

import jax
import numpy as np
from flax import nnx

from tart_jax.models import placement
from tart_jax.models.names_bert import Path, Problems
from tart_jax.models.t5 import T5Encoder
from tart_jax.models.t5_config import FEED_FORWARD, T5Config
from tart_jax.models.t5_decoder import T5
from tart_jax.types import InputError

# Hugging Face's module, our module (# stands for the layer number), its kind. Of two kinds of
# perceptron a model has one.
ATTENTION = (("q", "query"), ("k", "key"), ("v", "value"), ("o", "output"))
PERCEPTRON = {
    True: (("wi_0", "gate"), ("wi_1", "up"), ("wo", "down")),
    False: (("wi", "up"), ("wo", "down")),
}
# The parts of a layer in their order: (their module or None for the perceptron, ours).
PARTS = {
    "encoder": (("SelfAttention", "attention"), ("DenseReluDense", "output")),
    "decoder": (
        ("SelfAttention", "attention"),
        ("EncDecAttention", "cross"),
        ("DenseReluDense", "output"),
    ),
}
LEAVES = {"embed": "embedding", "norm": "scale", "linear": "kernel"}
EMBEDDINGS, HEAD = "shared.weight", "lm_head.weight"
# One table under further names, which files may hold besides or instead.
ALIASES = ("encoder.embed_tokens.weight", "decoder.embed_tokens.weight")
# Never used by the original, but written by its first conversions.
NOISE = r"decoder\.block\.0\.layer\.1\.EncDecAttention\.relative_attention_bias\.weight"
# What an encoder alone has no use for; a classifier's head is its owner's business.
BESIDE_ENCODER = r"decoder\..*|lm_head\..*|classifier\..*"
ROOTS = r"(?:shared|encoder|decoder|lm_head)\."
# A name behind its prefix, which may be "encoder." itself.
KNOWN = re.compile(rf"(.*\.)??((?:{ROOTS}|classifier\.)(?!{ROOTS}).*)")

Place = Callable[[Path, int | None, np.ndarray], None]


def names(
    config: T5Config, *, encoder_only: bool = False
) -> Iterator[tuple[str, Path, int | None, bool]]:
    """(Hugging Face name, our path, layer, whether transposed) of every parameter.

    The path of a layer's parameter leaves the number out, as it is where layers are stacked.
    """
    for theirs, ours, kind in _modules(config, encoder_only):
        depth = config.num_decoder_layers if theirs.startswith("decoder") else config.num_layers
        layers: Iterable[int | None] = range(depth or 0) if "#" in theirs else (None,)
        path = tuple(ours.split(".")) + (LEAVES[kind],)
        for layer in layers:
            yield f"{theirs.replace('#', str(layer))}.weight", path, layer, kind == "linear"


def from_hf(
    tensors: Mapping[str, np.ndarray] | Iterable[tuple[str, np.ndarray]],
    config: T5Config,
    source: str,
    *,
    encoder_only: bool = False,
    scan: bool = False,
) -> tuple[dict[str, Any], tuple[str, ...]]:
    """The params (float32) of a `T5`, or of a `T5Encoder`, and the keys that were ignored.

    tensors: by name, or (name, tensor) one by one, of which none is kept.
    InputError: keys missing, of another shape, or unexpected; all of them in one message.
    """
    pairs = tensors.items() if isinstance(tensors, Mapping) else tensors
    params: dict[str, Any] = {}
    shapes = shapes_of(config, encoder_only)

    def place(path: Path, layer: int | None, value: np.ndarray) -> None:
        if layer is None or not scan:
            put(params, numbered(path, layer), np.array(value, np.float32, order="C"))
            return
        stacked = leaf(params, path)
        if stacked is None:
            stacked = np.empty(shapes[path], np.float32)
            put(params, path, stacked)
        stacked[layer] = value

    ignored = fill(pairs, config, source, encoder_only, place)
    tie_missing_head(params, config, encoder_only, lambda path, x: np.array(x.T, order="C"))
    return params, ignored


def to_hf(
    params: Mapping[str, Any], config: T5Config, *, encoder_only: bool = False
) -> dict[str, np.ndarray]:
    """The tensors of a checkpoint (float32, bare names), of layers stacked or not."""
    tensors = {}
    for name, path, layer, transposed in names(config, encoder_only=encoder_only):
        value, at = leaf(params, numbered(path, layer)), None
        if value is None:  # the layers are stacked
            value, at = leaf(params, path), layer
        array = np.asarray(placement.to_host(value, at), np.float32)
        tensors[name] = np.ascontiguousarray(array.T if transposed else array)
    return tensors


@dataclasses.dataclass
class _Target:
    path: Path
    layer: int | None
    transposed: bool
    shape: tuple[int, ...]  # as theirs
    found: bool = False


def fill(
    tensors: Iterable[tuple[str, np.ndarray]],
    config: T5Config,
    source: str,
    encoder_only: bool,
    place: Place,
) -> tuple[str, ...]:
    """Places every tensor and gives the ignored names. InputError: see `from_hf`."""
    targets = _targets(config, encoder_only)
    dropped = re.compile(BESIDE_ENCODER if encoder_only else NOISE)
    problems, ignored, prefix, table = Problems([], [], []), [], None, b""
    for full_name, tensor in tensors:
        before, name = _split(full_name, config)
        target = targets.get(name)
        if prefix is None and (target or dropped.fullmatch(name)):
            prefix = before
        if before != prefix or (target is None and not dropped.fullmatch(name)):
            problems.unexpected.append(full_name)
        elif target is None:
            ignored.append(name)
        elif tensor.shape != target.shape:
            problems.misshaped.append(
                f"{name} {list(tensor.shape)} instead of {list(target.shape)}"
            )
            target.found = True
        elif target.found and (name != EMBEDDINGS or table != _digest(tensor)):
            problems.unexpected.append(f"{full_name}, a second and other {name}")
        elif not target.found:
            table = _digest(tensor) if name == EMBEDDINGS else table
            target.found = True
            place(target.path, target.layer, tensor.T if target.transposed else tensor)
    problems.missing.extend(
        name for name, target in targets.items() if not target.found and name != HEAD
    )
    problems.unexpected.sort()
    if problems:
        raise InputError(f"{source} does not hold the T5 its config.json describes: {problems}.")
    return tuple(sorted(ignored))


def _split(full_name: str, config: T5Config) -> tuple[str, str]:
    """Prefix and bare name; every name of the embedding table is that of `shared`."""
    match = KNOWN.fullmatch(full_name)
    prefix, name = (match[1] or "", match[2]) if match else ("", full_name)
    tied = name == HEAD and config.tie_word_embeddings
    return prefix, EMBEDDINGS if tied or name in ALIASES else name


def _modules(config: T5Config, encoder_only: bool) -> Iterator[tuple[str, str, str]]:
    """(their module, ours, kind), layers' numbers as # in theirs and left out in ours."""
    perceptron = PERCEPTRON[FEED_FORWARD[config.feed_forward_proj][1]]
    yield EMBEDDINGS.removesuffix(".weight"), "tokens", "embed"
    for stack in ("encoder",) if encoder_only else ("encoder", "decoder"):
        ours = "stack" if encoder_only else stack
        table = f"{stack}.block.0.layer.0.SelfAttention.relative_attention_bias"
        yield table, f"{ours}.relative_bias", "embed"
        for place, (theirs, part) in enumerate(PARTS[stack]):
            block = f"{stack}.block.#.layer.{place}"
            for one, other in perceptron if part == "output" else ATTENTION:
                yield f"{block}.{theirs}.{one}", f"{ours}.layers.{part}.{other}", "linear"
            yield f"{block}.layer_norm", f"{ours}.layers.{part}_norm", "norm"
        yield f"{stack}.final_layer_norm", f"{ours}.norm", "norm"
    if not encoder_only and not config.tie_word_embeddings:
        yield HEAD.removesuffix(".weight"), "head", "linear"


def _targets(config: T5Config, encoder_only: bool) -> dict[str, _Target]:
    shapes = shapes_of(config, encoder_only)
    targets = {}
    for name, path, layer, transposed in names(config, encoder_only=encoder_only):
        shape = shapes[path] if layer is None else shapes[path][1:]
        targets[name] = _Target(path, layer, transposed, shape[::-1] if transposed else shape)
    return targets


def tie_missing_head(
    params: dict[str, Any],
    config: T5Config,
    encoder_only: bool,
    transposed: Callable[[Path, Any], Any],
) -> None:
    """A file without an output layer means the embedding table, as transformers 5 reads it."""
    if not encoder_only and not config.tie_word_embeddings and "head" not in params:
        path = ("head", "kernel")
        put(params, path, transposed(path, params["tokens"]["embedding"]))


@functools.lru_cache(maxsize=16)
def shapes_of(config: T5Config, encoder_only: bool) -> dict[Path, tuple[int, ...]]:
    """The shape of every parameter by its path; of a layer's, those of all layers stacked."""
    kind = T5Encoder if encoder_only else T5

    def build() -> dict[str, Any]:
        return nnx.to_pure_dict(nnx.state(kind(config, scan=True, rngs=nnx.Rngs(0)), nnx.Param))

    leaves = jax.tree_util.tree_leaves_with_path(jax.eval_shape(build))
    return {tuple(part.key for part in path): leaf.shape for path, leaf in leaves}


def numbered(path: Path, layer: int | None) -> Path:
    if layer is None:
        return path
    after = path.index("layers") + 1
    return (*path[:after], layer, *path[after:])


def _digest(tensor: np.ndarray) -> bytes:
    return hashlib.sha256(np.ascontiguousarray(tensor).view(np.uint8).data).digest()


def leaf(tree: Mapping[Any, Any], path: Path) -> Any:
    """The leaf at a path, None where it is not there."""
    value: Any = tree
    for part in path:
        if part not in value:
            return None
        value = value[part]
    return value


def put(tree: dict[Any, Any], path: Path, value: Any) -> None:
    for part in path[:-1]:
        tree = tree.setdefault(part, {})
    tree[path[-1]] = value
