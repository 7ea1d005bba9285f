"""Rules of hard negatives: windows, margins, repeats, draws."""

from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tart_jax.mine.negatives import Known, Rules, allowed, choose, in_window
from tart_jax.types import Document, InputError, ScoredDocument

SCORES = st.lists(st.floats(-5, 5, width=32), max_size=30).map(
    lambda values: sorted(values, reverse=True)
)


def ranked(scores):
    return [ScoredDocument(f"d{place}", score) for place, score in enumerate(scores)]


@settings(max_examples=200, deadline=None)
@given(
    SCORES,
    st.integers(1, 10),
    st.integers(0, 20),
    st.none() | st.floats(-5, 5),
    st.none() | st.floats(-5, 5),
    st.none() | st.floats(0, 2),
    st.none() | st.floats(0, 0.9),
    st.lists(st.floats(-5, 5), max_size=3),
)
def test_what_is_kept_stands_in_the_window_and_below_the_margins(
    scores, first, more, low, high, absolute, relative, positives
):
    rules = Rules(first, first + more, low, high, absolute, relative)
    drops = Counter()
    hits = ranked(scores)
    kept = in_window(hits, rules, positives, drops)
    assert len(kept) + drops.total() == len(hits)
    free = [
        hit
        for hit in hits
        if (low is None or hit.score >= low)
        and (high is None or hit.score <= high)
        and all(absolute is None or hit.score <= positive - absolute for positive in positives)
        and all(
            relative is None or hit.score <= positive - abs(positive) * relative
            for positive in positives
        )
    ]
    assert kept == free[first - 1 : first + more]


def test_a_relative_margin_lowers_the_ceiling_of_negative_scores_too():
    rules = Rules(relative_margin=0.1)
    assert rules.ceiling([2.0]) == pytest.approx(1.8)
    assert rules.ceiling([-2.0]) == pytest.approx(-2.2)  # -2 * 0.9 would stand above the positive
    assert rules.ceiling([2.0, 1.0]) == pytest.approx(0.9)


KNOWN = Known(
    "who painted the night watch",
    [Document("p", "Rembrandt painted The Night Watch in 1642 for the civic guard", "Night Watch")],
    0.8,
)


@pytest.mark.parametrize(
    "document,why",
    [
        (Document("p", "another text under the id of the positive"), "positive"),
        (
            Document("x", "rembrandt  painted THE night watch in 1642 for the civic guard"),
            "positive",
        ),
        (Document("x", "Who painted the Night Watch"), "positive"),
        (
            Document("x", "Rembrandt painted The Night Watch in 1642 for the civic guard!"),
            "near duplicate",
        ),
        (
            Document("x", "1642: Rembrandt painted The Night Watch in 1642 for the civic guard"),
            "near duplicate",
        ),
        (Document("x", "Rembrandt was born in Leiden"), ""),
    ],
)
def test_no_candidate_repeats_an_answer_or_the_query(document, why):
    assert KNOWN.repeats(document) == why


def test_held_out_answering_and_repeated_texts_are_counted_out():
    texts = {
        "a": Document("a", "held"),
        "b": Document("b", "has the answer"),
        "c": Document("c", "fine"),
        "d": Document("d", "Fine"),
        "p": Document("p", "x"),
    }
    drops = Counter()
    kept = allowed(
        [ScoredDocument(name, 1.0) for name in "abcdp"],
        texts,
        KNOWN,
        drops,
        held_out=lambda document: document.text == "held",
        answers=lambda text: "answer" in text,
    )
    assert [hit.doc_id for hit in kept] == ["c"]
    assert drops == {
        "held out": 1, "holds the answer": 1, "same text twice": 1, "positive": 1
    }  # fmt: skip


def test_a_draw_is_a_function_of_seed_and_query():
    hits, drops = ranked([float(-n) for n in range(40)]), Counter()
    rules = Rules(count=6, sampling="random")
    first = choose(hits, rules, 0, "q", drops)
    assert first == choose(hits, rules, 0, "q", Counter()) and len(set(first)) == 6
    assert drops["over count"] == 34
    assert first != choose(hits, rules, 1, "q", drops) != choose(hits, rules, 0, "r", drops)
    top = choose(hits, Rules(count=6), 0, "q", drops)
    assert top == hits[:6]


def test_a_negative_count_is_refused():
    with pytest.raises(InputError, match="count -1"):
        Rules(count=-1)
