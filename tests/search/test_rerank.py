"""A run scored again: which documents, in which order, and what is refused."""

import numpy as np
import pytest

from tart_jax import io
from tart_jax.data import corpus, lookup
from tart_jax.encode.meter import Meter
from tart_jax.search.rerank import (
    Candidates,
    Reranking,
    check,
    read_candidates,
    rerank,
    scaled,
)
from tart_jax.search.scorer import CrossScorer
from tart_jax.types import InputError, Query, ScoredDocument


@pytest.fixture(scope="module")
def documents(tiny_corpus):
    return lookup.of_corpus(tiny_corpus)


@pytest.fixture(scope="module")
def texts(tiny_corpus):
    return {document.doc_id: document for document in corpus.read_documents(tiny_corpus)}


@pytest.fixture(scope="module")
def queries(tiny_corpus):
    found = {query.query_id: query for query in corpus.read_queries(tiny_corpus)}
    return found | {"q1": Query("q1", "where is the elm", "find a tree")}


@pytest.fixture(scope="module")
def run():
    """Five queries with 6 hits each, but for one with 2."""
    rng = np.random.default_rng(0)
    return [
        Candidates(
            f"q{number}",
            [
                ScoredDocument(f"d{doc}", 10.0 - place / 4)
                for place, doc in enumerate(rng.permutation(20)[: 2 if number == 3 else 6])
            ],
        )
        for number in range(5)
    ]


@pytest.fixture(scope="module")
def scorer(tiny_cross):
    return CrossScorer(tiny_cross, max_length=48, tokens_per_batch=512)


class Fixed:
    """A scorer of given numbers; `seen` are the pairs it was asked for, call by call."""

    def __init__(self, score):
        self.max_length, self.meter, self.seen, self._score = 512, Meter("pairs"), [], score

    def score(self, pairs):
        self.seen.append(list(pairs))
        return np.array([self._score(*pair) for pair in pairs], np.float32)


def reranked(scorer, run, queries, documents, block_size=16, **options):
    blocks = rerank(scorer, run, queries, documents, Reranking(**options), block_size=block_size)
    return [found for block in blocks for found in block]


def brute_force(scorer, run, queries, texts, k):
    """Each pair scored by itself."""
    found = []
    for query_id, hits in run:
        query = queries[query_id]
        asked = f"{query.instruction} [SEP] {query.text}" if query.instruction else query.text
        scores = {
            hit.doc_id: scorer.score([(asked, texts[hit.doc_id].contents())])[0] for hit in hits[:k]
        }
        found.append((query_id, sorted(scores, key=lambda name: -scores[name]), scores))
    return found


def agrees(found, expected):
    assert [query_id for query_id, _ in found] == [query_id for query_id, *_ in expected]
    for (_, hits), (_, order, scores) in zip(found, expected, strict=True):
        assert [hit.doc_id for hit in hits] == order
        # Padding changes the order of float32 sums.
        np.testing.assert_allclose(
            [hit.score for hit in hits], [scores[name] for name in order], rtol=1e-5, atol=1e-5
        )


def test_the_ranking_is_that_of_every_pair_scored_alone(scorer, run, queries, documents, texts):
    found = reranked(scorer, run, queries, documents, k=4)
    agrees(found, brute_force(scorer, run, queries, texts, 4))
    assert [len(hits) for _, hits in found] == [4, 4, 4, 2, 4]
    assert found != [Candidates(query_id, hits[:4]) for query_id, hits in run]


@pytest.mark.parametrize("broken", ["instruction", "order", "separator", "documents", "k"])
def test_the_comparison_fails_for_a_broken_twin(scorer, run, queries, documents, texts, broken):
    options = {
        "instruction": {"instruction": ""},
        "order": {"order": "query_first"},
        "separator": {"separator": "a"},
        "documents": {},
        "k": {"k": 5},
    }[broken]
    if broken == "documents":  # positions taken for ids, shifted by one
        texts = {f"d{number}": texts[f"d{(number + 1) % 20}"] for number in range(20)}
    found = reranked(scorer, run, queries, documents, **{"k": 4} | options)
    with pytest.raises(AssertionError):
        agrees(found, brute_force(scorer, run, queries, texts, 4))


