"""Evaluation of a cross-encoder during training: nDCG@10 of reranking each dev query's list."""

import dataclasses
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from tart_jax import io
from tart_jax.data import examples, instructions
from tart_jax.evaluate.measures import evaluate
from tart_jax.index.bm25 import BM25Index
from tart_jax.models.pretrained_cross import PretrainedCross
from tart_jax.search.scorer import CrossScorer
from tart_jax.train.dev import MEASURE, DevSet, DevTask
from tart_jax.types import Document, InputError, ScoredDocument

MEASURES = (MEASURE, "MRR")
Join = Callable[[str, str], str]  # (query, instruction) -> what the model reads


class Pool(NamedTuple):
    """A query with its instruction, the documents to be ranked, and their relevance (0: not)."""

    query: str
    documents: list[Document]
    relevance: list[int]


def from_examples(
    path: str | Path,
    *,
    table: Mapping[str, instructions.InstructionRow],
    max_queries: int,
    join: Join,
) -> dict[str, list[Pool]]:
    """task -> pools of a file of training examples: their positives against their negatives.

    An example's instruction is its own, else the first wording of the task's row in `table`, if
    there is a table at all. max_queries: the first so many of each task; 0: all.
    InputError: an example without negatives; it would be ranked right whatever the scores.
    """
    pools: dict[str, list[Pool]] = {}
    for example in examples.read(io.existing(path, "eval.examples")):
        found = pools.setdefault(example.task, [])
        if max_queries and len(found) >= max_queries:
            continue
        instruction = example.instruction
        if instruction is None and table:
            instructions.require_tasks(table, [example.task], "config.eval.instructions")
            instruction = table[example.task].instructions[0]
        others = example.negatives + example.hard_negatives + example.unfollowing_negatives
        positives = list(dict.fromkeys(example.positives))
        negatives = [d for d in dict.fromkeys(others) if d not in positives]
        if not negatives:
            raise InputError(
                f"{path}: the query {example.query_id!r} has no negatives to be ranked against;"
                " mine some, or evaluate on a BEIR folder: config.eval.directory."
            )
        relevance = [1] * len(positives) + [0] * len(negatives)
        query = join(example.query, instruction or "")
        found.append(Pool(query, positives + negatives, relevance))
    if not pools:
        raise InputError(f"{path} holds no example; config.eval.examples should have some.")
    return pools


def from_beir(dev: DevSet, *, candidates: int, join: Join) -> dict[str, list[Pool]]:
    """task -> pools of a retrieval set: BM25's best `candidates` of all documents, and the
    relevant ones (at most so many, the most relevant first) whether it found them or not."""
    index = BM25Index()
    index.add([document.contents() for document in dev.documents])
    places = {document.doc_id: place for place, document in enumerate(dev.documents)}
    pools = {}
    for name, task in dev.tasks.items():
        _, found = index.search([query.text for query in task.queries], candidates)
        pools[name] = [
            pool
            for row, hits in enumerate(found)
            if any((pool := _pool(dev, task, row, hits, places, candidates, join)).relevance)
        ]
    return {name: found for name, found in pools.items() if found}


def _pool(
    dev: DevSet,
    task: DevTask,
    row: int,
    hits: np.ndarray,
    places: Mapping[str, int],
    most: int,
    join: Join,
) -> Pool:
    query = task.queries[row]
    judged = task.qrels[query.query_id]
    relevant = sorted(
        (d for d in judged if judged[d] > 0 and d in places), key=lambda d: -judged[d]
    )
    chosen = dict.fromkeys([places[doc_id] for doc_id in relevant[:most]])
    chosen |= dict.fromkeys(int(place) for place in hits if place >= 0)
    documents = [d for d in map(dev.documents.__getitem__, chosen) if d.doc_id != query.query_id]
    relevance = [max(0, judged.get(document.doc_id, 0)) for document in documents]
    return Pool(join(query.text, task.instruction), documents, relevance)


def score(
    pools: Mapping[str, list[Pool]], model: PretrainedCross, params: Any, mesh: Any
) -> dict[str, float]:
    """`dev/nDCG@10`, `dev/MRR` and `dev/accuracy` (a relevant document is scored above all others),
    means over tasks, and `dev/nDCG@10/<task>`.

    params: as they are in training; its arrays are used in place.
    """
    current = dataclasses.replace(model, params=params)
    scorer = CrossScorer(current, max_length=model.format.max_length, mesh=mesh)
    flat = [(p.query, d.contents()) for found in pools.values() for p in found for d in p.documents]
    scored = iter(scorer.score(flat))
    means: dict[str, list[float]] = {name: [] for name in (*MEASURES, "accuracy")}
    scores = {}
    for task, found in pools.items():
        each = [np.array([next(scored) for _ in pool.documents]) for pool in found]
        for name, value in _measure(found, each).items():
            means[name].append(value)
        scores[f"dev/{MEASURE}/{task}"] = means[MEASURE][-1]
    return {f"dev/{name}": float(np.mean(values)) for name, values in means.items()} | scores


def _measure(pools: list[Pool], scores: list[np.ndarray]) -> dict[str, float]:
    # Documents are named by their place: trec_eval puts the later first among equal scores, so a
    # relevant document, which comes first here, gains nothing from a model that says one number.
    run = {
        str(row): [ScoredDocument(f"{place:06}", float(s)) for place, s in enumerate(values)]
        for row, values in enumerate(scores)
    }
    qrels = {
        str(row): {f"{place:06}": grade for place, grade in enumerate(pool.relevance)}
        for row, pool in enumerate(pools)
    }
    means = evaluate(run, qrels, MEASURES, drop_self=False).mean
    won = [
        values[relevant].max() > values[~relevant].max(initial=-np.inf)
        for pool, values in zip(pools, scores, strict=True)
        if (relevant := np.array(pool.relevance) > 0).any()
    ]
    return means | {"accuracy": float(np.mean(won))}
