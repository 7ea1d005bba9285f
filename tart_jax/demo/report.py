"""The demo's tables, figures and last words."""

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np

from tart_jax import io, plots
from tart_jax.data import corpus, python_library
from tart_jax.evaluate.pooled import Scores, means
from tart_jax.evaluate.significance import Interval
from tart_jax.evaluate.systems import SCOPES, System, Task, kind
from tart_jax.tables import Table, interval

BM25 = "BM25"
BEFORE = "MiniLM as it comes"
NONE = "trained, no instruction"
WRONG = "trained, wrong instruction"
RIGHT = "trained, right instruction"


@dataclass(frozen=True)
class Facts:
    """All that the report says."""

    tasks: Mapping[str, Task]
    averaged: Sequence[str]
    scores: Mapping[str, Scores]
    swap: np.ndarray
    examples: Table
    k: int
    seconds: float


def write(facts: Facts, workdir: Path, *, resamples: int, seed: int) -> None:
    """Prints the tables and writes report.md, report.json, scores.png and swap.png."""
    intervals = {
        scope: means(
            {name: scores.ndcg[scope] for name, scores in facts.scores.items()},
            facts.averaged,
            resamples,
            seed,
        )
        for scope in SCOPES
    }
    differences = _differences(facts, resamples, seed)
    tables = [
        main_table(facts, intervals, differences),
        task_table(facts),
        swap_table(facts, list(facts.tasks), "Instruction swap: share of hits by kind"),
        swap_table(
            facts, list(python_library.PROSE_TASKS), "Instruction swap: the two prose tasks"
        ),
        facts.examples,
    ]
    for table in tables:
        table.show()
    plots.bars(
        workdir / "scores.png",
        {scope: [intervals[scope][name] for name in facts.scores] for scope in SCOPES},
        list(facts.scores),
        title="Mean over tasks, with 95% intervals",
        label=f"nDCG@{facts.k}",
    )
    plots.matrix(
        workdir / "swap.png",
        facts.swap,
        list(facts.tasks),
        list(facts.tasks),
        title="Same queries, another instruction",
        row_label="instruction of",
        column_label="share of hits of kind",
    )
    _write_files(facts, intervals, differences, tables, workdir)


def main_table(
    facts: Facts,
    intervals: Mapping[str, Mapping[str, Interval]],
    differences: Mapping[str, Interval],
) -> Table:
    """One row per system: closed, pooled, what the right instruction adds, the wanted kind."""
    rows = []
    for name, scores in facts.scores.items():
        wanted = np.mean([np.mean(list(scores.wanted[task].values())) for task in facts.averaged])
        gain = interval(*differences[name]) if name in differences else ""
        closed, pooled = (interval(*intervals[scope][name]) for scope in SCOPES)
        rows.append([name, closed, pooled, gain, f"{wanted:.1%}"])
    k, count = facts.k, sum(len(facts.tasks[name].queries) for name in facts.averaged)
    return Table(
        f"What the instruction decides: nDCG@{k} over {', '.join(facts.averaged)}",
        ["system", "closed corpus", "pooled corpus", "right minus this, pooled", "wanted kind"],
        rows,
        f"{count:,} test queries; mean over tasks with paired-bootstrap 95% intervals."
        f" Wanted kind: share of the top {k} of the pooled corpus that is of the task's kind. The"
        " instructions' wordings were not trained on; a wrong instruction is another task's.",
    )


def task_table(facts: Facts) -> Table:
    """nDCG of each task on the pooled corpus."""
    rows = [
        [
            name + ("" if name in facts.averaged else " (not averaged)"),
            str(len(task.queries)),
            *(
                f"{np.mean(list(s.ndcg['pooled'][name].values())):.3f}"
                for s in facts.scores.values()
            ),
        ]
        for name, task in facts.tasks.items()
    ]
    header = ["task", "queries", *facts.scores]
    return Table(f"nDCG@{facts.k} by task, pooled corpus", header, rows)


