"""Attention: every form gives the softmax of the definition."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tart_jax.models import attention as module
from tart_jax.models.attention import attention

# float32 sums of 8 to 16 products of size 1
TOLERANCE = 1e-5


@pytest.fixture
def inputs():
    keys = jax.random.split(jax.random.key(0), 3)
    query, key, value = (jax.random.normal(k, (3, 7, 2, 8)) for k in keys)
    return query, key, value, jnp.arange(7)[None] < jnp.array([7, 3, 1])[:, None]


def by_definition(query, keys, values, mask):
    query, keys, values, mask = (np.asarray(x, np.float64) for x in (query, keys, values, mask))
    scores = np.einsum("bqhk,bchk->bhqc", query, keys) / np.sqrt(query.shape[-1])
    shares = np.exp(scores - scores.max(-1, keepdims=True)) * mask[:, None, None, :]
    return np.einsum("bhqc,bchk->bqhk", shares / shares.sum(-1, keepdims=True), values)


@pytest.mark.parametrize("form", [attention, module._library])
def test_attention_is_the_softmax_of_its_definition(inputs, form):
    np.testing.assert_allclose(form(*inputs), by_definition(*inputs), atol=TOLERANCE)


@pytest.mark.parametrize("form", [attention, module._library])
def test_attention_without_its_mask_is_another(inputs, form):
    *rest, mask = inputs
    difference = form(*rest, jnp.ones_like(mask)) - by_definition(*inputs)
    assert np.abs(difference).max() > 0.1


def test_dropped_probabilities_keep_the_mean(inputs):
    query, keys, values, mask = inputs
    draws = jax.vmap(lambda key: attention(query, keys, values, mask, dropout_rate=0.3, key=key))(
        jax.random.split(jax.random.key(1), 4000)
    )
    # standard error: values of size 1 to 3 and a factor sqrt(0.3 / 0.7), over sqrt(4000)
    np.testing.assert_allclose(draws.mean(0), by_definition(*inputs), atol=0.12)
    assert draws.std(0).min() > 0.05


def test_probabilities_are_dropped_not_outputs(inputs):
    query, keys, _, mask = inputs
    ones = jnp.ones((3, 7, 2, 8))
    out = attention(query, keys, ones, mask, dropout_rate=0.5, key=jax.random.key(0))
    # all values 1: an output entry is the sum of the kept shares, the same over its width
    np.testing.assert_allclose(out, jnp.broadcast_to(out[..., :1], out.shape), atol=TOLERANCE)
    assert ((out > 0.05) & (out < 0.95)).any()


def test_scores_of_bfloat16_are_summed_in_float32(inputs):
    query, keys, values = (x.astype(jnp.bfloat16) for x in inputs[:3])
    text = str(jax.make_jaxpr(attention)(query, keys, values, inputs[3]))
    assert "preferred_element_type=float32" in text
    assert attention(query, keys, values, inputs[3]).dtype == jnp.bfloat16
