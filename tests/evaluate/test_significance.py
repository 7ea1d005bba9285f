"""Bootstrap and permutation: known answers, coverage, determinism."""

import numpy as np
import pytest

from tart_jax.evaluate import significance
from tart_jax.evaluate.significance import (
    bootstrap,
    macro_bootstrap,
    paired_bootstrap,
    permutation_p_value,
)
from tart_jax.types import InputError


def scores(values):
    return {f"q{number}": float(value) for number, value in enumerate(values)}


def test_the_interval_of_a_mean_is_the_normal_one_for_many_queries():
    values = np.random.default_rng(0).normal(0.4, 0.3, 2000)
    interval = bootstrap(values)
    half = 1.96 * values.std() / np.sqrt(len(values))
    assert interval.mean == pytest.approx(values.mean())
    # The percentile ends of 10,000 resamples scatter by about 2% of the half width.
    assert interval.low == pytest.approx(values.mean() - half, abs=0.05 * half)
    assert interval.high == pytest.approx(values.mean() + half, abs=0.05 * half)


def test_a_constant_has_no_width():
    assert bootstrap([0.25] * 9) == (0.25, 0.25, 0.25)


def test_the_paired_interval_is_narrower_than_unpaired_ones():
    rng = np.random.default_rng(0)
    base = rng.uniform(0, 1, 200)
    ours, theirs = scores(base + 0.02 + rng.normal(0, 0.01, 200)), scores(base)
    interval = paired_bootstrap(ours, theirs)
    assert interval.low > 0.015 and interval.high < 0.025
    shuffled = scores(rng.permutation(base))
    assert paired_bootstrap(ours, shuffled).low < 0  # the broken twin: pairs taken apart


def test_same_seed_same_interval_and_blocks_change_nothing_else(monkeypatch):
    values = np.random.default_rng(1).uniform(size=50)
    assert bootstrap(values, seed=3) == bootstrap(values, seed=3)
    assert bootstrap(values, seed=3) != bootstrap(values, seed=4)
    whole = bootstrap(values, seed=3)
    monkeypatch.setattr(significance, "BLOCK", 50 * 1000)
    assert bootstrap(values, seed=3) == whole


def test_permutation_finds_a_difference_and_not_noise():
    rng = np.random.default_rng(0)
    base = rng.uniform(0, 1, 100)
    assert permutation_p_value(scores(base + 0.1), scores(base)) < 0.001
    noise = scores(base + rng.normal(0, 0.1, 100))
    assert permutation_p_value(noise, scores(base)) > 0.05
    assert permutation_p_value(scores(base), scores(base)) == 1.0


def test_permutation_agrees_with_all_sign_flips():
    differences = np.array([0.3, 0.1, -0.05, 0.2, 0.15, -0.1])
    signs = np.array(np.meshgrid(*[[-1, 1]] * 6)).reshape(6, -1).T
    exact = np.mean(np.abs(signs @ differences) >= abs(differences.sum()) - 1e-12)
    found = permutation_p_value(scores(differences), scores(np.zeros(6)))
    # 10,000 draws: standard error 0.005 at p = 0.2.
    assert found == pytest.approx(exact, abs=0.02)


def test_other_queries_and_no_queries_are_refused():
    with pytest.raises(InputError, match="1 of 2 are only in one"):
        paired_bootstrap({"a": 1.0}, {"a": 1.0, "b": 0.0})
    with pytest.raises(InputError, match="no per-query scores"):
        bootstrap([])


def test_macro_bootstrap_averages_tasks_and_pairs_systems():
    rng = np.random.default_rng(0)
    small, large = rng.uniform(0, 1, 50), rng.uniform(0, 1, 400)
    better = [small + 0.1, large + 0.1]
    found = macro_bootstrap(
        {"a": better, "b": [small, large], "a-b": [small * 0 + 0.1, large * 0 + 0.1]}
    )
    assert found["a"].mean == pytest.approx((small.mean() + large.mean()) / 2 + 0.1)
    # The same queries are drawn for both systems, so a constant gain has no spread but rounding.
    assert found["a-b"].high - found["a-b"].low < 1e-12
    assert found["a"].low - found["b"].low == pytest.approx(0.1)
    # One task of one system: the plain bootstrap, up to the noise of 10,000 other draws.
    assert macro_bootstrap({"a": [large]})["a"].low == pytest.approx(bootstrap(large).low, abs=2e-3)


def test_macro_bootstrap_refuses_unpaired_scores():
    with pytest.raises(InputError, match="same queries"):
        macro_bootstrap({"a": [np.ones(3)], "b": [np.ones(4)]})


def test_holm_is_the_step_down_by_hand():
    # 4 * .01; 3 * .013 = .039 is below it, so .04 stays; 2 * .03; .2
    adjusted = significance.holm({"a": 0.01, "b": 0.2, "c": 0.013, "d": 0.03})
    assert adjusted == pytest.approx({"a": 0.04, "b": 0.2, "c": 0.04, "d": 0.06})
    assert significance.holm({"a": 0.5, "b": 0.9}) == {"a": 1.0, "b": 1.0}
    assert significance.holm({}) == {}


def test_holm_keeps_the_rate_of_any_false_find_where_bare_p_values_do_not():
    rng = np.random.default_rng(0)
    draws = [scores(rng.uniform(size=10)) for _ in range(2000)]
    assert np.mean([min(significance.holm(p).values()) < 0.05 for p in draws]) < 0.06
    assert np.mean([min(p.values()) < 0.05 for p in draws]) > 0.3


def test_wins_ties_and_losses_are_counted():
    ours, theirs = scores([1, 0.5, 0.2, 0.2]), scores([0, 0.5, 0.2 + 1e-12, 0.9])
    assert significance.win_tie_loss(ours, theirs) == (1, 2, 1)


def test_the_detectable_difference_is_found_in_four_of_five_experiments():
    rng = np.random.default_rng(0)
    zero = scores(np.zeros(100))
    bar = significance.detectable_difference(scores(rng.normal(0, 0.2, 100)), zero)
    found = []
    for _ in range(400):
        values = rng.normal(bar, 0.2, 100)
        found.append(abs(values.mean()) > 1.96 * values.std(ddof=1) / 10)
    assert np.mean(found) == pytest.approx(0.8, abs=0.1)  # the bar's own deviation is an estimate
