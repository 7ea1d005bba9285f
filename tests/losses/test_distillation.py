"""Distillation losses: PyTorch's values and gradients, and masks that hide what they cover."""

from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tart_jax.losses import distillation

# Written by scripts/reference/make_loss_reference.py.
FILE = Path(__file__).parent / "data" / "losses.npz"


@pytest.fixture(scope="module")
def arrays() -> dict[str, np.ndarray]:
    with np.load(FILE) as file:
        return dict(file)


def kl(scores, teacher, relevant, valid, temperature=2.0):
    return distillation.kl_candidates(scores, teacher, valid, temperature=temperature)


LOSSES = {"kl_candidates": kl, "margin_mse": distillation.margin_mse}


def call(loss, arrays, **changes):
    """Values and the gradient of their sum by the student's scores."""
    names = ("scores", "teacher", "relevant", "valid")
    scores, *rest = (jnp.asarray(changes.get(name, arrays[name])) for name in names)
    values, pull = jax.vjp(lambda x: loss(x, *rest), scores)
    return np.asarray(values), np.asarray(pull(jnp.ones_like(values))[0])


def agree(found, arrays, name) -> bool:
    """1e-6 relative to the largest entry: float32 against PyTorch's float64."""
    wanted = [arrays[f"{name}/value"], arrays[f"{name}/grad"]]
    return all(
        np.abs(f - w).max() <= 1e-6 * np.abs(w).max() for f, w in zip(found, wanted, strict=True)
    )


@pytest.mark.parametrize("name", LOSSES)
def test_values_and_gradients_agree_with_torch(arrays, name):
    assert agree(call(LOSSES[name], arrays), arrays, name)
    unmasked = call(LOSSES[name], arrays, valid=np.ones_like(arrays["valid"]))
    assert not agree(unmasked, arrays, name)
    swapped = call(LOSSES[name], arrays, scores=arrays["teacher"], teacher=arrays["scores"])
    assert not agree(swapped, arrays, name)


def test_another_temperature_or_another_relevance_is_another_loss(arrays):
    found = call(lambda *args: kl(*args, temperature=1.0), arrays)
    assert not agree(found, arrays, "kl_candidates")
    others = call(distillation.margin_mse, arrays, relevant=np.roll(arrays["relevant"], 1, axis=1))
    assert not agree(others, arrays, "margin_mse")


@pytest.mark.parametrize("name", LOSSES)
def test_a_document_without_a_score_changes_neither_loss_nor_gradient(arrays, name):
    valid = arrays["valid"]
    before = call(LOSSES[name], arrays)
    holes = np.where(valid, arrays["teacher"], np.nan).astype(np.float32)
    after = call(LOSSES[name], arrays, teacher=holes, scores=np.where(valid, arrays["scores"], 9))
    for one, other in zip(before, after, strict=True):
        np.testing.assert_array_equal(one, other)
    assert np.isfinite(before[1]).all() and (before[1][~valid] == 0).all()
    broken = call(LOSSES[name], arrays, teacher=holes, valid=np.ones_like(valid))
    assert not np.isfinite(broken[0]).all()


@pytest.mark.parametrize("name", LOSSES)
def test_a_document_of_weight_two_counts_as_two(arrays, name):
    twice = arrays["valid"] & ~arrays["relevant"] & (np.arange(arrays["valid"].shape[1]) % 2 == 1)
    weights = jnp.asarray(np.where(twice, 2, 1).astype(np.float32))

    def weighed(scores, teacher, relevant, valid):
        if name == "margin_mse":
            return distillation.margin_mse(scores, teacher, relevant, valid, weights)
        return distillation.kl_candidates(scores, teacher, valid, weights, temperature=2.0)

    def doubled(scores, teacher, relevant, valid):
        double = [jnp.concatenate([x, x], axis=1) for x in (scores, teacher, relevant)]
        return LOSSES[name](*double, jnp.concatenate([valid, valid & twice], axis=1))

    wanted = call(doubled, arrays)
    for found, value in zip(call(weighed, arrays), wanted, strict=True):
        # 1e-6 of the largest entry: float32 rounding.
        assert np.abs(found - value).max() <= 1e-6 * np.abs(value).max()
    plain, _ = call(LOSSES[name], arrays)
    assert np.abs(plain - wanted[0]).max() > 1e-2 * np.abs(plain).max()


@pytest.mark.parametrize("name", LOSSES)
def test_a_student_that_equals_its_teacher_costs_nothing(arrays, name):
    value, grad = call(LOSSES[name], arrays, scores=arrays["teacher"] + 3)
    assert np.abs(value).max() < 1e-5 and np.abs(grad).max() < 1e-5
    value, _ = call(LOSSES[name], arrays, scores=arrays["teacher"] * 2)
    assert value.max() > 0.1


@pytest.mark.parametrize("name", LOSSES)
def test_a_query_with_nothing_to_compare_costs_nothing(arrays, name):
    one = np.zeros_like(arrays["valid"])
    one[:, 0] = True
    for valid in (one, np.zeros_like(one)):
        value, grad = call(LOSSES[name], arrays, valid=valid)
        assert (value == 0).all() and (grad == 0).all()


def test_gradients_keep_their_size_over_high_temperatures(arrays):
    sizes = {}
    for temperature in (20.0, 40.0):
        _, grad = call(lambda *args, t=temperature: kl(*args, temperature=t), arrays)
        sizes[temperature] = np.abs(grad).max()
    # Without T^2 the second would be a quarter of the first.
    assert sizes[40.0] / sizes[20.0] == pytest.approx(1, abs=0.2)
