"""One rule for all: the same text is on the same side always, and shares are as stated."""

from collections import Counter

import pytest

from tart_jax.data.splits import HeldOutTexts, split_of, text_hash


def test_queries_are_divided_70_10_20():
    counts = Counter(split_of(f"query number {number}") for number in range(20_000))
    shares = {name: count / 20_000 for name, count in counts.items()}
    # Three standard deviations of a share of 0.7 over 20,000 draws are 0.0097.
    assert shares == pytest.approx({"train": 0.7, "dev": 0.1, "test": 0.2}, abs=0.01)


def test_the_side_of_a_query_is_the_same_whatever_its_case_and_spaces():
    for number in range(200):
        assert split_of(f"Query  {number} \n") == split_of(f"query {number}")
    assert len({split_of(f"query {number}") for number in range(200)}) == 3  # the twin


def test_a_split_once_published_never_changes():
    assert [split_of(text) for text in ("a", "b", "c", "d", "e", "f")] == [
        *("train", "train", "train", "train", "train", "test")
    ]


def test_held_out_texts_are_told_from_others_and_by_task():
    texts = HeldOutTexts()
    texts.add(["The oak.", "An elm"], "trees")
    assert len(texts) == 2
    assert texts.holds("the  OAK.") and not texts.holds("the oak")
    assert not texts.holds("The oak.", but="trees") and texts.holds("The oak.", but="herbs")
    texts.add(["the oak."], "herbs")
    assert texts.holds("The oak.", but="trees")
    assert text_hash("An elm") == text_hash(" an ELM")
