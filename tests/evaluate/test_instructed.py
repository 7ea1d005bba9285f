"""p-MRR, Robustness@k and the spread over wordings, against other ways to compute them."""

import numpy as np
import pytest

from tart_jax.evaluate import instructed
from tart_jax.evaluate.measures import evaluate
from tart_jax.types import InputError, ScoredDocument


def ranking(names):
    return [ScoredDocument(name, float(-place)) for place, name in enumerate(names)]


def reciprocal_ranks(names, name):
    return 1 / (names.index(name) + 1) if name in names else 1 / (len(names) + 1)


def by_reciprocal_ranks(old, new, changed):
    """FollowIR's formula as the paper writes it, with reciprocal ranks."""
    total = 0.0
    for name in changed:
        before, after = reciprocal_ranks(old, name), reciprocal_ranks(new, name)
        if 1 / before > 1 / after:
            total += before / after - 1
        else:
            total += 1 - after / before
    return total / len(changed)


def test_p_mrr_is_the_papers_formula_on_random_rankings():
    draw = np.random.default_rng(0)
    for _ in range(50):
        names = [f"d{i}" for i in range(12)]
        old, new = (list(draw.permutation(names)[: draw.integers(5, 12)]) for _ in range(2))
        changed = list(draw.permutation(names)[:3])
        found = instructed.p_mrr({"q": ranking(old)}, {"q": ranking(new)}, {"q": changed})
        assert found["q"] == pytest.approx(by_reciprocal_ranks(old, new, changed))
        assert -1 <= found["q"] <= 1


def test_p_mrr_by_hand():
    old = {"q": ranking(["a", "b", "c", "d"])}
    assert instructed.p_mrr(old, old, {"q": ["a", "b"]}) == {"q": 0}
    fallen = {"q": ranking(["b", "c", "d", "a"])}  # a from 1 to 4
    assert instructed.p_mrr(old, fallen, {"q": ["a"]}) == {"q": 0.75}
    assert instructed.p_mrr(fallen, old, {"q": ["a"]}) == {"q": -0.75}
    with pytest.raises(InputError, match="'q' needs"):
        instructed.p_mrr(old, {}, {"q": ["a"]})


def test_documents_that_lose_their_relevance_are_found():
    before = {"q": {"a": 1, "b": 2, "c": 0}, "r": {"a": 1}, "s": {"a": 1}}
    after = {"q": {"a": 0, "b": 2, "c": 1}, "r": {"a": 1}}
    assert instructed.changed_documents(before, after) == {"q": ["a"]}


def test_robustness_is_the_mean_over_queries_of_the_worst_instruction():
    draw = np.random.default_rng(0)
    query_of = {f"{q}-{i}": f"q{q}" for q in range(6) for i in range(4)}
    qrels = {name: {f"d{draw.integers(10)}": 1} for name in query_of}
    run = {name: ranking([f"d{i}" for i in draw.permutation(10)]) for name in query_of}
    scores = evaluate(run, qrels, ("nDCG@10",)).per_query["nDCG@10"]
    found = instructed.robustness(scores, query_of)
    for q in range(6):
        # one relevant document at rank r: 1 / log2(r + 1)
        expected = min(
            1 / np.log2(2 + [hit.doc_id for hit in run[name]].index(next(iter(qrels[name]))))
            for name in query_of
            if query_of[name] == f"q{q}"
        )
        assert found[f"q{q}"] == pytest.approx(expected)
    with pytest.raises(InputError, match="no known query"):
        instructed.robustness({"other": 1.0}, query_of)


def test_the_spread_over_wordings():
    found = instructed.spread([{"a": 0.2, "b": 1.0}, {"a": 0.6, "b": 0.5}])
    assert found == pytest.approx((0.575, 0.35, 0.8, 0.45))
    assert instructed.spread([{"a": 0.2}]) == (0.2, 0.2, 0.2, 0)
    with pytest.raises(InputError, match="same queries"):
        instructed.spread([{"a": 0.2}, {"b": 0.2}])
