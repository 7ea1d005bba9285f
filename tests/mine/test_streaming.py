"""Statistics in one pass: independent of order, bounded, and with intervals that hold."""

import random

import numpy as np
import pytest

from tart_jax.mine.streaming import BINS, Best, Histogram, Share


def test_the_best_are_kept_and_of_equal_keys_the_first():
    best = Best(3)
    for key, item in [(1, "a"), (3, "b"), (2, "c"), (2, "d"), (0, "e"), (3, "f")]:
        best.add(key, item)
    assert best.items() == [(3, "b"), (3, "f"), (2, "c")]
    nothing = Best(0)
    nothing.add(1, "a")
    assert nothing.items() == [] and not nothing.wants(9)


def histogram(values):
    found = Histogram(["a", "b"])
    for place, value in enumerate(values):
        found.add("ab"[place % 2], value)
    return found.to_json()


@pytest.mark.parametrize(
    "values",
    [[0.0], [0.25] * 5, [-3.7, 0.0, 12.9, 1e-5], [1e9, -1e9, 0.5], [5.0, 5.0 + 2**-19], [1e300]],
)
def test_a_histogram_counts_every_value_in_its_bin(values):
    found = histogram(values)
    edges = np.array(found["edges"])
    assert 2 <= len(edges) <= BINS + 1 and set(found["counts"]) == {"a", "b"}
    for series, mine in (("a", values[::2]), ("b", values[1::2])):
        assert found["counts"][series] == [
            sum(low <= value < high for value in mine)
            for low, high in zip(edges[:-1], edges[1:], strict=True)
        ]
        assert sum(found["counts"][series]) == len(mine)


def test_a_histogram_does_not_depend_on_the_order_and_is_as_fine_as_its_bins_allow():
    rng = random.Random(7)
    values = [rng.gauss(3.0, 40.0) for _ in range(400)]
    found = Histogram(["all"]), Histogram(["all"])
    for value, other in zip(values, sorted(values), strict=True):
        found[0].add("all", value)
        found[1].add("all", other)
    first, second = (each.to_json() for each in found)
    assert first == second
    assert BINS / 2 - 1 <= len(first["counts"]["all"]) <= BINS


def covered(by_query: bool) -> float:
    """How often the interval holds the truth, 0.2: 60 queries of 8 documents that go together."""
    rng, hits, truth = np.random.default_rng(0), 0, 0.2
    for _ in range(200):
        counts = rng.binomial(8, rng.beta(truth * 1.5, (1 - truth) * 1.5, 60)).tolist()
        share = Share()
        for count in counts:
            share.add(count, 8)
        if not by_query:  # the broken twin: as if each document were a query of its own
            whole = share.of
            share = Share(share.count, whole, whole, [share.count, share.count, whole])
        found = share.to_json()
        hits += found["low"] <= truth <= found["high"]
    return hits / 200


def test_an_interval_holds_the_truth_as_often_as_it_says_although_documents_go_together():
    # 200 trials: the standard error of a coverage of 95% is 1.5 points; three of them.
    assert covered(by_query=True) > 0.905
    assert covered(by_query=False) < 0.85


def test_a_share_of_independent_documents_has_the_interval_of_wilson():
    share = Share()
    for place in range(200):
        share.add(int(place < 20), 1)
    found = share.to_json()
    # By hand: 0.0657 to 0.1494. A variance over 200 queries is told by 199: half a percent of it.
    assert (found["low"], found["high"]) == pytest.approx((0.0657, 0.1494), abs=3e-4)


def test_a_share_of_none_or_all_has_an_interval_and_one_of_nothing_has_none():
    empty, none, every, one = Share(), Share(), Share(), Share()
    empty.add(0, 0)
    for _ in range(10):
        none.add(0, 3)
        every.add(3, 3)
    one.add(3, 6)
    assert empty.to_json() == {
        "count": 0, "of": 0, "queries": 0, "share": None, "low": None, "high": None,
    }  # fmt: skip
    assert none.to_json()["low"] == 0.0 and 0.05 < none.to_json()["high"] < 0.2
    assert every.to_json()["high"] == 1.0 and 0.8 < every.to_json()["low"] < 0.95
    # One query is one draw, whatever the number of its documents.
    assert one.to_json()["high"] - one.to_json()["low"] > 0.8
