"""Losses that teach a student a teacher's scores of a query's documents.

All are per query, float32; the caller averages. `valid` is True where there is a document *and* the
teacher scored it: whatever stands elsewhere, NaN included, changes neither a loss nor a gradient.
A document of weight w, more than 0, counts as w equal ones would; without `weights` each once.
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from tart_jax.losses import ranking


def kl_candidates(
    scores: Float[Array, "b n"],
    teacher: Float[Array, "b n"],
    valid: Bool[Array, "b n"],
    weights: Float[Array, "b n"] | None = None,
    *,
    temperature: float,
) -> Float[Array, " b"]:
    """Per query: T^2 * KL(softmax(teacher / T) || softmax(scores / T)) over its documents.

    Hinton et al. (2015); T^2 keeps the size of the gradients over temperatures. TART's optional
    `InBatch_KD` is this, averaged over documents, too. 0 for a query with less than two documents.

    >>> kl_candidates(jnp.zeros((1, 2)), jnp.ones((1, 2)), jnp.ones((1, 2), bool), temperature=1.0)
    Array([0.], dtype=float32)
    """
    some = jnp.any(valid, axis=1, keepdims=True)

    def log_softmax(values: Float[Array, "b n"]) -> Float[Array, "b n"]:
        values = jnp.where(valid, values.astype(jnp.float32), 0) / temperature
        if weights is not None:
            values = values + jnp.log(weights)
        # A row of -inf alone has no softmax.
        return jax.nn.log_softmax(jnp.where(valid | ~some, values, -jnp.inf), axis=1)

    wanted, found = log_softmax(teacher), log_softmax(scores)
    # At masked places both are -inf, and the gradient of their difference is NaN.
    difference = jnp.where(valid, wanted, 0) - jnp.where(valid, found, 0)
    return temperature**2 * jnp.sum(jnp.where(valid, jnp.exp(wanted), 0) * difference, axis=1)


def margin_mse(
    scores: Float[Array, "b n"],
    teacher: Float[Array, "b n"],
    relevant: Bool[Array, "b n"],
    valid: Bool[Array, "b n"],
    weights: Float[Array, "b n"] | None = None,
) -> Float[Array, " b"]:
    """Per query: mean of ((s_i - s_j) - (t_i - t_j))^2 over pairs of a relevant i and another j.

    MarginMSE (Hofstätter et al. 2020): the student may use another range of scores than its teacher
    but not another scale. 0 for a query without such a pair.

    >>> scores, teacher = jnp.array([[1.0, 0.0]]), jnp.array([[9.0, 5.0]])
    >>> margin_mse(scores, teacher, jnp.array([[True, False]]), jnp.ones((1, 2), bool))
    Array([9.], dtype=float32)
    """
    off = ranking.margins(scores, valid) - ranking.margins(teacher, valid)
    return ranking.mean_over_pairs(jnp.square(off), ranking.pairs(relevant, valid), weights)
