"""The query of an item, by the form of its task."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tart_jax.data.kilt.queries import Forms, window
from tart_jax.types import InputError

TEXT = "a b c d [START_ENT] Big Apple [END_ENT] e f g h"


def mention(words: int, text: str = TEXT) -> str:
    return Forms(mention_words=words).query(text, "mention", "f: line 1")


@pytest.mark.parametrize(
    "text,suffix,expected",
    [
        ("who is it", "", "who is it"),
        ("who is it ", "?", "who is it?"),
        ("who is it?", "?", "who is it?"),
        ("who is it?", "", "who is it?"),
    ],
)
def test_a_question_ends_in_the_suffix_once(text, suffix, expected):
    assert Forms(question_suffix=suffix).query(text, "question", "") == expected
    assert Forms(question_suffix=suffix).query(text, "claim", "") == text.strip()


def test_a_slot_query_is_subject_separator_relation():
    assert Forms().query("Oak [SEP] height", "slot", "") == "Oak [SEP] height"
    assert Forms(slot_separator="</s>").query("Oak [SEP] height", "slot", "") == "Oak </s> height"


@pytest.mark.parametrize("text", ["Oak height", "[SEP] height", "Oak [SEP] "])
def test_a_slot_query_without_both_sides_is_refused(text):
    with pytest.raises(
        InputError, match=r"f: line 3: 'input' should be 'subject \[SEP\] relation'"
    ):
        Forms().query(text, "slot", "f: line 3")


@pytest.mark.parametrize(
    "words,expected",
    [
        (0, TEXT),
        (100, TEXT),
        (12, TEXT),
        (11, "a b c d [START_ENT] Big Apple [END_ENT] e f g"),
        (8, "c d [START_ENT] Big Apple [END_ENT] e f"),
        (7, "c d [START_ENT] Big Apple [END_ENT] e"),
        (4, "[START_ENT] Big Apple [END_ENT]"),
        (1, "[START_ENT] Big Apple [END_ENT]"),  # a mention is never cut
    ],
)
def test_a_mention_keeps_the_words_about_it(words, expected):
    assert mention(words) == expected


def test_at_an_edge_the_other_side_gets_the_room():
    assert mention(6, "[START_ENT] A [END_ENT] e f g h") == "[START_ENT] A [END_ENT] e f g"
    assert mention(6, "a b c d [START_ENT] A [END_ENT]") == "b c d [START_ENT] A [END_ENT]"
    assert mention(8, "a [START_ENT] A [END_ENT] e f g h") == "a [START_ENT] A [END_ENT] e f g h"


@given(st.integers(0, 12), st.integers(0, 12), st.integers(-3, 30))
def test_a_window_is_full_where_there_are_words_enough(before, after, room):
    left, right = [f"l{i}" for i in range(before)], [f"r{i}" for i in range(after)]
    kept_left, kept_right = window(left, right, room)
    assert len(kept_left) + len(kept_right) == min(max(room, 0), before + after)
    assert kept_left == left[before - len(kept_left) :] and kept_right == right[: len(kept_right)]
    if len(kept_left) < before and len(kept_right) < after:
        assert 0 <= len(kept_left) - len(kept_right) <= 1


def test_marks_are_put_in_place_of_kilts():
    forms = Forms(mention_marks=("<m>", "</m>"))
    assert forms.query("x [START_ENT] A [END_ENT] y", "mention", "") == "x <m> A </m> y"


@pytest.mark.parametrize(
    "text",
    ["A B", "[START_ENT] A", "[END_ENT] A [START_ENT]", "[START_ENT]  [END_ENT]",
     "[START_ENT] A [END_ENT] [START_ENT] B [END_ENT]"],
)  # fmt: skip
def test_a_mention_that_is_not_marked_once_is_refused(text):
    with pytest.raises(InputError, match="f: line 2: 'input' should hold one"):
        Forms().query(text, "mention", "f: line 2")


def test_a_dialogue_keeps_its_last_turns():
    text = "Hello\nI like oaks \n\nWhy?"
    assert Forms().query(text, "dialogue", "") == "Hello\nI like oaks\nWhy?"
    last = Forms(dialogue_turns=2, turn_separator=" [SEP] ")
    assert last.query(text, "dialogue", "") == "I like oaks [SEP] Why?"
