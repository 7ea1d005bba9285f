"""From the hidden states of a text's tokens to its one embedding."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from tart_jax.types import InputError


def pool(hidden: Float[Array, "b l d"], mask: Bool[Array, "b l"], how: str) -> Float[Array, "b d"]:
    """One float32 vector a row, by `how`:

    mean: over all real tokens, special tokens included (Contriever, TART); cls: the first
    position; max: entrywise over real tokens; last: the last real token. A row without a real
    token gives zeros (cls: what stands there).
    """
    if how not in POOLINGS:
        raise InputError(f"pooling {how!r} is not known; choose from {', '.join(POOLINGS)}.")
    return POOLINGS[how](hidden.astype(jnp.float32), mask)


def l2_normalize(x: Float[Array, "*b d"]) -> Float[Array, "*b d"]:
    """x / |x| along the last axis; zeros stay zeros, and their gradient is finite."""
    # The floor stands under the root: the gradient of |x| at 0 is NaN, and padding rows are 0.
    return x * jax.lax.rsqrt(jnp.maximum(jnp.sum(x * x, axis=-1, keepdims=True), 1e-24))


def _mean(hidden: Array, mask: Array) -> Array:
    weights = mask.astype(jnp.float32)[..., None]
    return jnp.sum(hidden * weights, axis=1) / jnp.maximum(jnp.sum(weights, axis=1), 1.0)


def _cls(hidden: Array, mask: Array) -> Array:
    return hidden[:, 0]


def _max(hidden: Array, mask: Array) -> Array:
    lowest = jnp.finfo(jnp.float32).min
    largest = jnp.max(jnp.where(mask[..., None], hidden, lowest), axis=1)
    return jnp.where(jnp.any(mask, axis=1)[:, None], largest, 0.0)


def _last(hidden: Array, mask: Array) -> Array:
    length = mask.shape[1]
    # Not mask.sum() - 1: that holds only for padding on the right.
    index = length - 1 - jnp.argmax(mask[:, ::-1], axis=1)
    last = jnp.take_along_axis(hidden, index[:, None, None], axis=1)[:, 0]
    return jnp.where(jnp.any(mask, axis=1)[:, None], last, 0.0)


POOLINGS: dict[str, Callable[[Array, Array], Array]] = {
    "mean": _mean,
    "cls": _cls,
    "max": _max,
    "last": _last,
}
