"""What holds of every mined example, whatever the corpus, the rules and the block size."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tart_jax.data.duplicates import jaccard, shingles, words
from tart_jax.data.examples import TrainingExample
from tart_jax.data.lookup import ById
from tart_jax.data.splits import text_hash
from tart_jax.mine import negatives
from tart_jax.mine.miner import Miner, Unfollowing
from tart_jax.mine.negatives import Rules
from tart_jax.types import Document, ScoredDocument

# Few words and short texts, so that equal texts and near copies are common.
texts = st.lists(st.sampled_from("ab"), min_size=1, max_size=5).map(" ".join)
bounds = st.none() | st.floats(-1, 1)
margins = st.none() | st.floats(0, 1)


rules = st.fixed_dictionaries(
    {
        "first_rank": st.integers(1, 4),
        "last_rank": st.integers(4, 12),
        "min_score": bounds,
        "max_score": bounds,
        "absolute_margin": margins,
        "relative_margin": margins,
        "count": st.integers(0, 5),
        "sampling": st.sampled_from(negatives.SAMPLINGS),
        "near_duplicate": st.none() | st.sampled_from([0.5, 0.8, 1.0]),
    }
)
corpus = st.lists(texts, min_size=3, max_size=12)


def documents_of(task, rows):
    return [Document(f"{task}{n}", text) for n, text in enumerate(rows)]


def example_of(number, query, documents, first):
    """An example whose positive is document `first` (around), with the two after it beside it."""
    near = [documents[(first + step) % len(documents)] for step in range(3)]
    return TrainingExample(
        task="own", query_id=f"q{number}", query=query,
        positives=tuple(near[:1]), negatives=tuple(near[1:]),
    )  # fmt: skip


def finder(documents, salt):
    """Scores from -1 to 1 that depend on the query and the document alone, many of them equal."""

    def score(query, document):
        return (text_hash(f"{salt} {query.query_id} {document.doc_id}") % 9 - 4) / 4

    def find(task, queries, k):
        found = []
        for query in queries:
            hits = [ScoredDocument(d.doc_id, score(query, d)) for d in documents[task]]
            found.append(sorted(hits, key=lambda hit: -hit.score)[:k])
        return found

    return find


def mine(documents, examples, rule, *, salt, size):
    def by_id(task):
        rows = documents[task]
        return ById([d.doc_id for d in rows], lambda places: {p: rows[p] for p in places}, task)

    miner = Miner(
        finder(documents, salt), by_id, rule, table={},
        unfollowing=Unfollowing({"own": ("other",)}, k=4, share=0.4), seed=salt,
    )  # fmt: skip
    return [
        record
        for begin in range(0, len(examples), size)
        for record in miner.mine("own", examples[begin : begin + size])
    ]


def repeats(text, known, threshold):
    return text_hash(text) == text_hash(known) or (
        threshold is not None
        and jaccard(shingles(words(text)), shingles(words(known))) >= threshold
    )


def check(record, documents, example, rule, salt):
    """Every promise of `Rules`, written out again from their sentences."""
    (hits,) = finder(documents, salt)("own", [example], 1000)
    scores = {hit.doc_id: hit.score for hit in hits}
    positives = {d.doc_id for d in example.positives}
    hard = [d["doc_id"] for d in record["hard_negatives"]]
    wrong = [d["doc_id"] for d in record["unfollowing_negatives"]]
    plain = [d["doc_id"] for d in record["negatives"]]
    every = hard + wrong + plain
    assert len(set(every)) == len(every) and not positives & set(every)
    assert len(hard) <= rule.count
    assert all(doc_id.startswith("other") for doc_id in wrong)
    assert len(wrong) <= 0.4 * len(every) + 1e-9
    text = {d.doc_id: d.text for rows in documents.values() for d in rows}
    for doc_id in hard + wrong:
        known = [example.query, *(d.text for d in example.positives)]
        assert not any(repeats(text[doc_id], each, rule.near_duplicate) for each in known)
    ceiling = rule.ceiling([scores[doc_id] for doc_id in positives])
    lower = -2 if rule.min_score is None else rule.min_score
    upper = 2 if rule.max_score is None else rule.max_score
    left = [
        hit.doc_id for hit in hits
        if hit.doc_id not in positives and lower <= hit.score <= min(upper, ceiling)
    ]  # fmt: skip
    window = left[rule.first_rank - 1 : rule.last_rank]
    assert set(hard) <= set(window)


@settings(max_examples=100, deadline=None)
@given(
    own=corpus,
    other=corpus,
    asked=st.lists(st.tuples(texts, st.integers(0, 11)), min_size=1, max_size=5),
    rule=rules,
    size=st.integers(1, 5),
    salt=st.integers(0, 9),
)
def test_every_mined_negative_keeps_every_rule_at_any_block_size(
    own, other, asked, rule, size, salt
):
    documents = {"own": documents_of("own", own), "other": documents_of("other", other)}
    examples = [example_of(n, q, documents["own"], first) for n, (q, first) in enumerate(asked)]
    rule = Rules(**rule)
    mined = mine(documents, examples, rule, salt=salt, size=size)
    for record, example in zip(mined, examples, strict=True):
        check(record, documents, example, rule, salt)
    assert mined == mine(documents, examples, rule, salt=salt, size=len(examples))


@pytest.mark.parametrize("broken", ["repeats", "in_window"])
def test_the_check_fails_where_a_rule_is_not_kept(broken, monkeypatch):
    """The broken twins: a miner that lets positives' copies through, one that knows no window."""
    own = documents_of("own", ["a b"] * 6 + [f"a {n}" for n in range(6)])
    documents = {"own": own, "other": documents_of("other", ["b b b"])}
    example = TrainingExample(task="own", query_id="q", query="b a", positives=tuple(own[:1]))
    rule = Rules(first_rank=11, last_rank=11, count=5) if broken == "in_window" else Rules(count=5)
    (record,) = mine(documents, [example], rule, salt=0, size=1)
    check(record, documents, example, rule, 0)
    if broken == "repeats":
        monkeypatch.setattr(negatives.Known, "repeats", lambda self, document: "")
    else:
        monkeypatch.setattr(negatives, "in_window", lambda hits, *_: list(hits))
    (record,) = mine(documents, [example], rule, salt=0, size=1)
    with pytest.raises(AssertionError):
        check(record, documents, example, rule, 0)
