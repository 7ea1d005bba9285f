"""What a step of training needs, told from shapes alone: compiled, not run, nothing allocated."""

import math
import re
from collections.abc import Iterator
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.sharding import Mesh

from tart_jax import sharding
from tart_jax.train.state import TrainState


class Part(NamedTuple):
    """An array of the state: path, entries in all, bytes in all and on one device."""

    path: str
    entries: int
    total: int
    per_device: int

    @property
    def whole(self) -> bool:
        """Whether every device has a copy of all of it."""
        return self.per_device == self.total


def compile_step(
    step: Any,
    state: TrainState,
    *,
    batch_size: int,
    num_negatives: int,
    pair_length: int,
    prng: str,
    mesh: Mesh,
) -> jax.stages.Compiled:
    """A cross-encoder's step for an abstract state, both as `run.build` makes them."""
    b, n = batch_size, 1 + num_negatives
    key = jax.eval_shape(lambda: jax.random.key(0, impl=prng))
    key = jax.ShapeDtypeStruct(key.shape, key.dtype, sharding=sharding.replicated(mesh))
    return step.lower(state, pair_batch(b, n, pair_length, mesh), key).compile()


def pair_batch(b: int, n: int, length: int, mesh: Mesh) -> dict[str, jax.ShapeDtypeStruct]:
    """The shapes of what `data.batching.PairCollator` makes, on the mesh."""
    shapes: dict[str, tuple[tuple[int, ...], Any]] = {
        "pair_tokens": ((b, n, length), jnp.int32),
        "pair_mask": ((b, n, length), bool),
        "pair_types": ((b, n, length), jnp.int32),
        "document_valid": ((b, n), bool),
        "document_kind": ((b, n), jnp.int8),
        "document_score": ((b, n), jnp.float32),
    }
    rows = sharding.over_batch(mesh)
    return {
        name: jax.ShapeDtypeStruct(shape, dtype, sharding=rows)
        for name, (shape, dtype) in shapes.items()
    }


def parts(state: TrainState) -> Iterator[Part]:
    """Every array of an abstract state: parameters, and the optimizer's under the same names."""
    for path, leaf in jax.tree_util.tree_leaves_with_path(state):
        name = jax.tree_util.keystr(path, simple=True, separator="/")
        here = math.prod(leaf.sharding.shard_shape(leaf.shape))
        yield Part(name, leaf.size, leaf.size * leaf.dtype.itemsize, here * leaf.dtype.itemsize)


def memory(compiled: jax.stages.Compiled) -> dict[str, int]:
    """XLA's bytes on one device; of the outputs, those of the state take the arguments' place."""
    found: Any = compiled.memory_analysis()
    return {
        "arguments": found.argument_size_in_bytes,
        "outputs": found.output_size_in_bytes,
        "outputs_in_place": found.alias_size_in_bytes,
        "temporaries": found.temp_size_in_bytes,
    }


def whole_weights(compiled: jax.stages.Compiled, state: TrainState) -> list[str]:
    """Divided parameters that the program of a device has in one piece, alone or as a layer's.

    Told by shape, whatever the order of its dimensions: an activation of a weight's shape is taken
    for the weight.
    """
    text = compiled.as_text() or ""
    shapes = {
        tuple(sorted(int(size) for size in dims.split(",") if size != "1"))
        for dims in re.findall(r"\b(?:f32|bf16|f16)\[([\d,]+)\]", text)
    }
    found = []
    for path, leaf in jax.tree_util.tree_leaves_with_path(state.params):
        if leaf.sharding.is_fully_replicated:
            continue
        name = jax.tree_util.keystr(path, simple=True, separator="/")
        pieces = [leaf.shape, leaf.shape[1:]] if len(leaf.shape) > 2 else [leaf.shape]
        found += [f"{name} {list(x)}" for x in pieces if tuple(sorted(x)) in shapes]
    return found
