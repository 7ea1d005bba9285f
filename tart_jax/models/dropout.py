"""Dropout that spends little on random numbers."""

import math

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float


def dropout(x: Float[Array, "*s"], rate: float, key: Array | None) -> Float[Array, "*s"]:
    """Zeroes each entry with probability `rate` and scales the others by 1 / (1 - rate).

    key: a JAX key of any implementation; None: evaluation, x as it is. The same key drops the same
    entries on any number of devices.
    """
    if key is None or rate == 0.0:
        return x
    if not 0.0 < rate < 1.0:
        raise ValueError(f"dropout rate {rate} is not in [0, 1).")
    keep = _hashes(key, x.shape) >= jnp.uint32(rate * 2**32)
    return jnp.where(keep, x / (1.0 - rate), jnp.zeros((), x.dtype))


def _hashes(key: Array, shape: tuple[int, ...]) -> Array:
    """32 random bits for each entry: a hash of its index under two words drawn from the key.

    Elementwise, so it is fused into its use, needs no storage, and compiles faster than a call of
    jax.random.bits for every entry does with threefry on a CPU.
    The mixer is Wellons' `lowbias32`, run once more after the second word.
    """
    first, second = jax.random.bits(key, (2,), jnp.uint32)
    mixed = jax.lax.iota(jnp.uint32, math.prod(shape)).reshape(shape)
    for word in (first, second):
        mixed = mixed ^ word
        mixed = (mixed ^ (mixed >> 16)) * jnp.uint32(0x21F0AAAD)
        mixed = (mixed ^ (mixed >> 15)) * jnp.uint32(0xD35A2D97)
        mixed = mixed ^ (mixed >> 15)
    return mixed
