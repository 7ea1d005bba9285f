"""Devices and processes: the mesh, and who speaks."""

from collections.abc import Mapping, Sequence

import jax
import numpy as np
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
