"""Measures: trec_eval's own expected outputs, its tie rule, and what is counted."""

import math

import numpy as np
import pytest

from tart_jax.evaluate.measures import OFFERED, evaluate, parse
from tart_jax.types import InputError, ScoredDocument

CUTS = (5, 10, 15, 20, 30, 100, 200, 500, 1000)
# Our measure -> trec_eval's line; MRR@k has none and is tested below.
NAMES = {"nDCG": "ndcg", "MAP": "map", "MRR": "recip_rank", "R-precision": "Rprec"}
NAMES |= {f"nDCG@{k}": f"ndcg_cut_{k}" for k in CUTS}
NAMES |= {f"MAP@{k}": f"map_cut_{k}" for k in CUTS}
NAMES |= {f"Recall@{k}": f"recall_{k}" for k in CUTS}
NAMES |= {f"P@{k}": f"P_{k}" for k in CUTS}
NAMES |= {f"Success@{k}": f"success_{k}" for k in (1, 5, 10)}


@pytest.fixture(scope="module")
def fixtures(test_data):
    return test_data / "runs" / "trec_eval_fixtures"


def expected(path):
    """(measure, query or all) -> the printed figure."""
    rows = (line.split() for line in path.read_text().splitlines())
    return {(row[0], row[1]): row[2] for row in rows if len(row) == 3}


def trec_qrels(path):
    qrels = {}
    for line in path.read_text().splitlines():
        query_id, _, doc_id, relevance = line.split()
        qrels.setdefault(query_id, {})[doc_id] = int(relevance)
    return qrels


def trec_run(path):
    run = {}
    for line in path.read_text().splitlines():
        query_id, _, doc_id, _, score = line.split()[:5]  # results.trunc has words after the tag
        run.setdefault(query_id, []).append(ScoredDocument(doc_id, float(score)))
    return run


def compared(figures, evaluation):
    """(agreeing, differing) lines of trec_eval, to the four digits it prints."""
    same, other = [], []
    for ours, theirs in NAMES.items():
        values = {**evaluation.per_query[ours], "all": evaluation.mean[ours]}
        for query_id, value in values.items():
            if (theirs, query_id) in figures:
                agrees = f"{value:.4f}" == figures[theirs, query_id]
                (same if agrees else other).append((ours, query_id))
    return same, other


@pytest.mark.parametrize(
    "output,run,qrels,complete,lines",
    [
        ("out.test", "results.test", "qrels.test", False, 12),
        ("out.test.a", "results.test", "qrels.test", False, 43),
        ("out.test.aq", "results.test", "qrels.test", False, 172),
        ("out.test.aqc", "results.trunc", "qrels.test", True, 172),
    ],
)
def test_trec_evals_own_outputs_are_reproduced(fixtures, output, run, qrels, complete, lines):
    evaluation = evaluate(
        trec_run(fixtures / run),
        trec_qrels(fixtures / qrels),
        tuple(NAMES),
        drop_self=False,
        complete=complete,
    )
    same, other = compared(expected(fixtures / output), evaluation)
    assert other == []
    assert len(same) >= lines


def test_the_comparison_fails_where_the_order_of_the_file_counts(fixtures):
    """The broken twin: trec_eval sorts by score, whatever the order."""
    run = {
        query_id: [hit._replace(score=-float(place)) for place, hit in enumerate(hits)]
        for query_id, hits in trec_run(fixtures / "results.test").items()
    }
    qrels = trec_qrels(fixtures / "qrels.test")
    evaluation = evaluate(run, qrels, tuple(NAMES), drop_self=False, complete=False)
    assert compared(expected(fixtures / "out.test.aq"), evaluation)[1]


def test_missing_queries_count_zero_only_where_complete(fixtures):
    run = trec_run(fixtures / "results.trunc")
    qrels = trec_qrels(fixtures / "qrels.test")
    with_c = evaluate(run, qrels, ["MAP"])
    without = evaluate(run, qrels, ["MAP"], complete=False)
    assert with_c.missing == without.missing == len(set(qrels) - set(run)) > 0
    assert len(with_c.per_query["MAP"]) == len(qrels)
    assert set(without.per_query["MAP"]) == set(run)
    assert with_c.mean["MAP"] * len(qrels) == pytest.approx(without.mean["MAP"] * len(run))