def swap_table(facts: Facts, names: Sequence[str], title: str) -> Table:
    """A part of the swap matrix: instructions down, kinds of hits across."""
    places = [place for place, name in enumerate(facts.tasks) if name in names]
    kinds = [name for name in facts.tasks if name in names]
    rows = [
        [name, *(f"{facts.swap[place, column]:.1%}" for column in places)]
        for place, name in zip(places, kinds, strict=True)
    ]
    note = "Rows: instruction of; columns: kind of the hits. The queries are the same in every row."
    return Table(title, ["instruction", *kinds], rows, note)


def examples(
    system: System, pooled: Path, tasks: Mapping[str, Task], shared: Sequence[str], shown: int = 3
) -> Table:
    """One query under three instructions, with the best hits of each."""
    names = list(shared)[:3]
    common = {q.text: q for q in tasks[names[0]].queries}
    texts = [q.text for q in tasks[names[-1]].queries if q.text in common] or list(common)
    queries = [common[text] for text in texts]
    runs = {
        name: system.search(queries, system.read(queries, tasks[name].instruction), "", shown)
        for name in names
    }
    wanted = {
        query.query_id: sum(
            kind(hit.doc_id) == name for name in names for hit in runs[name][query.query_id]
        )
        for query in queries
    }
    query = max(
        queries, key=lambda query: wanted[query.query_id]
    )  # shown to explain, not to measure
    picked = {hit.doc_id for name in names for hit in runs[name][query.query_id]}
    documents = {d.doc_id: d for d in corpus.read_documents(pooled) if d.doc_id in picked}
    rows = []
    for name in names:
        rows.append([f"“{tasks[name].instruction}”", "", ""])
        for hit in islice(runs[name][query.query_id], shown):
            text = " ".join(documents[hit.doc_id].contents().split())
            rows.append([f"  {hit.doc_id}", f"{hit.score:.3f}", text[:90]])
    title = f"One query, three instructions: “{query.text}”"
    note = "Chosen among the test queries as one where the instructions show best."
    return Table(title, ["instruction and hits", "score", "text"], rows, note)


def farewell(workdir: Path, model: Path, tasks: Mapping[str, Task]) -> str:
    """The command to search interactively."""
    instruction = next(iter(tasks.values())).instruction
    command = Path(sys.executable).with_name("tart-jax")
    return (
        f"\nWritten: {workdir}/report.md, report.json, scores.png, swap.png\n\n"
        "Search yourself; a line that starts with 'instruction:' changes what is wanted:\n"
        f"  {command} search --config.model={model} --config.index={workdir}/after/index"
        f' --config.instruction="{instruction}"\n'
    )


def _differences(facts: Facts, resamples: int, seed: int) -> dict[str, Interval]:
    """What the right instruction adds to each system, query by query, on the pooled corpus."""
    right = facts.scores[RIGHT].ndcg["pooled"]
    gains = {
        name: {
            task: {q: right[task][q] - score for q, score in scores.ndcg["pooled"][task].items()}
            for task in facts.averaged
        }
        for name, scores in facts.scores.items()
        if name != RIGHT
    }
    return means(gains, facts.averaged, resamples, seed)


def _write_files(
    facts: Facts,
    intervals: Mapping[str, Mapping[str, Interval]],
    differences: Mapping[str, Interval],
    tables: Sequence[Table],
    workdir: Path,
) -> None:
    pages = [table.markdown() for table in tables]
    pictures = "![scores](scores.png)\n\n![swap](swap.png)\n"
    with io.writing(workdir / "report.md") as aside:
        aside.write_text("# Demo\n\n" + "\n".join([*pages[:1], pictures, *pages[1:]]), "utf-8")
    low = intervals["pooled"][RIGHT].low
    io.write_json(
        workdir / "report.json",
        {
            "averaged": list(facts.averaged),
            "ndcg": {scope: {n: list(i) for n, i in of.items()} for scope, of in intervals.items()},
            "right_minus": {name: list(gain) for name, gain in differences.items()},
            # the demo's claim: intervals on the pooled corpus that do not touch
            "right_above": {
                name: bool(low > other.high)
                for name, other in intervals["pooled"].items()
                if name != RIGHT
            },
            "per_query": {n: {"ndcg": s.ndcg, "wanted": s.wanted} for n, s in facts.scores.items()},
            "swap": {"kinds": list(facts.tasks), "share": facts.swap.tolist()},
            "seconds": facts.seconds,
        },
    )
