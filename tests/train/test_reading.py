"""The reading loss against optax's over smoothed one-hot targets."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from tart_jax.train.reading import cross_entropy

LOGITS = jax.random.normal(jax.random.key(0), (3, 5, 40)) * 4
TOKENS = jax.random.randint(jax.random.key(1), (3, 5), 0, 40)


def reference(logits, smoothing):
    wanted = optax.smooth_labels(jax.nn.one_hot(TOKENS, 40), smoothing)
    return optax.softmax_cross_entropy(logits, wanted)


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_the_loss_and_its_gradients_are_those_over_one_hot_targets(smoothing):
    # Sums of 40 float32 terms up to 12: a few ulp of 12 in another order.
    close = dict(rtol=1e-5, atol=1e-5)
    ours, theirs = cross_entropy(LOGITS, TOKENS, smoothing), reference(LOGITS, smoothing)
    np.testing.assert_allclose(ours, theirs, **close)
    gradients = [
        jax.grad(lambda x, f=f: jnp.sum(f(x)))(LOGITS)
        for f in (lambda x: cross_entropy(x, TOKENS, smoothing), lambda x: reference(x, smoothing))
    ]
    np.testing.assert_allclose(*gradients, **close)
    with pytest.raises(AssertionError):  # the broken twin
        np.testing.assert_allclose(ours, reference(LOGITS, 0.2), **close)
