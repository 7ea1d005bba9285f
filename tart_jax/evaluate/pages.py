"""Results of benchmarks as tables: by task, closed against pooled, whose documents were found."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tart_jax import io
from tart_jax.evaluate import collections, compare, instructed
from tart_jax.evaluate.pooled import means
from tart_jax.evaluate.significance import Interval
from tart_jax.evaluate.systems import SCOPES
from tart_jax.tables import Table, interval
from tart_jax.types import InputError

PerQuery = dict[str, dict[str, float]]  # task -> query -> score
SWAP = "of:"  # a condition: the instruction of that task
LABELS = {"none": "no instruction", "wrong": "wrong instruction"}


@dataclass(frozen=True)
class System:
    """A benchmark's results under one condition, with each query's score by scope and task."""

    name: str
    folder: Path
    results: Mapping[str, Any]
    condition: str
    rows: Mapping[tuple[str, str], Mapping[str, Any]]  # (scope, task) -> row of results.json
    scores: Mapping[str, PerQuery]

    @property
    def tasks(self) -> list[str]:
        return [task for scope, task in self.rows if scope == SCOPES[0]]

    @property
    def weights(self) -> list[float]:
        """Of the tasks: those of a group share the weight of one."""
        groups = [self.rows[SCOPES[0], task]["group"] for task in self.tasks]
        return [1 / groups.count(group) for group in groups]


def load(folder: Path, name: str = "") -> list[System]:
    """What `tart-jax evaluate` wrote of a benchmark, one system for each condition."""
    path = io.existing(folder, "evaluation of a benchmark") / "results.json"
    if not path.is_file():
        raise InputError(f"{folder} holds no results.json; `tart-jax evaluate` writes one.")
    results = io.read_json(path)
    conditions = list(dict.fromkeys(row["instruction"] for row in results["rows"]))
    found = []
    for condition in conditions:
        own = [row for row in results["rows"] if row["instruction"] == condition]
        scores: dict[str, PerQuery] = {}
        for row in own:
            per_query = compare.per_query(folder / row["scores"] / compare.FILE)
            scores.setdefault(row["scope"], {})[row["task"]] = per_query[results["measure"]]
        alone = condition == "right" or len(conditions) == 1
        said = name or folder.name
        found.append(
            System(
                said if alone else f"{said}, {LABELS.get(condition, condition)}",
                folder,
                results,
                condition,
                {(row["scope"], row["task"]): row for row in own},
                scores,
            )
        )
    return found


def check(systems: Sequence[System]) -> None:
    """InputError: evaluations of other tests, which no table may put side by side."""
    first = systems[0]
    for other in systems[1:]:
        if other.tasks != first.tasks:
            raise InputError(
                f"{first.folder} has the tasks {', '.join(first.tasks)}, {other.folder}"
                f" {', '.join(other.tasks)}; evaluate the same ones."
            )
        for key in ("test_sha256", "measure"):
            if other.results[key] != first.results[key]:
                raise InputError(
                    f"{first.folder} and {other.folder} differ in {key}"
                    f" ({str(first.results[key])[:12]}, {str(other.results[key])[:12]}); a table"
                    " compares systems on the same queries and judgements."
                )


def intervals(
    systems: Sequence[System], scope: str, *, resamples: int, seed: int
) -> dict[str, Interval]:
    """Each system's mean over tasks, with paired intervals."""
    scores = {system.name: system.scores[scope] for system in systems}
    return means(scores, systems[0].tasks, resamples, seed, systems[0].weights)


def tables(systems: Sequence[System], *, resamples: int = 10_000, seed: int = 0) -> list[Table]:
    """All tables of some systems on one test. InputError: see `check`."""
    check(systems)
    scopes = [scope for scope in SCOPES if all(scope in system.scores for system in systems)]
    shown = [by_task(systems, scope, resamples=resamples, seed=seed) for scope in scopes]
    if len(scopes) == 2:
        shown.append(gap(systems, resamples=resamples, seed=seed))
        shown += [confusion(system) for system in systems]
    wordings = [system for system in systems if system.condition.startswith("wording:")]
    if len(wordings) > 1:
        shown.append(spread(wordings))
    for folder in dict.fromkeys(system.folder for system in systems):
        swapped = [s for s in systems if s.folder == folder and s.condition.startswith(SWAP)]
        if len(swapped) > 1:
            shown += [swap(swapped, scope) for scope in scopes]
    return shown


def by_task(systems: Sequence[System], scope: str, *, resamples: int, seed: int) -> Table:
    """Tasks down, systems across, the mean at the end; each figure leads to its scores."""
    measure, links, rows = systems[0].results["measure"], {}, []
    beside = scope == SCOPES[0] and systems[0].results["published"]
    published = _published(systems[0].tasks, measure) if beside else {}
    for place, task in enumerate(systems[0].tasks):
        cells = []
        for column, system in enumerate(systems, start=1):
            row = system.rows[scope, task]
            cells.append(f"{row['measures'][measure]['mean']:.4f}")
            links[place, column] = f"{system.folder}/{row['scores']}"
        cells += [published[name].get(task, "") for name in published]
        rows.append([f"{task} ({systems[0].rows[scope, task]['queries']:,})", *cells])
    whole = intervals(systems, scope, resamples=resamples, seed=seed)
    last = [interval(*whole[system.name], digits=4) for system in systems]
    rows.append(["mean", *last, *[""] * len(published)])
    for column, system in enumerate(systems, start=1):
        links[len(rows) - 1, column] = f"{system.folder}/results.json"
    title = f"{measure} by task, {scope} corpus" if len(systems[0].scores) > 1 else f"{measure}"
    note = "Queries in brackets; of the mean, paired-bootstrap 95% over queries."
    if published:
        note += " (published): of the literature, not ours; see configs/evaluate/published.tsv."
    header = [
        "task", *(system.name for system in systems), *(f"{name} (published)" for name in published)
    ]  # fmt: skip
    return Table(title, header, rows, note, links)