def hits(*pairs):
    return [ScoredDocument(doc_id, score) for doc_id, score in pairs]


def test_ties_are_broken_by_document_id_descending_whatever_the_order():
    qrels = {"q": {"b": 1}}
    for order in (("a", "b"), ("b", "a")):
        run = {"q": hits(*((doc_id, 1.0) for doc_id in order))}
        assert evaluate(run, qrels, ["MRR"]).mean["MRR"] == 1.0
    assert evaluate({"q": hits(("b", 1.0), ("c", 1.0))}, qrels, ["MRR"]).mean["MRR"] == 0.5


def test_scores_are_equal_where_their_float32_are():
    qrels = {"q": {"a": 1}}
    run = {"q": hits(("a", 1.0 + 1e-9), ("b", 1.0))}
    evaluation = evaluate(run, qrels, ["P@1", "MRR"])
    assert evaluation.mean == {"P@1": 0.0, "MRR": 0.5}
    assert evaluation.ties == {"P@1": 1}
    apart = {"q": hits(("a", 1.0 + 1e-6), ("b", 1.0))}
    assert evaluate(apart, qrels, ["P@1"]).mean["P@1"] == 1.0


def test_ties_are_counted_only_across_the_cutoff():
    qrels = {"p": {"a": 1}, "q": {"a": 1}, "r": {"a": 1}}
    run = {
        "p": hits(("a", 3.0), ("b", 2.0), ("c", 2.0)),
        "q": hits(("a", 3.0), ("b", 3.0), ("c", 1.0)),
        "r": hits(("a", 3.0)),
    }
    assert evaluate(run, qrels, ["P@1", "P@2", "P@3", "MAP"]).ties == {"P@1": 1, "P@2": 1, "P@3": 0}


def test_mrr_at_k_is_zero_below_the_cutoff():
    documents = [f"d{number:02}" for number in range(60)]
    run = {"q": hits(*((doc_id, -float(rank)) for rank, doc_id in enumerate(documents)))}
    for rank, doc_id in enumerate(documents, 1):
        scores = evaluate(run, {"q": {doc_id: 1}}, ["MRR@10", "MRR@49", "MRR"]).mean
        assert scores["MRR"] == pytest.approx(1 / rank, rel=1e-12)
        assert scores["MRR@10"] == (scores["MRR"] if rank <= 10 else 0)
        assert scores["MRR@49"] == (scores["MRR"] if rank <= 49 else 0)


def test_the_query_itself_is_removed_and_counted():
    run = {"q": hits(("q", 9.0), ("a", 1.0))}
    kept = evaluate(run, {"q": {"a": 1}}, ["P@1"], drop_self=False)
    dropped = evaluate(run, {"q": {"a": 1}}, ["P@1"])
    assert (kept.mean["P@1"], kept.dropped_self) == (0.0, 0)
    assert (dropped.mean["P@1"], dropped.dropped_self) == (1.0, 1)


def test_a_query_whose_only_hit_was_itself_scores_zero():
    evaluation = evaluate({"q": hits(("q", 9.0))}, {"q": {"a": 1}}, ["nDCG@10"])
    assert evaluation.mean["nDCG@10"] == 0.0 and evaluation.missing == 0


def test_grades_are_the_gains_of_ndcg():
    run = {"q": hits(("a", 2.0), ("b", 1.0))}
    ideal = 3 + 1 / math.log2(3)
    got = evaluate(run, {"q": {"a": 1, "b": 3}}, ["nDCG@10"]).mean["nDCG@10"]
    assert got == pytest.approx((1 + 3 / math.log2(3)) / ideal, abs=1e-12)


@pytest.mark.parametrize(
    "name", ["nDCG@0", "ndcg@10", "NDCG@10", "nDCG@", "P", "R-precision@5", "nDCG@1.5", "", "map"]
)
def test_unknown_measures_are_refused_with_the_list(name):
    with pytest.raises(InputError, match=r"nDCG@k.*R-precision"):
        parse(name)


