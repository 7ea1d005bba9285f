"""Losses of rankers: scores of a query's documents against which of them are relevant.

All are per pair or per query, float32; the caller averages. Where `valid` is False there is no
document: whatever stands there, NaN included, changes neither a loss nor a gradient. A document of
weight w, more than 0, counts as w equal ones would; without `weights` each once.
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float


def pointwise(logits: Float[Array, "*b n"], relevant: Bool[Array, "*b"]) -> Float[Array, "*b"]:
    """Per pair: cross-entropy of relevant or not, TART-full's loss (section 4.2).

    Two logits: -log softmax(logits)[1 if relevant else 0]. One: binary cross-entropy,
    -log sigmoid(logit) or -log sigmoid(-logit). Equal, as softmax over two logits is the sigmoid of
    their difference. The caller leaves out pairs that are padding.

    >>> pointwise(jnp.array([[0.0, 0.0], [0.0, 5.0]]), jnp.array([True, True]))
    Array([0.6931472 , 0.00671535], dtype=float32)
    """
    logits = logits.astype(jnp.float32)
    if logits.shape[-1] not in (1, 2):
        raise ValueError(f"{logits.shape[-1]} logits; a pair has one or two.")
    score = logits[..., 0] if logits.shape[-1] == 1 else logits[..., 1] - logits[..., 0]
    return jax.nn.softplus(jnp.where(relevant, -score, score))


def listwise(
    scores: Float[Array, "b n"],
    relevant: Bool[Array, "b n"],
    valid: Bool[Array, "b n"],
    weights: Float[Array, "b n"] | None = None,
) -> Float[Array, " b"]:
    """Per query: softmax cross-entropy over its documents, -mean over the relevant of
    log softmax(scores); the relevant should weigh 1.

    Also called ListNet's top-one loss (Cao et al. 2007) and, with one relevant document, localised
    contrastive estimation (Gao et al. 2021). 0 for a query without a relevant document.

    >>> one, all = jnp.array([[True, False]]), jnp.ones((1, 2), bool)
    >>> listwise(jnp.zeros((1, 2)), one, all)
    Array([0.6931472], dtype=float32)
    """
    relevant = relevant & valid
    some = jnp.any(relevant, axis=1)
    # A row without a relevant document may have none at all, whose log-sum-exp has no gradient.
    counted = valid & some[:, None]
    clean = jnp.where(counted, scores.astype(jnp.float32), 0)
    weighted = clean if weights is None else clean + jnp.log(weights)
    kept = jnp.where(counted | ~some[:, None], weighted, -jnp.inf)
    losses = jax.nn.logsumexp(kept, axis=1, keepdims=True) - clean
    count = jnp.maximum(jnp.sum(relevant, axis=1), 1)
    return jnp.sum(jnp.where(relevant, losses, 0), axis=1) / count


def pairwise(
    scores: Float[Array, "b n"],
    relevant: Bool[Array, "b n"],
    valid: Bool[Array, "b n"],
    weights: Float[Array, "b n"] | None = None,
) -> Float[Array, " b"]:
    """Per query: mean of log(1 + exp(s_j - s_i)) over pairs of a relevant i and an irrelevant j.

    RankNet's loss (Burges et al. 2005). 0 for a query without such a pair.

    >>> pairwise(jnp.array([[2.0, 1.0]]), jnp.array([[True, False]]), jnp.ones((1, 2), bool))
    Array([0.3132617], dtype=float32)
    """
    losses = jax.nn.softplus(-margins(scores, valid))
    return mean_over_pairs(losses, pairs(relevant, valid), weights)


def pairs(relevant: Bool[Array, "b n"], valid: Bool[Array, "b n"]) -> Bool[Array, "b n n"]:
    """True at [query, i, j] where i is relevant and j is not, and both are documents."""
    return (relevant & valid)[:, :, None] & (~relevant & valid)[:, None, :]


def margins(scores: Float[Array, "b n"], valid: Bool[Array, "b n"]) -> Float[Array, "b n n"]:
    """s_i - s_j at [query, i, j]; scores where there is no document count as 0."""
    clean = jnp.where(valid, scores.astype(jnp.float32), 0)
    return clean[:, :, None] - clean[:, None, :]


def mean_over_pairs(
    values: Float[Array, "b n n"],
    counted: Bool[Array, "b n n"],
    weights: Float[Array, "b n"] | None = None,
) -> Float[Array, " b"]:
    """Per query; 0 where no pair counts. A pair weighs the product of its documents' weights."""
    clean = jnp.where(counted, values, 0)
    if weights is None:
        return jnp.sum(clean, axis=(1, 2)) / jnp.maximum(jnp.sum(counted, axis=(1, 2)), 1)
    each = jnp.where(counted, weights[:, :, None] * weights[:, None, :], 0)
    total = jnp.sum(each, axis=(1, 2))
    return jnp.sum(each * clean, axis=(1, 2)) / jnp.where(total > 0, total, 1)
