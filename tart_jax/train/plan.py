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

Batch = dict[str, jax.ShapeDtypeStruct]


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


# A CPU's compiler orders a program for parallel work and takes memory for it; accelerators' do not.
FOR_MEMORY = {"xla_cpu_scheduler_type": "CPU_SCHEDULER_TYPE_MEMORY_OPTIMIZED"}


def compile_step(
    step: Any,
    state: TrainState,
    batch: Batch,
    *,
    prng: str,
    mesh: Mesh,
    options: dict[str, Any] | None = None,
) -> jax.stages.Compiled:
    """The step for an abstract state, both as `build.build` makes them, and an abstract batch.

    options: of XLA, such as FOR_MEMORY.
    """
    key = jax.eval_shape(lambda: jax.random.key(0, impl=prng))
    key = jax.ShapeDtypeStruct(key.shape, key.dtype, sharding=sharding.replicated(mesh))
    return step.lower(state, batch, key).compile(compiler_options=options)


def pair_batch(b: int, n: int, length: int, mesh: Mesh) -> Batch:
    """The shapes of what `data.batching.PairCollator` makes, on the mesh."""
    shapes = {
        "pair_tokens": ((b, n, length), jnp.int32),
        "pair_mask": ((b, n, length), bool),
        "pair_types": ((b, n, length), jnp.int32),
    }
    return _on(mesh, shapes | _labels(b, n))


def text_batch(
    b: int, n: int, *, query_length: int, document_length: int, known_positives: int, mesh: Mesh
) -> Batch:
    """The shapes of what `data.batching.Collator` makes, on the mesh."""
    shapes = {
        "query_tokens": ((b, query_length), jnp.int32),
        "query_mask": ((b, query_length), bool),
        "document_tokens": ((b, n, document_length), jnp.int32),
        "document_mask": ((b, n, document_length), bool),
        "document_hash": ((b, n, 2), jnp.uint32),
        "positive_hash": ((b, known_positives, 2), jnp.uint32),
    }
    return _on(mesh, shapes | _labels(b, n))


def reading_batch(
    b: int, parts: int, *, input_length: int, answer_length: int, mesh: Mesh
) -> Batch:
    """The shapes of what `data.reading.ReadingCollator` makes, on the mesh."""
    shapes = {
        "input_tokens": ((b, parts, input_length), jnp.int32),
        "input_mask": ((b, parts, input_length), bool),
        "answer_tokens": ((b, answer_length), jnp.int32),
        "answer_mask": ((b, answer_length), bool),
    }
    return _on(mesh, shapes)


def _labels(b: int, n: int) -> dict[str, tuple[tuple[int, ...], Any]]:
    return {
        "document_valid": ((b, n), bool),
        "document_kind": ((b, n), jnp.int8),
        "document_score": ((b, n), jnp.float32),
    }


def _on(mesh: Mesh, shapes: dict[str, tuple[tuple[int, ...], Any]]) -> Batch:
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


def shapes(compiled: jax.stages.Compiled) -> set[tuple[int, ...]]:
    """The shapes of all arrays in the program of a device, of any type."""
    found = re.findall(r"\b(?:pred|[a-z]+\d+\w*)\[(\d[\d,]*)\]", compiled.as_text() or "")
    return {tuple(int(size) for size in dims.split(",")) for dims in found}


def grown(
    compiled: jax.stages.Compiled, smaller: jax.stages.Compiled, entries: int
) -> list[tuple[int, ...]]:
    """The shapes of so many entries or more that the program of a smaller batch has not.

    What depends on no batch, as weights and the activations of a chunk, is as large in both.
    """
    new = shapes(compiled) - shapes(smaller)
    return sorted(shape for shape in new if math.prod(shape) >= entries)


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
