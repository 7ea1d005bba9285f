"""Hugging Face's BART parameter names and ours: one table, read in both directions."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import jax
import numpy as np

from tart_jax.models import bart
from tart_jax.models.bart_config import BartConfig
from tart_jax.models.names_bert import PARAMETERS, Path, Problems, put_leaf
from tart_jax.types import InputError

_ATTENTION = (("q_proj", "query"), ("k_proj", "key"), ("v_proj", "value"), ("out_proj", "output"))
_LAYER = (
    *((f"self_attn.{theirs}", f"attention.{ours}", "linear") for theirs, ours in _ATTENTION),
    ("self_attn_layer_norm", "attention_norm", "norm"),
    ("fc1", "up", "linear"),
    ("fc2", "down", "linear"),
    ("final_layer_norm", "output_norm", "norm"),
)
_CROSS = (
    *((f"encoder_attn.{theirs}", f"cross.{ours}", "linear") for theirs, ours in _ATTENTION),
    ("encoder_attn_layer_norm", "cross_norm", "norm"),
)
BIAS = "final_logits_bias"  # [1, vocabulary]
# Copies of the one table of tokens, which PyTorch writes beside it or not.
TIED = ("lm_head.weight", "model.encoder.embed_tokens.weight", "model.decoder.embed_tokens.weight")


def names(config: BartConfig) -> Iterator[tuple[str, Path, bool]]:
    """(Hugging Face name, path in our params, whether transposed) of every parameter but `BIAS`."""
    yield "model.shared.weight", ("table", "embedding"), False
    for side, count in (("encoder", config.encoder_layers), ("decoder", config.decoder_layers)):
        table: list[tuple[str, Path, str]]
        table = [("embed_positions", ("positions",), "embed"),
                 ("layernorm_embedding", ("embedding_norm",), "norm")]  # fmt: skip
        for n in range(count):
            parts = (*_LAYER, *(_CROSS if side == "decoder" else ()))
            table += [
                (f"layers.{n}.{t}", ("layers", n, *o.split(".")), kind) for t, o, kind in parts
            ]
        for theirs, ours, kind in table:
            for their_leaf, our_leaf in PARAMETERS[kind]:
                name = f"model.{side}.{theirs}.{their_leaf}"
                yield name, (side, *ours, our_leaf), our_leaf == "kernel"


def from_hf(
    tensors: Iterable[tuple[str, np.ndarray]], config: BartConfig, source: str
) -> dict[str, Any]:
    """Params (float32) out of a BartForConditionalGeneration's tensors, one after the other.

    InputError: keys missing, of another shape, or unexpected; all of them in one message.
    """
    known = {name: (path, transposed) for name, path, transposed in names(config)}
    shapes = _shapes(config)
    params: dict[str, Any] = {"bias": np.zeros(config.vocab_size, np.float32)}
    problems, seen = Problems([], [], []), set[str]()
    for name, tensor in tensors:
        if name == BIAS:
            params["bias"] = np.asarray(tensor, np.float32).reshape(-1)
        elif name in known:
            path, transposed = known[name]
            value = tensor.T if transposed else tensor
            if value.shape != shapes[path]:
                wanted = shapes[path][::-1] if transposed else shapes[path]
                problems.misshaped.append(f"{name} {list(tensor.shape)} instead of {list(wanted)}")
            put_leaf(params, path, np.ascontiguousarray(value, np.float32))
            seen.add(name)
        elif name not in TIED:
            problems.unexpected.append(name)
    problems.missing.extend(sorted(set(known) - seen))
    if problems:
        raise InputError(f"{source} does not hold the BART its config.json describes: {problems}.")
    return params


def to_hf(params: Mapping[str, Any], config: BartConfig) -> dict[str, np.ndarray]:
    """The tensors of a `BartForConditionalGeneration` checkpoint, float32."""
    tensors = {BIAS: np.asarray(params["bias"], np.float32)[None]}
    for name, path, transposed in names(config):
        value: Any = params
        for part in path:
            value = value[part]
        array = np.asarray(value, np.float32)
        tensors[name] = np.ascontiguousarray(array.T if transposed else array)
    return tensors


def _shapes(config: BartConfig) -> dict[Path, tuple[int, ...]]:
    made = jax.eval_shape(lambda: bart.init(config, jax.random.key(0)))
    leaves = jax.tree_util.tree_leaves_with_path(made)
    return {tuple(part.key for part in path): leaf.shape for path, leaf in leaves}
