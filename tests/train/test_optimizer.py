"""The schedule at its corners, and what decays."""

import jax.numpy as jnp
import numpy as np
import pytest

from tart_jax.train import optimizer
from tart_jax.types import InputError


def points(kind: str, steps: list[int], **changes) -> list[float]:
    options = dict(peak_lr=1.0, warmup_steps=10, steps=110, end_lr_ratio=0.0) | changes
    rate = optimizer.schedule(kind, **options)
    return [float(rate(step)) for step in steps]


def test_the_rate_rises_to_the_peak_and_falls_to_the_end():
    corners = [0, 5, 10, 60, 110, 500]
    assert points("linear", corners) == pytest.approx([0, 0.5, 1, 0.5, 0, 0], abs=1e-6)
    assert points("cosine", corners) == pytest.approx([0, 0.5, 1, 0.5, 0, 0], abs=1e-6)
    assert points("constant", corners) == pytest.approx([0, 0.5, 1, 1, 1, 1], abs=1e-6)


def test_the_end_ratio_is_where_the_rate_starts_and_ends():
    found = points("linear", [0, 5, 10, 60, 110], end_lr_ratio=0.1)
    assert found == pytest.approx([0.1, 0.55, 1, 0.55, 0.1], abs=1e-6)


def test_without_warmup_the_first_step_has_the_peak_rate():
    assert points("linear", [0, 55], warmup_steps=0) == pytest.approx([1, 0.5])


def test_warmup_longer_than_the_run_is_refused():
    with pytest.raises(InputError, match="warmup_steps 200 must be less than the 110 steps"):
        points("linear", [0], warmup_steps=200)


def update(**changes):
    params = {"kernel": jnp.ones((2, 2)), "bias": jnp.ones(2)}
    options = dict(b1=0.9, b2=0.98, eps=1e-6, weight_decay=0.5, decay_vectors=True, clip_norm=0.0)
    built = optimizer.build(lambda step: 1.0, **(options | changes))
    grads = {"kernel": jnp.zeros((2, 2)), "bias": jnp.zeros(2)}
    return built.update(grads, built.init(params), params)[0]


def test_biases_decay_as_everything_does_or_are_spared():
    assert float(update()["bias"][0]) == float(update()["kernel"][0, 0]) == -0.5
    spared = update(decay_vectors=False)
    assert float(spared["bias"][0]) == 0.0 and float(spared["kernel"][0, 0]) == -0.5


def test_the_norms_of_stacked_layers_are_spared_too():
    stacked = {"layers": {"norm": {"scale": jnp.ones((3, 4))}, "up": {"kernel": jnp.ones((3, 4))}}}
    decays = optimizer.matrices_only(stacked)["layers"]
    assert decays == {"norm": {"scale": False}, "up": {"kernel": True}}


def test_gradients_are_clipped_to_the_norm_or_left_alone():
    params = {"x": jnp.zeros(2)}
    grads = {"x": jnp.array([3.0, 4.0])}
    moments = {}
    for clip in (0.0, 1.0):
        built = optimizer.build(
            lambda step: 1.0, b1=0.0, b2=0.98, eps=1e-6, weight_decay=0.0, decay_vectors=True,
            clip_norm=clip,
        )  # fmt: skip
        _, state = built.update(grads, built.init(params), params)
        moments[clip] = np.concatenate(
            [np.ravel(leaf) for leaf in (s.mu["x"] for s in _adam_states(state))]
        )
    np.testing.assert_allclose(moments[0.0], [3.0, 4.0], rtol=1e-6)
    np.testing.assert_allclose(moments[1.0], [0.6, 0.8], rtol=1e-6)


def _adam_states(state):
    if hasattr(state, "mu"):
        return [state]
    if isinstance(state, tuple):
        return [found for part in state for found in _adam_states(part)]
    return []
