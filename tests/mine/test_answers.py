"""Answers in passages, as DPR's code finds them."""

import pytest

from tart_jax.mine.answers import Answers, tokens


@pytest.mark.parametrize(
    "text,answer,held",
    [
        ("He was born in New York City.", "new york", True),
        ("He was born in New, York", "new york", False),  # the comma is a token
        ("The Yorkshire moors", "york", False),  # tokens, not letters
        ("Caf\u00e9 de Flore", "cafe\u0301 de flore", True),  # composed or not, by NFD
        ("Cafe de Flore", "caf\u00e9", False),  # a mark is part of its word
        ("in 1,642 or so", "1,642", True),
        ("in 1642", "1,642", False),
        ("the U.S. Navy", "u.s.", True),
        ("a b a c", "a c", True),
        ("anything", "", False),
        ("", "anything", False),
        ("x", "x y", False),
    ],
)
def test_an_answer_is_held_where_its_tokens_follow_each_other(text, answer, held):
    assert Answers([answer]).held_by(text) == held


def test_any_of_several_answers_will_do():
    assert Answers(["elm", "oak"]).held_by("an oak") and not Answers(["elm", "yew"]).held_by("oak")
    assert not Answers([]).held_by("oak")


def test_words_are_runs_of_letters_numbers_and_marks():
    assert tokens("it's 3\u00a0km\u2009(2 mi)") == [
        "it", "'", "s", "3", "km", "(", "2", "mi", ")"
    ]  # fmt: skip
