"""How a ranking follows a change of its instruction: p-MRR, Robustness@k, spread over wordings."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from tart_jax.types import InputError, Qrels, Run

PerQuery = Mapping[str, float]


def p_mrr(before: Run, after: Run, changed: Mapping[str, Sequence[str]]) -> dict[str, float]:
    """Pairwise MRR of each query, -1 to 1 (FollowIR: Weller et al. 2024, section 4.2).

    before, after: the runs under the first and the altered instruction, which makes `changed`
    (query_id -> doc_ids) no longer relevant. Above 0: those documents have fallen, as they should;
    0: nothing moved. A document that a run lacks stands behind its last hit.
    InputError: a query without changed documents, or absent from a run.
    """
    scores = {}
    for query_id, doc_ids in changed.items():
        if not doc_ids or query_id not in before or query_id not in after:
            raise InputError(
                f"query {query_id!r} needs documents whose relevance changed, and a place in both"
                " runs."
            )
        old, new = _ranks(before, query_id), _ranks(after, query_id)
        scores[query_id] = float(
            np.mean(
                [
                    _moved(old.get(doc_id, len(old) + 1), new.get(doc_id, len(new) + 1))
                    for doc_id in doc_ids
                ]
            )
        )
    return scores


def _ranks(run: Run, query_id: str) -> dict[str, int]:
    hits = sorted(run[query_id], key=lambda hit: (hit.score, hit.doc_id), reverse=True)
    return {hit.doc_id: rank for rank, hit in enumerate(hits, start=1)}


def _moved(old: int, new: int) -> float:
    return new / old - 1 if old > new else 1 - old / new


def changed_documents(before: Qrels, after: Qrels) -> dict[str, list[str]]:
    """The documents of each query that are relevant by the first judgements only."""
    found = {
        query_id: [
            doc_id
            for doc_id, relevance in judged.items()
            if relevance > 0 and after[query_id].get(doc_id, 0) <= 0
        ]
        for query_id, judged in before.items()
        if query_id in after
    }
    return {query_id: doc_ids for query_id, doc_ids in found.items() if doc_ids}


def robustness(scores: PerQuery, query_of: Mapping[str, str]) -> dict[str, float]:
    """The worst score of each query over its instructions (InstructIR: Oh et al. 2024, section 4).

    scores: of each instance (a query under an instruction), as nDCG@10 for Robustness@10; query_of:
    the query that an instance asks. InputError: an instance of no known query.
    """
    worst: dict[str, float] = {}
    for instance, score in scores.items():
        if instance not in query_of:
            raise InputError(f"instance {instance!r} belongs to no known query.")
        query = query_of[instance]
        worst[query] = min(score, worst.get(query, score))
    return worst


class Spread(NamedTuple):
    """Over wordings of one instruction, means over queries: of the mean, worst and best wording,
    and of the difference between these two."""

    mean: float
    worst: float
    best: float
    range: float


def spread(wordings: Sequence[PerQuery]) -> Spread:
    """wordings: the scores of the same queries under each. InputError: other queries, or none."""
    if not wordings or any(set(scores) != set(wordings[0]) for scores in wordings):
        raise InputError("a spread needs scores of the same queries under one or more wordings.")
    rows = np.array([[scores[query] for query in wordings[0]] for scores in wordings])
    low, high = rows.min(axis=0), rows.max(axis=0)
    return Spread(*(float(np.mean(x)) for x in (rows, low, high, high - low)))
