"""Devices and processes: the mesh, who speaks, and where all wait for each other."""

import hashlib
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import jax
import numpy as np
from jax.experimental import multihost_utils
from jax.sharding import AxisType, Mesh

from tart_jax.types import InputError

DATA = "data"  # the mesh axis that the batch is divided over


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
    return jax.make_mesh(shape, tuple(sizes), (AxisType.Auto,) * len(shape), devices=devices)


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
