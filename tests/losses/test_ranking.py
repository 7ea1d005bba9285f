"""Ranking losses: PyTorch's values and gradients, and masks that hide whatever they cover."""

from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tart_jax.losses import ranking

# Written by scripts/reference/make_loss_reference.py.
FILE = Path(__file__).parent / "data" / "losses.npz"
LISTS = {"listwise": ranking.listwise, "pairwise": ranking.pairwise}


@pytest.fixture(scope="module")
def arrays() -> dict[str, np.ndarray]:
    with np.load(FILE) as file:
        return dict(file)


def value_and_grad(loss, first, *rest):
    """Values and the gradient of their sum by the first argument."""
    rest = [jnp.asarray(x) for x in rest]
    values, pull = jax.vjp(lambda x: loss(x, *rest), jnp.asarray(first))
    return np.asarray(values), np.asarray(pull(jnp.ones_like(values))[0])


def agree(found, arrays, name) -> bool:
    """1e-5 relative to the largest entry: float32 against PyTorch's float64."""
    wanted = [arrays[f"{name}/value"], arrays[f"{name}/grad"]]
    return all(
        f.shape == w.shape and np.abs(f - w).max() <= 1e-5 * np.abs(w).max()
        for f, w in zip(found, wanted, strict=True)
    )


@pytest.mark.parametrize("name, width", [("pointwise_one", 1), ("pointwise_two", 2)])
def test_pointwise_agrees_with_torch(arrays, name, width):
    logits = arrays["logits"][..., :width]
    assert agree(value_and_grad(ranking.pointwise, logits, arrays["relevant"]), arrays, name)
    broken = value_and_grad(ranking.pointwise, logits[..., ::-1] * 0.5, arrays["relevant"])
    assert not agree(broken, arrays, name)
    swapped = value_and_grad(ranking.pointwise, logits, ~arrays["relevant"])
    assert not agree(swapped, arrays, name)


@pytest.mark.parametrize("name", LISTS)
def test_losses_of_lists_agree_with_torch(arrays, name):
    inputs = (arrays["scores"], arrays["relevant"], arrays["valid"])
    assert agree(value_and_grad(LISTS[name], *inputs), arrays, name)
    unmasked = (*inputs[:2], np.ones_like(arrays["valid"]))
    assert not agree(value_and_grad(LISTS[name], *unmasked), arrays, name)
    swapped = (inputs[0], ~arrays["relevant"], arrays["valid"])
    assert not agree(value_and_grad(LISTS[name], *swapped), arrays, name)


@pytest.mark.parametrize("name", LISTS)
def test_what_is_masked_changes_neither_loss_nor_gradient(arrays, name):
    scores, relevant, valid = (arrays[k] for k in ("scores", "relevant", "valid"))
    before = value_and_grad(LISTS[name], scores, relevant, valid)
    garbage = np.where(valid, scores, np.nan).astype(np.float32)
    after = value_and_grad(LISTS[name], garbage, relevant | ~valid, valid)
    for one, other in zip(before, after, strict=True):
        np.testing.assert_array_equal(one, other)
    assert np.isfinite(before[1]).all() and (before[1][~valid] == 0).all()
    with_it = value_and_grad(LISTS[name], garbage, relevant, np.ones_like(valid))
    assert not np.isfinite(with_it[0]).all()


@pytest.mark.parametrize("name", LISTS)
def test_a_query_with_nothing_to_compare_costs_nothing(arrays, name):
    scores = arrays["scores"]
    nothing = np.zeros_like(arrays["valid"])
    for relevant, valid in ((nothing, ~nothing), (~nothing, nothing), (nothing, nothing)):
        value, grad = value_and_grad(LISTS[name], scores, relevant, valid)
        assert (value == 0).all() and (grad == 0).all()


def test_two_logits_that_differ_by_one_logit_cost_the_same(arrays):
    logits = arrays["logits"]
    difference = (logits[..., 1] - logits[..., 0])[..., None]
    one = ranking.pointwise(jnp.asarray(difference), jnp.asarray(arrays["relevant"]))
    two = ranking.pointwise(jnp.asarray(logits), jnp.asarray(arrays["relevant"]))
    np.testing.assert_array_equal(one, two)


def test_pointwise_does_not_overflow_where_softmax_would_saturate():
    logits = jnp.array([[0.0, 200.0], [0.0, -200.0]])
    value, grad = value_and_grad(ranking.pointwise, logits, jnp.array([True, True]))
    assert value.tolist() == [0.0, 200.0] and grad[1].tolist() == [1.0, -1.0]


def test_three_logits_are_refused():
    with pytest.raises(ValueError, match="3 logits"):
        ranking.pointwise(jnp.zeros((2, 3)), jnp.array([True, False]))


def test_losses_of_lists_look_at_differences_of_scores_only(arrays):
    inputs = (arrays["relevant"], arrays["valid"])
    for loss in LISTS.values():
        one, _ = value_and_grad(loss, arrays["scores"], *inputs)
        moved, _ = value_and_grad(loss, arrays["scores"] + 2, *inputs)
        scaled, _ = value_and_grad(loss, arrays["scores"] * 2, *inputs)
        np.testing.assert_allclose(one, moved, atol=1e-5)
        assert np.abs(one - scaled).max() > 0.1
