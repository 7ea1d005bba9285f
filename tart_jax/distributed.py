"""Devices and processes: the mesh, who speaks, and where all wait for each other."""

import functools
import hashlib
import itertools
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from jax.experimental import multihost_utils
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec

from tart_jax.types import InputError

# The mesh's axes: the batch is divided over the first two, parameters over the last two.
DATA, FSDP, TENSOR = "data", "fsdp", "tensor"


def make_mesh(sizes: Mapping[str, int], devices: Sequence[jax.Device] | None = None) -> Mesh:
    """A mesh with the named axes; one size may be -1 and takes the devices that are left.

    Axes are Auto: with jax.make_mesh's Explicit default, look-ups in sharded embeddings raise.
    """
    devices = jax.devices() if devices is None else devices
    known = int(np.prod([size for size in sizes.values() if size != -1]))
    rest = [name for name, size in sizes.items() if size == -1]
    if DATA not in sizes or len(rest) > 1 or known < 1 or len(devices) % known:
        raise InputError(
            f"mesh {dict(sizes)} does not fit {len(devices)} devices; name a 'data' axis, use -1"
            " once at most, and let the other sizes divide the number of devices."
        )
    shape = tuple(len(devices) // known if size == -1 else size for size in sizes.values())
    used = int(np.prod(shape))
    if used != len(devices):
        raise InputError(
            f"mesh {dict(sizes)} uses {used} of {len(devices)} devices; set one axis to -1."
        )
    mesh = jax.make_mesh(shape, tuple(sizes), (AxisType.Auto,) * len(shape), devices=devices)
    if len({device.process_index for device in devices}) > 1 and devices[0].platform == "cpu":
        _introduce(mesh)
    return mesh


def local_mesh(sizes: Mapping[str, int]) -> Mesh:
    """As `make_mesh`, over the devices of this process: what it computes without the others."""
    return make_mesh(sizes, jax.local_devices())


def _introduce(mesh: Mesh) -> None:
    """Lets the devices meet in every group that a program over this mesh may exchange in.

    gloo waits 30 s for the first exchange of a group, and as long as it takes for later ones. Each
    process reaches it when it has compiled the program, which on a busy machine takes longer.
    """
    barrier("mesh made")
    names = [name for name, size in mesh.shape.items() if size > 1]
    for count in range(1, len(names) + 1):
        for axes in itertools.combinations(names, count):
            spread = NamedSharding(mesh, PartitionSpec(axes))
            zeros = functools.partial(jnp.zeros, mesh.size)
            placed = jax.jit(zeros, out_shardings=spread)()
            whole = NamedSharding(mesh, PartitionSpec())
            jax.jit(lambda array: array, out_shardings=whole)(placed).block_until_ready()


def is_main_process() -> bool:
    """Whether this process writes files and speaks."""
    return jax.process_index() == 0


def process() -> tuple[int, int]:
    """(which process this is, from 0; how many there are)."""
    return jax.process_index(), jax.process_count()


def barrier(name: str) -> None:
    """Waits until every process has come here; `name` tells one meeting place from another."""
    if jax.process_count() > 1:
        multihost_utils.sync_global_devices(name)


def check_shared(path: Path, *, seconds: float = 10) -> None:
    """InputError, in all processes, where one does not see what process 0 wrote to `path`.

    seconds: that a network file system may take to show it.
    """
    if jax.process_count() == 1:
        return
    barrier("written")
    wanted = multihost_utils.broadcast_one_to_all(_digest(path))
    until = time.monotonic() + seconds
    while not (same := np.array_equal(_digest(path), wanted)) and time.monotonic() < until:
        time.sleep(0.2)
    blind = np.flatnonzero(~multihost_utils.process_allgather(np.array(same)).reshape(-1))
    if len(blind):
        raise InputError(
            f"process {blind[0]} does not see the file {path} that process 0 wrote; --workdir must"
            " name one folder that all processes share."
        )


def _digest(path: Path) -> np.ndarray:
    content = path.read_bytes() if path.is_file() else b""
    return np.frombuffer(hashlib.sha256(content).digest(), np.uint8)
