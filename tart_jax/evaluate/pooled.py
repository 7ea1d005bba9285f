"""Scores in closed and pooled corpora, and the kinds of the hits."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from tart_jax import io
from tart_jax.evaluate.measures import evaluate
from tart_jax.evaluate.significance import Interval, macro_bootstrap
from tart_jax.evaluate.systems import SCOPES, System, Task, kind
from tart_jax.types import Run


@dataclass
class Scores:
    """Per query: `ndcg[scope][task][query_id]`, and the share of hits of the wanted kind."""

    ndcg: dict[str, dict[str, dict[str, float]]] = field(default_factory=dict)
    wanted: dict[str, dict[str, float]] = field(default_factory=dict)


def measure(
    system: System,
    tasks: Mapping[str, Task],
    instructions: Mapping[str, str],
    k: int,
    runs: Path,
) -> Scores:
    """Searches every task under its instruction, writes the TREC runs, and scores them."""
    scores = Scores({scope: {} for scope in SCOPES})
    for name, task in tasks.items():
        read = system.read(task.queries, instructions[name])
        for scope in SCOPES:
            run = system.search(task.queries, read, name if scope == "closed" else "", k)
            _write(runs / f"{name}.{scope}.trec", run)
            result = evaluate(run, task.qrels, (f"nDCG@{k}",))
            scores.ndcg[scope][name] = result.per_query[f"nDCG@{k}"]
            if scope == "pooled":
                scores.wanted[name] = {
                    query_id: sum(kind(hit.doc_id) == name for hit in hits) / max(len(hits), 1)
                    for query_id, hits in run.items()
                }
    return scores


def swap_matrix(
    system: System, tasks: Mapping[str, Task], shared: Sequence[str], k: int
) -> np.ndarray:
    """Share of hits of each kind (columns) under each task's instruction (rows), pooled corpus.

    The queries are those that the `shared` tasks have in common, each text once.
    """
    queries = list({q.text: q for name in shared for q in tasks[name].queries}.values())
    matrix = np.zeros((len(tasks), len(tasks)))
    places = {name: place for place, name in enumerate(tasks)}
    for row, task in enumerate(tasks.values()):
        run = system.search(queries, system.read(queries, task.instruction), "", k)
        for hits in run.values():
            for hit in hits:
                matrix[row, places[kind(hit.doc_id)]] += 1
    return matrix / matrix.sum(axis=1, keepdims=True)


def means(
    systems: Mapping[str, Mapping[str, Mapping[str, float]]],
    tasks: Sequence[str],
    resamples: int,
    seed: int,
    weights: Sequence[float] | None = None,
) -> dict[str, Interval]:
    """The mean over tasks of each system's mean, with paired bootstrap intervals."""
    arrays = {
        name: [np.array([scores[task][q] for q in sorted(scores[task])]) for task in tasks]
        for name, scores in systems.items()
    }
    return macro_bootstrap(arrays, resamples=resamples, seed=seed, weights=weights)


def _write(path: Path, run: Run) -> None:
    with io.writing(path) as aside, aside.open("w", encoding="utf-8") as file:
        for query_id, hits in run.items():
            file.writelines(io.run_lines(query_id, hits, path.parent.name))
