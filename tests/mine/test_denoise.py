"""A teacher's thresholds."""

from collections import Counter

import numpy as np
import pytest

from tart_jax.mine.denoise import Thresholds, relabel
from tart_jax.types import InputError, ScoredDocument

HITS = [ScoredDocument(name, 1.0) for name in "abcde"]
LOGITS = {"a": 3.0, "b": -3.0, "c": 0.0, "d": 2.19, "e": -2.2}


def test_candidates_below_a_tenth_are_negatives_and_above_nine_tenths_positives():
    counts = Counter()
    positives, negatives = relabel(HITS, LOGITS, Thresholds(), counts)
    assert [hit.doc_id for hit in positives] == ["a"]  # sigmoid(2.19) is 0.8994
    assert [hit.doc_id for hit in negatives] == ["b", "e"]
    assert counts == {
        "teacher says positive": 1, "teacher says negative": 2, "teacher is unsure": 2
    }  # fmt: skip


def test_the_sigmoid_is_that_of_a_softmax_over_two_logits_and_never_overflows():
    scores = np.array([-1e4, -2.0, 0.0, 1.5, 1e4], np.float32)
    with np.errstate(all="raise"):
        found = Thresholds().normalized(scores)
    expected = [0.0, 1 / (1 + np.exp(2.0)), 0.5, 1 / (1 + np.exp(-1.5)), 1.0]
    np.testing.assert_allclose(found, expected, atol=1e-12)


def test_other_normalisations_are_of_the_query_or_none():
    scores = np.array([1.0, 3.0, 2.0])
    assert Thresholds(normalization="min_max").normalized(scores).tolist() == [0.0, 1.0, 0.5]
    assert Thresholds(normalization="none").normalized(scores).tolist() == [1.0, 3.0, 2.0]
    positives, negatives = relabel(HITS, LOGITS, Thresholds(normalization="min_max"), Counter())
    assert [h.doc_id for h in positives] == ["a"] and [h.doc_id for h in negatives] == ["b"]


def test_thresholds_that_overlap_are_refused():
    with pytest.raises(InputError, match=r"negative_below 0.9 is more than positive_above 0.1"):
        Thresholds(0.9, 0.1)
    with pytest.raises(InputError, match="'softmax' is not one of"):
        Thresholds(normalization="softmax")
