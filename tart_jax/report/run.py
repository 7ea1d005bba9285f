"""Stage `report`: evaluations of one benchmark side by side, each figure traced to its run."""

import csv
import functools
import logging
import os
from collections.abc import Sequence
from dataclasses import replace
from html import escape
from pathlib import Path
from typing import Any

import numpy as np
from ml_collections import ConfigDict

from tart_jax import config as configs
from tart_jax import io, plots
from tart_jax.data import corpus, lookup
from tart_jax.evaluate import compare, pages
from tart_jax.evaluate.pages import System
from tart_jax.evaluate.significance import bootstrap
from tart_jax.evaluate.systems import SCOPES
from tart_jax.tables import Table, html_page, html_picture
from tart_jax.types import InputError

log = logging.getLogger(__name__)


def run(config: ConfigDict, workdir: Path) -> None:
    """Writes report.{md,tex,csv,html} and its figures. InputError: evaluations of other tests."""
    folders = [Path(name) for name in config.runs.split(",") if name]
    names = [name.strip() for name in config.names.split(",") if name.strip()]
    if not folders or names and len(names) != len(folders):
        raise InputError(
            f"report takes evaluations of a benchmark; there are {len(folders)}, and"
            f" {len(names)} names."
        )
    systems = [
        replace(system, folder=Path(os.path.relpath(folder, workdir)))
        for folder, name in zip(folders, names or [""] * len(folders), strict=True)
        for system in pages.load(folder, name)
    ]
    known = [system.name for system in systems]
    if len(set(known)) < len(known):
        raise InputError(f"two systems are called alike, {', '.join(known)}; give --names.")
    base = _baseline(config.baseline, known)
    tables = [_systems(systems)]
    tables += pages.tables(systems, resamples=config.resamples, seed=config.seed)
    scopes = [scope for scope in SCOPES if all(scope in system.scores for system in systems)]
    for scope in scopes if len(systems) > 1 else ():
        tables.append(_compared(config, systems, systems[base], scope))
    test = Path(systems[0].results["test"])
    if config.examples and any(
        test.glob("*/qrels/test.tsv")
    ):  # KILT's has gold of places, not texts
        tables += _examples(systems, workdir, scopes[-1], config.examples, config.shown)
    pictures = _pictures(systems, scopes, workdir, config)
    _write(workdir, tables, pictures)
    _write_csv(workdir / "report.csv", systems)
    log.info("Compared %d systems: %s", len(systems), workdir / "report.html")


def _baseline(name: str, known: Sequence[str]) -> int:
    if name and name not in known:
        raise InputError(f"config.baseline {name!r} is not one of {', '.join(known)}.")
    return known.index(name) if name else 0


def _systems(systems: Sequence[System]) -> Table:
    """What each system is: weights, format, run, and what its evaluation took."""
    rows, links = [], {}
    for place, system in enumerate(systems):
        about = system.results["system"]
        shown = [
            str(about["retriever"]),
            (about["weights_sha256"] or "-")[:12],
            " ".join(map(str, about["format"].values())) or "-",
            f"{about['reranker']} (of {about['candidates']})" if about["reranker"] else "-",
            f"{sum(row['queries'] for row in system.rows.values()):,}",
            f"{system.results['wall_seconds']:,.0f} s",
        ]
        rows.append([system.name, *shown])
        links[place, 0] = f"{system.folder}/config.json"
    header = ["system", "retriever", "weights", "format", "reranker", "queries", "last run took"]
    note = "A name leads to the config of its evaluation; environment.json beside it has versions."
    return Table("Systems", header, rows, note, links)


def _compared(config: ConfigDict, systems: Sequence[System], base: System, scope: str) -> Table:
    """Each system against the baseline, all queries of all tasks together, p by Holm."""

    def flat(system: System) -> dict[str, float]:
        found = system.scores[scope].items()  # KILT's ids are of their task alone
        return {f"{task} {q}": value for task, own in found for q, value in own.items()}

    pairs = {
        (system.name, ""): (flat(system), flat(base)) for system in systems if system is not base
    }
    found = compare.rows(pairs, resamples=config.resamples, seed=config.seed)
    table = compare.table(found, ["the system", base.name], config.level)
    return replace(table, title=f"Against {base.name}, queries of all tasks, {scope} corpus")


