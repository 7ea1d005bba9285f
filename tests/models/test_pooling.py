"""Pooling against sentence-transformers, and on rows that are padded elsewhere or wholly."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tart_jax.models.pooling import POOLINGS, l2_normalize, pool
from tart_jax.types import InputError

TOLERANCE = 1e-6  # float32 sums over at most 17 tokens


@pytest.mark.parametrize("how", POOLINGS)
def test_pooling_agrees_with_sentence_transformers(reference, how):
    pooled = pool(jnp.asarray(reference.hidden), jnp.asarray(reference.mask), how)
    np.testing.assert_allclose(pooled, reference.pooled[how], atol=TOLERANCE)


@pytest.mark.parametrize("how", ["mean", "max", "last"])
def test_pooling_without_the_mask_disagrees(tiny, how):
    pooled = pool(jnp.asarray(tiny.hidden), jnp.ones(tiny.mask.shape, bool), how)
    assert np.abs(pooled - tiny.pooled[how]).max() > 0.01


def test_mean_counts_special_tokens(tiny):
    """All real tokens, the first and last among them (Contriever's and TART's mean)."""
    expected = tiny.hidden[0].mean(0)
    pooled = pool(jnp.asarray(tiny.hidden[:1]), jnp.asarray(tiny.mask[:1]), "mean")
    np.testing.assert_allclose(pooled[0], expected, atol=TOLERANCE)
    assert np.abs(tiny.hidden[0, 1:-1].mean(0) - expected).max() > 0.01


def test_last_finds_the_last_real_token_behind_padding_on_the_left():
    hidden = jnp.arange(8.0).reshape(2, 4, 1)
    mask = jnp.array([[False, True, True, True], [True, True, False, False]])
    assert pool(hidden, mask, "last").tolist() == [[3.0], [5.0]]


@pytest.mark.parametrize("how", ["mean", "max", "last"])
def test_a_row_of_padding_gives_zeros(how):
    assert pool(jnp.ones((1, 3, 2)), jnp.zeros((1, 3), bool), how).tolist() == [[0.0, 0.0]]


def test_pooling_is_float32_whatever_comes_in():
    assert (
        pool(jnp.ones((1, 3, 2), jnp.bfloat16), jnp.ones((1, 3), bool), "mean").dtype == "float32"
    )


def test_unknown_pooling_is_refused_with_the_known_ones():
    with pytest.raises(InputError, match="'median'.*mean, cls, max, last"):
        pool(jnp.ones((1, 1, 1)), jnp.ones((1, 1), bool), "median")


def test_normalised_vectors_have_length_one_and_zeros_finite_gradients():
    x = jnp.array([[3.0, 4.0], [0.0, 0.0]])
    np.testing.assert_allclose(l2_normalize(x), [[0.6, 0.8], [0.0, 0.0]], atol=TOLERANCE)
    assert np.isfinite(jax.grad(lambda x: l2_normalize(x).sum())(x)).all()
