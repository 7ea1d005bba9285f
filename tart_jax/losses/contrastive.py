"""Contrastive losses over in-batch, hard and instruction-unfollowing negatives."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, UInt32


def similarity(
    queries: Float[Array, "b d"], documents: Float[Array, "c d"], *, temperature: float
) -> Float[Array, "b c"]:
    """Dot products over the temperature, in full float32.

    Accelerators would round the factors to bfloat16 or TF32; at temperature 0.05 that error is
    multiplied by 20 before the softmax.
    """
    return (
        jnp.einsum(
            "bd,cd->bc",
            queries.astype(jnp.float32),
            documents.astype(jnp.float32),
            precision=jax.lax.Precision.HIGHEST,
        )
        / temperature
    )


def info_nce(
    queries: Float[Array, "b d"],
    documents: Float[Array, "c d"],
    *,
    temperature: float,
    positive_index: Int[Array, " b"],
    mask: Bool[Array, "b c"] | None = None,
    weights: Float[Array, " c"] | None = None,
) -> Float[Array, " b"]:
    """Per-query loss -log softmax(similarity)[positive]; the caller averages (TART, equation 1).

    Also called multiple-negatives ranking loss and NT-Xent (one direction). `positive_index` names
    each query's column; `mask` is True where a column counts, and must be at the positive. A column
    of weight w, more than 0, counts as w equal ones would; the positives' should weigh 1.
    Over the documents of the whole batch this is TART's cross-device loss: its labels
    `i + rank * len(local)` are positions in the global array.

    >>> info_nce(jnp.eye(2), jnp.eye(2), temperature=1.0, positive_index=jnp.arange(2))
    Array([0.3132617, 0.3132617], dtype=float32)
    """
    scores = similarity(queries, documents, temperature=temperature)
    if weights is not None:
        scores = scores + jnp.log(weights)[None, :]
    if mask is not None:
        scores = jnp.where(mask, scores, -jnp.inf)
    positive = jnp.take_along_axis(scores, positive_index[:, None], axis=1)[:, 0]
    return jax.nn.logsumexp(scores, axis=1) - positive


def candidates(
    valid: Bool[Array, " c"],
    hashes: UInt32[Array, "c 2"],
    positive_hashes: UInt32[Array, "b p 2"],
    positive_index: Int[Array, " b"],
) -> Bool[Array, "b c"]:
    """The mask of `info_nce`: places that hold a document which is no known positive of the query.

    A document that another query brought along may be one of this query's positives (equal hash);
    counting it as a negative would push the right answer away. The query's own positive stays.
    """
    equal = jnp.any(
        (hashes[None, None, :, 0] == positive_hashes[:, :, 0, None])
        & (hashes[None, None, :, 1] == positive_hashes[:, :, 1, None]),
        axis=1,
    )
    own = jnp.arange(valid.shape[0])[None, :] == positive_index[:, None]
    return (valid[None, :] & ~equal) | own


def beats(
    scores: Float[Array, "b c"], positive_index: Int[Array, " b"], columns: Bool[Array, "b c"]
) -> tuple[Float[Array, " b"], Float[Array, " b"]]:
    """(1 where the positive outscores every other marked column, 1 where there is such a column).

    The sum of the first over the sum of the second is the accuracy against that kind of negative.
    """
    positive, others, counted = _against(scores, positive_index, columns)
    return (positive > jnp.max(others, axis=1)).astype(jnp.float32) * counted, counted


def loss_against(
    scores: Float[Array, "b c"], positive_index: Int[Array, " b"], columns: Bool[Array, "b c"]
) -> tuple[Float[Array, " b"], Float[Array, " b"]]:
    """(-log softmax(scores)[positive] over the positive and the marked columns alone, 1 where there
    is such a column); the loss is 0 where there is none.

    >>> loss_against(jnp.zeros((1, 3)), jnp.array([0]), jnp.array([[False, True, False]]))
    (Array([0.6931472], dtype=float32), Array([1.], dtype=float32))
    """
    positive, others, counted = _against(scores, positive_index, columns)
    return jax.nn.softplus(jax.nn.logsumexp(others, axis=1) - positive), counted


def _against(
    scores: Float[Array, "b c"], positive_index: Int[Array, " b"], columns: Bool[Array, "b c"]
) -> tuple[Float[Array, " b"], Float[Array, "b c"], Float[Array, " b"]]:
    """(the positive's score, the marked others' with -inf elsewhere, 1 where there is one)."""
    others = columns & (jnp.arange(scores.shape[1])[None, :] != positive_index[:, None])
    positive = jnp.take_along_axis(scores, positive_index[:, None], axis=1)[:, 0]
    counted = jnp.any(others, axis=1).astype(jnp.float32)
    return positive, jnp.where(others, scores, -jnp.inf), counted
