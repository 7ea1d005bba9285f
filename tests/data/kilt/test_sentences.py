"""Sentence ends by rule."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tart_jax.data.kilt.sentences import count_tokens, sentences


def split(text: str, begin: int = 0) -> list[str]:
    return [text[start:end] for start, end in sentences(text, begin)]


@pytest.mark.parametrize(
    "text,expected",
    [
        ("It rains. It pours.", ["It rains.", "It pours."]),
        ("Is it? Yes! Good.", ["Is it?", "Yes!", "Good."]),
        ('He said "go." Then he left.', ['He said "go."', "Then he left."]),
        ("Dr. Smith met J. R. Smith in St. Ives.", ["Dr. Smith met J. R. Smith in St. Ives."]),
        ("The U.S. Army left. It went home.", ["The U.S. Army left.", "It went home."]),
        ("See e.g. Trinity and cf. Oak.", ["See e.g. Trinity and cf. Oak."]),
        ("It cost 3.5 million. in all", ["It cost 3.5 million. in all"]),
        ("So did I. Then came he.", ["So did I.", "Then came he."]),
        ("Ends. 1984 begins.", ["Ends.", "1984 begins."]),
        ("no stop at all", ["no stop at all"]),
        ("  \n", []),
        ("", []),
    ],
)
def test_sentences_end_where_a_reader_would_end_them(text, expected):
    assert split(text) == expected


def test_what_stands_before_begin_is_left_out():
    assert split("BULLET::::- One. Two.", 12) == ["One.", "Two."]


@given(st.text(alphabet="aB. !?\"') \n1é東", max_size=60))
def test_sentences_hold_all_words_in_order(text):
    assert " ".join(split(text)).split() == text.split()


def test_tokens_are_words_and_marks():
    assert count_tokens("An oak, is a (tree).") == 9
    assert count_tokens(" ") == 0