def test_blocks_change_nothing(scorer, run, queries, documents):
    whole = reranked(scorer, run, queries, documents)
    for block_size in (1, 2, 5):
        parts = reranked(scorer, run, queries, documents, block_size=block_size)
        assert [[hit.doc_id for hit in hits] for _, hits in parts] == [
            [hit.doc_id for hit in hits] for _, hits in whole
        ]


def test_no_more_than_a_block_is_read_ahead(run, queries, documents, monkeypatch):
    """What memory holds: the queries, and the texts, of one block."""
    drawn, fetched = [], []
    many = documents.many
    monkeypatch.setattr(documents, "many", lambda ids: (fetched.append(len(ids)), many(ids))[1])
    stream = (drawn.append(found) or found for found in run)
    scorer = Fixed(lambda query, text: 0)
    blocks = rerank(scorer, stream, queries, documents, Reranking(k=3), block_size=2)
    for expected in (2, 4, 5):
        next(blocks)
        assert len(drawn) == expected
    assert max(fetched) <= 6 and list(map(len, scorer.seen)) == [6, 5, 3]


def test_an_instruction_for_all_wins_over_the_queries_own(run, queries, documents):
    def asked(**options):
        scorer = Fixed(lambda query, text: 0)
        reranked(scorer, run[:2], queries, documents, k=1, **options)
        return [query for query, _ in scorer.seen[0]]

    assert asked() == ["where is the oak", "find a tree [SEP] where is the elm"]
    assert asked(instruction="") == ["where is the oak", "where is the elm"]
    assert asked(instruction="find", order="query_first", separator="|") == [
        "where is the oak | find",
        "where is the elm | find",
    ]


def test_documents_are_read_with_their_titles(queries, documents, texts):
    scorer = Fixed(lambda query, text: 0)
    hits = [ScoredDocument("d1", 2.0), ScoredDocument("d2", 1.0)]
    reranked(scorer, [Candidates("q0", hits)], queries, documents)
    assert [text for _, text in scorer.seen[0]] == [f"elm {texts['d1'].text}", texts["d2"].text]


def test_equal_scores_keep_the_order_of_the_first_stage(run, queries, documents):
    scorer = Fixed(lambda query, text: len(text.split()) % 2)
    for (_, hits), (_, before) in zip(reranked(scorer, run, queries, documents), run, strict=True):
        places = [[hit.doc_id for hit in before].index(hit.doc_id) for hit in hits]
        odd = sum(hit.score for hit in hits)
        assert places == sorted(places[: int(odd)]) + sorted(places[int(odd) :])


def test_scores_a_float32_step_apart_are_told_apart(queries, documents):
    """Softmax over two logits would make both 1."""
    near = {"d1": np.float32(20), "d3": np.nextafter(np.float32(20), np.float32(21))}
    scorer = Fixed(lambda query, text: near["d3" if "fir" in text else "d1"])
    hits = [ScoredDocument("d1", 2.0), ScoredDocument("d3", 1.0)]
    [(query_id, found)] = reranked(scorer, [Candidates("q0", hits)], queries, documents)
    assert [hit.doc_id for hit in found] == ["d3", "d1"]
    scores = [float(line.split()[4]) for line in io.run_lines(query_id, found, "t")]
    assert np.float32(scores[0]) > np.float32(scores[1])