def test_every_measure_offered_is_known_to_the_binding():
    names = [name.replace("@k", "@3") for name in OFFERED]
    assert set(evaluate({"q": hits(("a", 1.0))}, {"q": {"a": 1}}, names).mean) == set(names)


def test_a_run_and_qrels_without_a_common_query_are_refused():
    with pytest.raises(InputError, match="no query in common .*'x', .*'q'"):
        evaluate({"x": hits(("a", 1.0))}, {"q": {"a": 1}}, ["MAP"])


def test_queries_without_judgements_are_left_out_and_counted():
    run = {"q": hits(("a", 1.0)), "x": hits(("a", 1.0))}
    evaluation = evaluate(run, {"q": {"a": 1}}, ["MAP"])
    assert evaluation.unjudged == 1 and set(evaluation.per_query["MAP"]) == {"q"}


def test_doubled_documents_and_scores_that_are_no_numbers_are_refused():
    with pytest.raises(InputError, match="'a' twice for query 'q'"):
        evaluate({"q": hits(("a", 1.0), ("a", 2.0))}, {"q": {"a": 1}}, ["MAP"])
    with pytest.raises(InputError, match="not finite for query 'q'"):
        evaluate({"q": hits(("a", math.nan))}, {"q": {"a": 1}}, ["MAP"])


def a_run(draw, queries=5, depth=20, documents=40):
    """Scores with many ties."""
    return {
        f"q{q}": [
            ScoredDocument(f"d{d}", float(draw.integers(0, 6)))
            for d in draw.permutation(documents)[:depth]
        ]
        for q in range(queries)
    }


def judgements(draw, queries=5, documents=40):
    return {
        f"q{q}": {f"d{d}": int(draw.integers(0, 3)) for d in draw.permutation(documents)[:12]}
        for q in range(queries)
    }


@pytest.mark.parametrize("k", [1, 5, 10, 30])
def test_the_hole_is_the_share_of_hits_that_nobody_judged(k):
    draw = np.random.default_rng(k)
    run, qrels = a_run(draw), judgements(draw)
    found = evaluate(run, qrels, (f"Hole@{k}", "nDCG@10")).per_query[f"Hole@{k}"]
    for query_id, hits in run.items():
        names = [hit.doc_id for hit in sorted(hits, key=lambda h: (-h.score, _reversed(h.doc_id)))]
        count = 0
        for name in names[:k]:
            if name not in qrels[query_id]:
                count += 1
        assert found[query_id] == pytest.approx(count / k)
    assert evaluate(run, {q: {} | j for q, j in qrels.items()}, ("Hole@5",)).missing == 0


def _reversed(name):
    """A key that sorts names the other way round."""
    return [-ord(letter) for letter in name] + [0]


def test_the_order_in_which_ties_stand_in_a_run_changes_nothing():
    draw = np.random.default_rng(0)
    run, qrels = a_run(draw), judgements(draw)
    measures = ("nDCG@10", "MAP", "MRR@10", "Hole@10", "R-precision")
    shuffled = {q: [hits[i] for i in draw.permutation(len(hits))] for q, hits in run.items()}
    assert evaluate(run, qrels, measures).per_query == evaluate(shuffled, qrels, measures).per_query


def test_unjudged_documents_below_all_others_change_the_hole_alone():
    draw = np.random.default_rng(1)
    run, qrels = a_run(draw), judgements(draw)
    more = {
        q: [*hits, *(ScoredDocument(f"new{i}", -1.0 - i) for i in range(9))]
        for q, hits in run.items()
    }
    measures = ("nDCG@10", "MAP", "MRR@10", "Recall@100")
    assert evaluate(more, qrels, measures).mean == evaluate(run, qrels, measures).mean
    hole = [evaluate(x, qrels, ("Hole@30",)).mean["Hole@30"] for x in (run, more)]
    assert hole[1] > hole[0]


def test_a_query_without_hits_scores_zero_everywhere():
    run = {"q0": [], "q1": [ScoredDocument("d1", 1.0)]}
    qrels = {"q0": {"d1": 1}, "q1": {"d1": 1}}
    found = evaluate(run, qrels, ("nDCG@10", "Hole@10", "MRR@10")).per_query
    assert {name: scores["q0"] for name, scores in found.items()} == dict.fromkeys(found, 0.0)
