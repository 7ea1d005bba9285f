"""Where arrays live: rules over parameter paths, host batches as global arrays, parts of these."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import numpy as np
from jax.experimental import multihost_utils
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from tart_jax.distributed import DATA, FSDP, TENSOR
from tart_jax.types import InputError

Rules = Sequence[tuple[str, tuple[str | None, ...]]]
# Over the tensor axis (Shoeybi et al. 2019, Megatron-LM, section 3): a layer's first products are
# divided by their outputs, its last ones by their inputs, so that one sum joins the devices. The
# table of tokens goes by its rows: were it divided by width, so would be all that is between the
# layers, and on a mesh of three axes XLA computes some of that wrong (jax 0.10.2, few rows each).
BY_OUTPUT = re.compile(r"\b(query|key|value|up|gate)/(kernel|bias|lora_b)$")
BY_INPUT = re.compile(r"\b(output|down)/(kernel|lora_a)$|\btokens/embedding$")
STACKED = re.compile(r"\blayers/(?!\d)")  # the first dimension is the layers', which a scan takes


def replicated(mesh: Mesh) -> NamedSharding:
    """A whole copy on every device."""
    return NamedSharding(mesh, PartitionSpec())


def over_batch(mesh: Mesh) -> NamedSharding:
    """The first axis divided over the mesh's data axis, and over its fsdp axis if it has one."""
    return NamedSharding(mesh, PartitionSpec((DATA, FSDP) if FSDP in mesh.shape else DATA))


def batch_devices(mesh: Mesh) -> int:
    """Into how many parts `over_batch` divides."""
    return mesh.shape[DATA] * mesh.shape.get(FSDP, 1)


def from_rules(tree: Any, rules: Rules, mesh: Mesh) -> Any:
    """A NamedSharding for each leaf: that of the first rule whose regex is found in its path.

    Without rules it is that of `preset`.

    Paths look like `document/layers/3/attention/query/kernel`; optimizer moments repeat the names,
    so one rule places both. A rule is (regex, mesh axis or None for each dimension); leaves without
    a rule are replicated. InputError: a rule that matches nothing, or does not fit its leaf.
    """
    unused = {pattern for pattern, _ in rules}

    def place(path: Any, leaf: Any) -> NamedSharding:
        name = jax.tree_util.keystr(path, simple=True, separator="/")
        if not rules:
            return NamedSharding(mesh, preset(name, np.shape(leaf), mesh))
        for pattern, axes in rules:
            if re.search(pattern, name):
                unused.discard(pattern)
                _check(name, np.shape(leaf), axes, mesh)
                return NamedSharding(mesh, PartitionSpec(*axes))
        return replicated(mesh)

    placed = jax.tree_util.tree_map_with_path(place, tree)
    if unused:
        raise InputError(f"sharding rule {sorted(unused)[0]!r} matches no parameter; correct it.")
    return placed


def preset(path: str, shape: tuple[int, ...], mesh: Mesh) -> PartitionSpec:
    """Where a BERT's or T5's parameter lies, by its path, on a mesh with "fsdp" or "tensor" axes.

    tensor: the dimension that `BY_OUTPUT` (the last) and `BY_INPUT` (the last but one) say. fsdp:
    of what is left of a matrix the largest dimension, of equal ones the last. A dimension that the
    axis does not divide is left whole; so are all other arrays.
    """
    axes: list[str | None] = [None] * len(shape)
    tensor, fsdp = mesh.shape.get(TENSOR, 1), mesh.shape.get(FSDP, 1)
    place = -1 if BY_OUTPUT.search(path) else -2 if BY_INPUT.search(path) else 0
    if tensor > 1 and place and shape[place] % tensor == 0:
        axes[place] = TENSOR
    first = 1 if STACKED.search(path) else 0
    left = [d for d in range(first, len(shape)) if axes[d] is None and shape[d] % fsdp == 0]
    if fsdp > 1 and left and len(shape) - first > 1:
        axes[max(left, key=lambda d: (shape[d], d))] = FSDP
    return PartitionSpec(*axes)


