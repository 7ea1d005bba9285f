"""Host arrays onto devices, one at a time, so that a model is nowhere whole in the host."""

import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import NamedSharding, PartitionSpec, Sharding


def on_devices(value: np.ndarray, sharding: Sharding) -> jax.Array:
    """The array in float32; no device gets more than its part, nor shares the host's memory."""

    def part(index: Any) -> np.ndarray:
        # a copy: CPU devices keep what they get
        return np.array(value[index], np.float32, order="C")

    return jax.make_array_from_callback(value.shape, sharding, part)


def with_layer(
    stacked: jax.Array | None,
    shape: tuple[int, ...],
    layer: int,
    value: np.ndarray,
    sharding: Sharding,
) -> jax.Array:
    """All layers' array, float32 [layers, ...], with the value of one of them.

    stacked: so far, donated; None: zeros of `shape` are made. sharding: of all layers.
    """
    if stacked is None:
        zeros = functools.partial(jnp.zeros, shape, jnp.float32)
        stacked = jax.jit(zeros, out_shardings=sharding)()
    return _writer(sharding)(stacked, on_devices(value, _of_layer(sharding)), layer)


def to_host(array: Any, layer: int | None = None) -> np.ndarray:
    """An array, or a layer of stacked ones, in the host, where the device's array keeps no copy.

    np.asarray of a jax.Array would stay in the host as long as the array lives.
    """
    if not isinstance(array, jax.Array):
        return np.asarray(array if layer is None else array[layer])
    if array.is_fully_replicated:  # nothing is asked of another process's devices
        array = array.addressable_data(0)
    return np.asarray(jnp.copy(array) if layer is None else array[layer])


def _of_layer(stacked: Sharding) -> Sharding:
    if isinstance(stacked, NamedSharding):
        return NamedSharding(stacked.mesh, PartitionSpec(*stacked.spec[1:]))
    return stacked


@functools.lru_cache(maxsize=64)
def _writer(sharding: Sharding) -> Callable[..., jax.Array]:
    """Puts a layer's array into the stack of all, in place."""

    def write(stacked: jax.Array, value: jax.Array, layer: jax.Array) -> jax.Array:
        return stacked.at[layer].set(value)

    return jax.jit(write, donate_argnums=0, out_shardings=sharding)
