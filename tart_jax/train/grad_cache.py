"""Gradient caching (Gao et al. 2021, section 3): texts in chunks, only embeddings are kept."""

import functools
from typing import Any, Literal

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Bool, Float, Int

from tart_jax import sharding
from tart_jax.models import dual_encoder


def encode(
    graphdef: nnx.GraphDef,
    params: Any,
    tokens: Int[Array, "b l"],
    mask: Bool[Array, "b l"],
    *,
    tower: Literal["query", "document"],
    key: Array | None,
    chunk_size: int,
) -> Float[Array, "b d"]:
    """`dual_encoder.encode`, `chunk_size` texts at a time; 0: all at once.

    Between the passes only the embeddings are kept: the backward pass encodes each chunk again,
    with the same dropout, and adds its gradient up. That is the paper's algorithm whatever loss
    stands on the embeddings: its cache of their gradients is what the backward pass is handed.
    The texts of a chunk are the same on any number of devices, and so is what dropout drops.
    ValueError: the chunks do not divide the texts.
    """
    texts = tokens.shape[0]
    if chunk_size in (0, texts):
        return dual_encoder.encode(graphdef, params, tokens, mask, tower=tower, key=key)
    if texts % chunk_size:
        raise ValueError(f"chunks of {chunk_size} do not divide {texts} texts.")
    chunks = texts // chunk_size

    # prevent_cse guards against what cannot happen between two loops.
    @functools.partial(jax.checkpoint, prevent_cse=False)
    def one(params: Any, number: Array, tokens: Array, mask: Array) -> Array:
        chunk_key = None if key is None else jax.random.fold_in(key, number)
        return dual_encoder.encode(graphdef, params, tokens, mask, tower=tower, key=chunk_key)

    rows = (jnp.arange(chunks), *(sharding.split_rows(x, chunks) for x in (tokens, mask)))
    return sharding.join_rows(jax.lax.map(lambda chunk: one(params, *chunk), rows))