def _check(name: str, shape: tuple[int, ...], axes: tuple[str | None, ...], mesh: Mesh) -> None:
    fits = len(axes) <= len(shape) and all(
        axis is None or (axis in mesh.shape and size % mesh.shape[axis] == 0)
        for axis, size in zip(axes, shape, strict=False)
    )
    if not fits:
        raise InputError(
            f"sharding rule {axes} does not fit {name} of shape {shape} on the mesh"
            f" {dict(mesh.shape)}; name axes of the mesh whose sizes divide the dimensions."
        )


def batch_part(mesh: Mesh) -> tuple[int, int]:
    """(which part of each batch this process reads, of how many): the rows of its own devices.

    Where another axis than the data's crosses processes, several of them read the same part. Where
    the hosts of a TPU take turns in the mesh, the batch's rows stand in another order than on one.
    InputError: a mesh that cuts the batch otherwise.
    """
    count = batch_devices(mesh)
    held: dict[int, set[int]] = {}
    placed: Mapping[Any, Any] = over_batch(mesh).devices_indices_map((count,))
    for device, (rows,) in placed.items():
        held.setdefault(device.process_index, set()).add(rows.start or 0)
    return _part(held, jax.process_index())


def _part(held: Mapping[int, set[int]], process: int) -> tuple[int, int]:
    """As `batch_part`; held: for each process which of the batch's pieces its devices have."""
    parts = sorted({frozenset(pieces) for pieces in held.values()}, key=min)
    if len(frozenset().union(*parts)) != sum(map(len, parts)) or len(set(map(len, parts))) > 1:
        raise InputError(
            f"the mesh cuts a batch into pieces that {len(held)} processes share unevenly; let the"
            " size of its data and fsdp axes divide the number of processes, or be a multiple of"
            " it."
        )
    return parts.index(frozenset(held[process])), len(parts)


def to_global(batch: Mapping[str, np.ndarray], sharding: NamedSharding) -> dict[str, jax.Array]:
    """This process's part of a batch, as arrays of the whole batch."""
    # Over several processes JAX takes this for an implicit transfer, which the training forbids.
    with jax.transfer_guard_host_to_device("allow"):
        return {
            name: jax.make_array_from_process_local_data(sharding, value)
            for name, value in batch.items()
        }


def from_host(value: np.ndarray, sharding: NamedSharding) -> jax.Array:
    """An array that every process has whole, as one over the devices of all."""
    return jax.make_array_from_callback(value.shape, sharding, lambda index: value[index])


def to_host(array: jax.Array) -> np.ndarray:
    """The whole array; where other processes hold parts of it, all must call this."""
    if array.is_fully_addressable or array.is_fully_replicated:
        return np.asarray(array)
    return multihost_utils.process_allgather(array, tiled=True)


def gather(tree: Any) -> Any:
    """The tree, with what lies in parts on other processes' devices in this host's memory.

    All processes must call this. What this process could read anyway stays where it is.
    """

    def whole(leaf: Any) -> Any:
        readable = leaf.is_fully_addressable or leaf.is_fully_replicated
        return leaf if readable else to_host(leaf)

    return jax.tree.map(whole, tree)


def split_rows(value: jax.Array, parts: int) -> jax.Array:
    """[rows, ...] to [parts, rows / parts, ...], an equal share of each device's rows in each part.

    Every parts-th row, not a run of rows: a run would lie on a few of the devices only.
    """
    return value.reshape(value.shape[0] // parts, parts, *value.shape[1:]).swapaxes(0, 1)


def join_rows(parts: jax.Array) -> jax.Array:
    """The rows that `split_rows` split, in their order."""
    return parts.swapaxes(0, 1).reshape(-1, *parts.shape[2:])