def test_interpolation_is_of_both_scaled_to_one(queries, documents):
    words = {"oak": 3.0, "elm": 1.0, "fir": 2.0}
    scorer = Fixed(lambda query, text: next(words[w] for w in words if w in text))
    hits = [ScoredDocument("d1", 8.0), ScoredDocument("d3", 7.0), ScoredDocument("d0", 4.0)]

    def mixed(weight):
        (found,) = reranked(
            scorer, [Candidates("q0", hits)], queries, documents, interpolation=weight
        )
        return [(hit.doc_id, pytest.approx(hit.score)) for hit in found.hits]

    # scaled: first stage 1, 3/4, 0; reranker 0, 1/2, 1
    assert mixed(0.4) == [("d3", 0.65), ("d1", 0.6), ("d0", 0.4)]
    assert mixed(0.0) == [("d1", 1), ("d3", 0.75), ("d0", 0)]
    assert mixed(1.0) == [("d0", 1), ("d3", 0.5), ("d1", 0)]
    assert mixed(None) == [("d0", 3), ("d3", 2), ("d1", 1)]
    np.testing.assert_array_equal(scaled(np.array([2.0, 2.0])), [0, 0])
    assert scaled(np.array([])).shape == (0,)


def test_no_queries_give_no_blocks(scorer, queries, documents):
    assert reranked(scorer, [], queries, documents) == []


def write(path, rows):
    path.write_text("".join(f"{query} Q0 {doc} 1 {score} t\n" for query, doc, score in rows))
    return path


def test_the_best_of_a_run_are_by_score_and_then_by_line(tmp_path):
    rows = [("q", "a", 1.0), ("q", "b", 3.0), ("q", "c", 1.0), ("p", "a", 2.0)]
    path = write(tmp_path / "run.trec", rows)
    first, second = read_candidates(path, 3)
    assert first == ("q", [("b", 3.0), ("a", 1.0), ("c", 1.0)]) and second == ("p", [("a", 2.0)])
    assert [hit.doc_id for hit in next(read_candidates(path, 2)).hits] == ["b", "a"]


@pytest.mark.parametrize(
    "rows,said",
    [
        ([("q0", "d1", 1), ("q1", "d1", 1), ("q0", "d2", 1)], "'q0' comes twice, .* sort -s -k1,1"),
        ([("q0", "d1", 1), ("q0", "d1", 0)], "'q0' has a document twice"),
        ([("q0", "d1", "x")], "line 1 should be 'query Q0"),
        ([("q0", "d1", 1), ("q9", "d1", 1)], "query 'q9' is not among the 8 queries"),
        ([("q0", "d1", 1), ("q1", "x7", 1)], "document 'x7', a hit of query 'q1', is not in"),
        ([], "holds no hit"),
    ],
)
def test_a_run_that_cannot_be_reranked_is_refused(tmp_path, queries, documents, rows, said):
    with pytest.raises(InputError, match=said):
        check(write(tmp_path / "run.trec", rows), 5, queries, documents)


def test_only_the_hits_that_are_reranked_must_be_there(tmp_path, queries, documents):
    path = write(tmp_path / "run.trec", [("q0", "d1", 2), ("q0", "gone", 1)])
    assert check(path, 1, queries, documents) == 1


def test_unknown_queries_and_documents_are_refused_by_name(queries, documents):
    scorer = Fixed(lambda query, text: 0)
    hit = [ScoredDocument("d1", 1.0)]
    with pytest.raises(InputError, match="query 'q9' is not among"):
        reranked(scorer, [Candidates("q9", hit)], queries, documents)
    with pytest.raises(InputError, match="document 'no', a hit of query 'q1'"):
        reranked(scorer, [Candidates("q1", [ScoredDocument("no", 1.0)])], queries, documents)


def test_scores_that_are_no_numbers_are_refused(run, queries, documents):
    with pytest.raises(InputError, match="query 'q0', document 'd4': .* should be finite"):
        reranked(Fixed(lambda query, text: np.nan), run, queries, documents)


@pytest.mark.parametrize(
    "options,said",
    [({"k": 0}, "k 0 is not positive"), ({"interpolation": 1.5}, "interpolation 1.5 is not")],
)
def test_options_beyond_their_range_are_refused(options, said):
    with pytest.raises(InputError, match=said):
        Reranking(**options)


def test_a_block_of_no_queries_is_refused(scorer, run, queries, documents):
    with pytest.raises(InputError, match="block_size 0 is not positive"):
        reranked(scorer, run, queries, documents, block_size=0)
