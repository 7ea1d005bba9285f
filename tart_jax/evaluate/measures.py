"""Retrieval measures by trec_eval, through pytrec_eval: its numbers, its tie rule.

trec_eval ignores the order and ranks of a run: it sorts by score, which it keeps as float32, and
breaks ties by document id, descending.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pytrec_eval

from tart_jax.types import InputError, Qrels, Run, ScoredDocument

DEFAULT = ("nDCG@10", "MAP", "MRR@10", "Recall@100", "P@10", "Success@5")
# Our name -> trec_eval's; "{k}" stands for the cut-off.
OFFERED = {
    "nDCG": "ndcg",
    "nDCG@k": "ndcg_cut_{k}",
    "MAP": "map",
    "MAP@k": "map_cut_{k}",
    "MRR": "recip_rank",
    "MRR@k": "recip_rank",
    "Recall@k": "recall_{k}",
    "P@k": "P_{k}",
    "Success@k": "success_{k}",
    "R-precision": "Rprec",
    "Hole@k": "hole_{k}",  # ours: the share of the first k hits that nobody judged for the query
}


@dataclass(frozen=True)
class Evaluation:
    """Scores in 0..1. `per_query[measure][query_id]`; `mean[measure]` over those queries.

    missing: judged queries that the run lacks; 0 where `complete`, else they are left out.
    unjudged: queries of the run without judgements, left out. dropped_self: hits that were the
    query itself. ties[measure]: queries where equal scores stand on both sides of the measure's
    cut-off, so that only document ids decide who counts.
    """

    per_query: dict[str, dict[str, float]]
    mean: dict[str, float]
    missing: int
    unjudged: int
    dropped_self: int
    ties: dict[str, int]


def evaluate(
    run: Run,
    qrels: Qrels,
    measures: Sequence[str] = DEFAULT,
    *,
    drop_self: bool = True,
    complete: bool = True,
) -> Evaluation:
    """Scores a run as trec_eval does (with `-c` where `complete`).

    A document is relevant from grade 1; nDCG takes the grade itself as the gain. drop_self: a hit
    with the query's own id is removed first (BEIR; matters for ArguAna and Quora).
    InputError: an unknown measure, no common query, a document twice for one query, a score that is
    not finite.
    """
    return evaluate_blocks([run], qrels, measures, drop_self=drop_self, complete=complete)


def evaluate_blocks(
    blocks: Iterable[Run],
    qrels: Qrels,
    measures: Sequence[str] = DEFAULT,
    *,
    drop_self: bool = True,
    complete: bool = True,
) -> Evaluation:
    """`evaluate` of a run that comes in blocks of whole queries, one in memory at a time."""
    parsed = {name: parse(name) for name in measures}
    per_query: dict[str, dict[str, float]] = {measure: {} for measure in parsed}
    ties = {measure: 0 for measure, (_, k) in parsed.items() if k}
    unjudged = dropped = 0
    first = ""
    for block in blocks:
        first = first or _first(block)
        scores = {q: _scores(q, hits) for q, hits in block.items() if q in qrels}
        unjudged += len(block) - len(scores)
        if drop_self:
            dropped += sum(scores[q].pop(q, None) is not None for q in scores)
        found = _found(scores, {q: qrels[q] for q in scores}, set(parsed.values()))
        for measure, (name, k) in parsed.items():
            values = {q: _value(found.get(q, {}), name, k) for q in scores}
            per_query[measure] |= values
            if k:
                ties[measure] += _ties(scores, k)
    judged = next(iter(per_query.values()), {})
    if not judged:
        raise InputError(
            f"the run and the qrels have no query in common (the run has {first}, the qrels"
            f" {_first(qrels)}); do they belong to the same collection and split?"
        )
    missing = len(qrels) - len(judged)
    per_query = {
        measure: {q: values.get(q, 0.0) for q in qrels if complete or q in values}
        for measure, values in per_query.items()
    }
    return Evaluation(
        per_query=per_query,
        mean={name: float(np.mean(list(values.values()))) for name, values in per_query.items()},
        missing=missing,
        unjudged=unjudged,
        dropped_self=dropped,
        ties=ties,
    )


def _found(
    scores: dict[str, dict[str, float]], qrels: Qrels, wanted: set[tuple[str, int | None]]
) -> dict[str, dict[str, float]]:
    """query_id -> trec_eval's name -> value; a query without hits may be absent."""
    theirs = {name for name, _ in wanted if not name.startswith("hole_")}
    found = _trec_eval(scores, qrels, theirs) if theirs and scores else {}
    for depth in {k or 0 for name, k in wanted if name.startswith("hole_")}:
        for query_id, hits in scores.items():
            found.setdefault(query_id, {})[f"hole_{depth}"] = _hole(hits, qrels[query_id], depth)
    return found


def parse(measure: str) -> tuple[str, int | None]:
    """(trec_eval's name, cut-off) of a measure such as nDCG@10; InputError lists all."""
    match = re.fullmatch(r"([A-Za-z-]+)(?:@([1-9][0-9]*))?", measure)
    if match:
        name, k = match.groups()
        trec_name = OFFERED.get(f"{name}@k" if k else name)
        if trec_name:
            return trec_name.format(k=k), int(k) if k else None
    raise InputError(
        f"measure {measure!r} is not known; there are {', '.join(OFFERED)} (k a number)."
    )


def _first(keys: Mapping[str, object]) -> str:
    return f"{next(iter(keys))!r}, ..." if keys else "none"


def _scores(query_id: str, hits: Sequence[ScoredDocument]) -> dict[str, float]:
    scores = {hit.doc_id: hit.score for hit in hits}
    if len(scores) < len(hits):
        ids = [hit.doc_id for hit in hits]
        twice = next(doc_id for doc_id in ids if ids.count(doc_id) > 1)
        raise InputError(f"the run has document {twice!r} twice for query {query_id!r}.")
    if not np.isfinite(list(scores.values())).all():
        raise InputError(f"the run has a score that is not finite for query {query_id!r}.")
    return scores


def _trec_eval(
    scores: dict[str, dict[str, float]], qrels: Qrels, names: set[str]
) -> dict[str, dict[str, float]]:
    evaluator = pytrec_eval.RelevanceEvaluator(qrels, names)
    return evaluator.evaluate({query_id: hits for query_id, hits in scores.items() if hits})


def _hole(hits: dict[str, float], judged: Mapping[str, int], k: int) -> float:
    ordered = sorted(hits, key=lambda doc_id: (np.float32(hits[doc_id]), doc_id), reverse=True)
    return sum(doc_id not in judged for doc_id in ordered[:k]) / k


def _value(found: dict[str, float], name: str, k: int | None) -> float:
    value = found.get(name, 0.0)
    if name == "recip_rank" and k and value and round(1 / value) > k:
        return 0.0  # trec_eval has no cut-off for the reciprocal rank
    return value


def _ties(scores: dict[str, dict[str, float]], k: int) -> int:
    count = 0
    for hits in scores.values():
        if len(hits) > k:
            ordered = np.sort(np.fromiter(hits.values(), np.float32, len(hits)))[::-1]
            count += bool(ordered[k - 1] == ordered[k])
    return count