def gap(systems: Sequence[System], *, resamples: int, seed: int) -> Table:
    """Closed, pooled, their difference, and the share of hits of the wanted kind."""
    closed, pooled = (intervals(systems, scope, resamples=resamples, seed=seed) for scope in SCOPES)
    lost = means(
        {
            s.name: {
                task: {q: value - s.scores["closed"][task][q] for q, value in queries.items()}
                for task, queries in s.scores["pooled"].items()
            }
            for s in systems
        },
        systems[0].tasks,
        resamples,
        seed,
        systems[0].weights,
    )
    rows, links = [], {}
    for place, system in enumerate(systems):
        shares = [_wanted(system.rows["pooled", task], task) for task in system.tasks]
        figures = (interval(*x[system.name]) for x in (closed, pooled, lost))
        rows.append([system.name, *figures, f"{np.average(shares, weights=system.weights):.1%}"])
        links[place, 0] = f"{system.folder}/results.json"
    note = (
        "Mean over tasks, paired-bootstrap 95%. Wanted kind: share of the first 10 pooled hits that"
        " are of the task's own corpus, mean over tasks."
    )
    header = ["system", "closed", "pooled", "pooled - closed", "wanted kind"]
    return Table("Closed against pooled", header, rows, note, links)


def _wanted(row: Mapping[str, Any], task: str) -> float:
    return row["kinds"].get(task, 0) / max(1, sum(row["kinds"].values()))


def confusion(system: System) -> Table:
    """Where the first 10 pooled hits of each task's queries came from."""
    found = {task: system.rows["pooled", task]["kinds"] for task in system.tasks}
    kinds = list(dict.fromkeys([*system.tasks, *(k for row in found.values() for k in row)]))
    rows, links = [], {}
    for place, (task, counts) in enumerate(found.items()):
        total = max(1, sum(counts.values()))
        rows.append([task, *(f"{counts.get(kind, 0) / total:.1%}" for kind in kinds)])
        links[place, 0] = f"{system.folder}/{system.rows['pooled', task]['run']}"
    title = f"Whose documents were found: {system.name}"
    note = "Queries of a task down, the documents' tasks across; first 10 hits, pooled corpus."
    return Table(title, ["queries of", *kinds], rows, note, links)


def spread(wordings: Sequence[System]) -> Table:
    """Mean, worst and best over wordings of the instruction, by task, closed corpus."""
    rows = []
    for task in wordings[0].tasks:
        found = instructed.spread([system.scores["closed"][task] for system in wordings])
        rows.append([task, *(f"{value:.4f}" for value in found)])
    note = f"Over {len(wordings)} wordings; worst, best and range are of each query, then averaged."
    return Table("Spread over wordings", ["task", *instructed.Spread._fields], rows, note)


def swap(systems: Sequence[System], scope: str) -> Table:
    """Queries of each task under the instruction of each: the mean score, and where hits are from.

    systems: one retriever asked with `of:TASK` of some tasks.
    """
    tasks, rows, links = systems[0].tasks, [], {}
    for place, task in enumerate(tasks):
        cells = []
        for column, system in enumerate(systems, start=1):
            row = system.rows[scope, task]
            score = f"{row['measures'][system.results['measure']]['mean']:.4f}"
            wanted = system.condition.removeprefix(SWAP)
            counts = row["kinds"] or {}
            share = counts.get(wanted, 0) / max(1, sum(counts.values()))
            cells.append(f"{score}; {share:.0%}" if counts else score)
            links[place, column] = f"{system.folder}/{row['scores']}"
        rows.append([task, *cells])
    retriever = systems[0].name.partition(",")[0]
    note = f"{systems[0].results['measure']} of a task's queries (down) under the instruction of a"
    note += " task (across)"
    if scope == "pooled":
        note += "; after it the share of the first 10 hits that are of the instruction's task"
    asked = [system.condition.removeprefix(SWAP) for system in systems]
    return Table(f"Instructions swapped: {retriever}, {scope} corpus", ["queries of", *asked], rows,
                 f"{note}.", links)  # fmt: skip


def _published(tasks: Sequence[str], measure: str) -> dict[str, dict[str, str]]:
    """system -> task -> figure of the literature, of systems with a figure for one of the tasks."""
    found: dict[str, dict[str, str]] = {}
    for row in collections.published():
        if row.task in tasks and row.measure == measure:
            found.setdefault(row.system, {})[row.task] = row.value
    return found
