"""BLEU against values worked out by hand."""

import math

import pytest

from tart_jax.data.kilt.bleu import bleu


def test_precisions_of_one_to_four_words_are_averaged():
    # 4/5, 3/4, 2/3, 1/2: their product is 1/5.
    assert bleu("a b c d e".split(), "a b c d f".split()) == pytest.approx(0.2**0.25, abs=1e-12)


def test_a_word_counts_as_often_as_the_reference_has_it():
    assert bleu("a a a".split(), ["a"]) == pytest.approx(1 / 3)


def test_a_short_text_is_penalised():
    assert bleu(["a"], ["a", "b"]) == pytest.approx(math.exp(-1))


def test_a_long_text_is_not_penalised_twice():
    # 4/8, 3/7, 2/6, 1/5 and no brevity penalty.
    expected = (4 / 8 * 3 / 7 * 2 / 6 * 1 / 5) ** 0.25
    assert bleu("a b c d v x y z".split(), "a b c d".split()) == pytest.approx(expected)


def test_equal_texts_score_one_however_short():
    for words in (["a"], ["a", "b"], list("abcdefgh")):
        assert bleu(words, words) == pytest.approx(1, abs=1e-12)


def test_nothing_in_common_or_no_text_scores_zero():
    assert bleu(["a"], ["b"]) == bleu([], ["b"]) == bleu(["a"], []) == 0
    assert bleu("a b c d".split(), "d c b a".split()) == 0  # no pair in common, no smoothing


def test_six_tenths_of_a_text_pass_one_half_and_less_does_not():
    words = [str(number) for number in range(100)]
    assert bleu(words[:60], words) == pytest.approx(math.exp(1 - 100 / 60))
    assert bleu(words[:60], words) > 0.5 > bleu(words[:59], words)
