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
    """1e-6 relative to the largest entry: float32 against PyTorch's float64."""
    wanted = [arrays[f"{name}/value"], arrays[f"{name}/grad"]]
    return all(
        f.shape == w.shape and np.abs(f - w).max() <= 1e-6 * np.abs(w).max()
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


@pytest.mark.parametrize(
    "name, wanted",
    # Scores 1, 0, 0 of one relevant document and two others, which weigh 1 and 3.
    [("listwise", np.log(np.e + 4) - 1), ("pairwise", np.log1p(np.exp(-1)))],
)
def test_a_weight_counts_a_document_so_many_times(name, wanted):
    scores, first = jnp.array([[1.0, 0.0, 0.0]]), jnp.array([[True, False, False]])
    weights = jnp.array([[1.0, 1.0, 3.0]])
    loss, every = LISTS[name], jnp.ones((1, 3), bool)
    assert float(loss(scores, first, every, weights)[0]) == pytest.approx(wanted, rel=1e-6)
    far = jnp.array([[1.0, 0.0, 2.0]])
    by_hand = {
        "listwise": np.log(np.e + 1 + 3 * np.exp(2)) - 1,
        "pairwise": (np.log1p(np.exp(-1)) + 3 * np.log1p(np.e)) / 4,
    }
    assert float(loss(far, first, every, weights)[0]) == pytest.approx(by_hand[name], rel=1e-6)
    assert float(loss(far, first, every)[0]) != pytest.approx(by_hand[name], rel=1e-2)


@pytest.mark.parametrize("name", LISTS)
def test_weights_of_one_or_where_nothing_is_change_no_bit(arrays, name):
    inputs = (arrays["scores"], arrays["relevant"], arrays["valid"])
    plain = value_and_grad(LISTS[name], *inputs)
    for weights in (np.ones_like(arrays["scores"]), np.where(arrays["valid"], 1.0, 7.0)):
        found = value_and_grad(LISTS[name], *inputs, np.float32(weights))
        for one, other in zip(plain, found, strict=True):
            np.testing.assert_array_equal(one, other)
    # Pairs that all weigh the same are as none: weights have to differ among the others, too.
    other = np.where(arrays["relevant"], 1, 1 + 3 * np.arange(arrays["valid"].shape[1]))
    weighed, _ = value_and_grad(LISTS[name], *inputs, np.float32(other))
    assert np.abs(weighed - plain[0]).max() > 0.1


def test_a_single_pair_of_half_a_weight_costs_what_it_costs_whole():
    scores, first, every = jnp.zeros((1, 2)), jnp.array([[True, False]]), jnp.ones((1, 2), bool)
    half = ranking.pairwise(scores, first, every, jnp.array([[1.0, 0.5]]))
    assert float(half[0]) == float(ranking.pairwise(scores, first, every)[0]) > 0.69


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