def _examples(
    systems: Sequence[System], workdir: Path, scope: str, count: int, shown: int
) -> list[Table]:
    """Queries on which the systems differ most, with the first hits of each side by side."""
    task_of = {q: t for t in systems[0].tasks for q in systems[0].scores[scope][t]}
    scores = {s.name: {q: s.scores[scope][t][q] for q, t in task_of.items()} for s in systems}
    spread = {q: np.ptp([own[q] for own in scores.values()]) for q in task_of}
    chosen = sorted(spread, key=lambda q: (-spread[q], q))[:count]
    test = io.existing(systems[0].results["test"], "test that was evaluated")
    texts_of, read = functools.cache(lookup.of_corpus), functools.cache(io.read_run)
    tables = []
    for query_id in chosen:
        task, rows = task_of[query_id], []
        own = scope == "closed" and (test / task / "corpus.jsonl").is_file()
        texts = texts_of(test / (task if own else "pooled"))
        judged = io.read_qrels(test / task / "qrels" / "test.tsv")[query_id]
        for system in systems:
            row = system.rows[scope, task]
            hits = read(workdir / system.folder / row["run"] / "run.trec").get(query_id, [])
            for rank, hit in enumerate(hits[:shown], start=1):
                document = texts.get(hit.doc_id)
                text = _shortened(document.contents() if document else "?", 160)
                mark = "relevant" if judged.get(hit.doc_id, 0) > 0 else ""
                rows.append([system.name, row["words"], str(rank), hit.doc_id, mark, text])
        query = next(q for q in corpus.read_queries(test / task) if q.query_id == query_id)
        header = ["system", "asked with", "", "document", "", "text"]
        tables.append(Table(f"{task}: {_shortened(query.text, 200)}", header, rows))
    return tables


def _shortened(text: str, length: int) -> str:
    words = " ".join(text.split())
    return words if len(words) <= length else f"{words[: length - 3]}..."


def _pictures(
    systems: Sequence[System], scopes: Sequence[str], workdir: Path, config: ConfigDict
) -> list[Path]:
    measure, tasks, paths = systems[0].results["measure"], systems[0].tasks, []
    for scope in scopes:
        series = {
            s.name: [bootstrap(list(s.scores[scope][t].values()), resamples=1000) for t in tasks]
            for s in systems
        }
        paths.append(workdir / f"tasks-{scope}.png")
        plots.bars(paths[-1], series, tasks, title=f"By task, {scope} corpus", label=measure)
    options = dict(resamples=config.resamples, seed=config.seed)
    whole = {scope: pages.intervals(systems, scope, **options) for scope in scopes}
    if len(scopes) == 2:
        paths.append(workdir / "closed-pooled.png")
        series = {scope: [whole[scope][s.name] for s in systems] for scope in scopes}
        names = [s.name for s in systems]
        plots.bars(paths[-1], series, names, title="Closed against pooled", label=measure)
    points = {
        s.name: (_latency(s, workdir, scopes[-1]), *whole[scopes[-1]][s.name]) for s in systems
    }
    paths.append(workdir / "latency.png")
    plots.points(
        paths[-1], points, title=f"Quality against time, {scopes[-1]} corpus",
        x_label="seconds a query, all queries together", y_label=measure,
    )  # fmt: skip
    return paths


def _latency(system: System, workdir: Path, scope: str) -> float:
    """Seconds a query of search, and of reranking where there is one, over all tasks."""
    seconds = queries = 0.0
    for task in system.tasks:
        row = system.rows[scope, task]
        place = workdir / system.folder / row["run"]
        for stage in {place, place.with_name("run")}:
            if (stage / "run.json").is_file():
                seconds += io.read_json(stage / "run.json")["seconds"]
        queries += row["queries"]
    return seconds / max(1, queries)


def _write(workdir: Path, tables: Sequence[Table], pictures: Sequence[Path]) -> None:
    shown = [f"![{path.stem}]({path.name})\n" for path in pictures]
    command = " ".join(io.read_json(workdir / configs.ENVIRONMENT)["command"])
    made = f"Made by `{command}`."
    files = {
        "report.md": "\n".join(
            ["# Report\n", f"{made}\n", *(t.markdown() for t in tables), *shown]
        ),
        "report.tex": "\n".join(table.latex() for table in tables),
        "report.html": html_page(
            "Report",
            [
                f"<p>{escape(made)}</p>",
                *(table.html() for table in tables),
                *(html_picture(path) for path in pictures),
            ],
        ),
    }
    for name, text in files.items():
        with io.writing(workdir / name) as aside:
            aside.write_text(text, "utf-8")


def _write_csv(path: Path, systems: Sequence[System]) -> None:
    """A line for each figure, with where it comes from."""
    header = ["system", "condition", "task", "scope", "measure", "queries", "mean", "low", "high",
              "weights_sha256", "scores"]  # fmt: skip
    lines: list[list[Any]] = [header]
    for system in systems:
        for (scope, task), row in system.rows.items():
            for measure, value in row["measures"].items():
                lines.append(
                    [system.name, system.condition, task, scope, measure, row["queries"],
                     value["mean"], value["low"], value["high"],
                     system.results["system"]["weights_sha256"] or "",
                     f"{system.folder}/{row['scores']}"]
                )  # fmt: skip
    with io.writing(path) as aside, aside.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows(lines)
