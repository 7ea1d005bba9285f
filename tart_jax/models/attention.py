"""Scaled dot-product attention in the form that is fast on the device at hand."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from tart_jax.models.dropout import dropout


def attention(
    query: Float[Array, "b q h k"],
    keys: Float[Array, "b l h k"],
    values: Float[Array, "b l h k"],
    mask: Bool[Array, "b l"],
    *,
    dropout_rate: float = 0.0,
    key: Array | None = None,
) -> Float[Array, "b q h k"]:
    """Softmax(query keys^T / sqrt(k)) values over the keys where `mask` is True.

    The softmax is float32. key: drops probabilities at `dropout_rate`; None: none dropped.
    """
    asks_dropout = key is not None and dropout_rate > 0.0
    if not asks_dropout and jax.default_backend() != "cpu":
        return _library(query, keys, values, mask)
    # Heads before length, then plain batched matrix products: the einsum 'bqhd,bkhd->bhqk' on the
    # untransposed arrays costs a whole MiniLM 1.4 to 1.6 times its time on XLA:CPU.
    query, keys, values = (x.transpose(0, 2, 1, 3) for x in (query, keys, values))
    scores = jnp.matmul(query, keys.swapaxes(-1, -2), preferred_element_type=jnp.float32)
    scores = scores * query.shape[-1] ** -0.5
    # The lowest finite number, not -inf: a row of nothing but padding must not become NaN.
    scores = jnp.where(mask[:, None, None, :], scores, jnp.finfo(jnp.float32).min)
    shares = dropout(jax.nn.softmax(scores, axis=-1), dropout_rate, key).astype(values.dtype)
    return jnp.matmul(shares, values).transpose(0, 2, 1, 3)


def _library(query: Array, keys: Array, values: Array, mask: Array) -> Array:
    """jax.nn.dot_product_attention: cuDNN's fused kernel where its conditions hold, else XLA's."""
    asking, length, width = query.shape[1], keys.shape[1], query.shape[3]
    fused = (
        jax.default_backend() == "gpu"
        # cuDNN's kernel wants Ampere or newer; a T4 has 7.5
        and float(getattr(jax.devices()[0], "compute_capability", 0)) >= 8.0
        and query.dtype in (jnp.bfloat16, jnp.float16)
        and width % 8 == 0
        and width <= 128
        and asking % 2 == 0
        and length % 2 == 0
    )
    wide = jnp.broadcast_to(mask[:, None, None, :], (mask.shape[0], 1, asking, length))
    return jax.nn.dot_product_attention(
        query, keys, values, mask=wide, implementation="cudnn" if fused else "xla"
    )
