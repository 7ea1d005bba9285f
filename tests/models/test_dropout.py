"""Dropout: its rate, its mean, its independence."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tart_jax.models.dropout import dropout

SHAPE = (40, 50, 51)  # an odd width: random words are cut


def test_without_a_key_nothing_is_dropped():
    x = jnp.ones((2, 3))
    assert dropout(x, 0.5, None) is x
    assert dropout(x, 0.0, jax.random.key(0)) is x


@pytest.mark.parametrize("rate", [0.1, 0.5, 0.9])
def test_the_share_dropped_is_the_rate_and_the_mean_stays(rate, key):
    dropped = np.asarray(dropout(jnp.ones(SHAPE), rate, key))
    count = dropped.size
    # five standard deviations of a binomial share
    assert abs((dropped == 0).mean() - rate) < 5 * np.sqrt(rate * (1 - rate) / count)
    assert np.unique(dropped).size == 2
    assert abs(dropped.max() - 1 / (1 - rate)) < 1e-3 / (1 - rate)


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_neighbours_are_dropped_independently(axis, key):
    zeros = np.asarray(dropout(jnp.ones(SHAPE), 0.5, key)) == 0
    first, second = (np.take(zeros, range(s, zeros.shape[axis] - 1 + s), axis) for s in (0, 1))
    assert abs((first == second).mean() - 0.5) < 5 * 0.5 / np.sqrt(first.size)


def test_keys_drop_independently():
    a, b = (np.asarray(dropout(jnp.ones(SHAPE), 0.5, jax.random.key(n))) == 0 for n in (0, 1))
    assert abs((a == b).mean() - 0.5) < 5 * 0.5 / np.sqrt(a.size)


def test_the_dtype_stays(key):
    assert dropout(jnp.ones((4, 4), jnp.bfloat16), 0.1, key).dtype == jnp.bfloat16


@pytest.mark.parametrize("rate", [-0.1, 1.0, 1.5])
def test_impossible_rates_are_refused(rate, key):
    with pytest.raises(ValueError, match="dropout rate"):
        dropout(jnp.ones(3), rate, key)
