"""Stage `sweep`: variants of a training, each with several seeds, compared on one test."""

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from ml_collections import ConfigDict

from tart_jax import config as configs
from tart_jax import io, plots
from tart_jax.data import mixture
from tart_jax.data.instructions import read_table, require_tasks
from tart_jax.encode import run as encode
from tart_jax.evaluate import benchmark, sampling
from tart_jax.evaluate.pooled import Scores, means, measure
from tart_jax.evaluate.significance import Interval
from tart_jax.evaluate.systems import dense, load_tasks
from tart_jax.report import sweep_benchmark
from tart_jax.report.variants import of_seed, parse, resolved, slug
from tart_jax.tables import Table, interval
from tart_jax.train import run as train
from tart_jax.types import InputError

logger = logging.getLogger(__name__)
PerQuery = dict[str, dict[str, float]]  # task -> query -> score


def run(config: ConfigDict, workdir: Path) -> None:
    """Writes `<variant>/seed-<n>/`, report.md, report.json and scores.png into `workdir`."""
    variants = resolved(parse(config.variants), workdir)
    _check(config, variants)
    if config.evaluate:
        found = {
            name: [
                sweep_benchmark.measured(
                    config.evaluate, config.evaluate_options, workdir / slug(name) / f"seed-{seed}",
                    of_seed(options, seed), config.train,
                )
                for seed in config.seeds
            ]
            for name, options in variants.items()
        }  # fmt: skip
        found = sweep_benchmark.combine(found, config.combined)
        tasks = list(config.tasks) or list(
            next(iter(next(iter(found.values()))[0]["scores"].values()))
        )
        _report(config, found, tasks, workdir)
        return
    test = sampling.sample(
        config.test,
        workdir / "test",
        max_queries=config.max_queries,
        max_documents=config.max_documents,
        seed=config.seed,
    )
    found = {
        name if len(config.tested) == 1 else f"{name}, asked with {condition}": [
            _measured(
                config, workdir / slug(name) / f"seed-{seed}", of_seed(options, seed), test,
                condition,
            )
            for seed in config.seeds
        ]
        for name, options in variants.items()
        for condition in config.tested
    }  # fmt: skip
    tasks = list(config.tasks) or list(load_tasks(test))
    _report(config, found, tasks, workdir)
    logger.info("Compared %d models: %s", sum(map(len, found.values())), workdir / "report.md")


def _check(config: ConfigDict, variants: Mapping[str, Mapping[str, str]]) -> None:
    """InputError for what would fail hours later: options, data, seeds, tasks."""
    if not config.seeds or len(set(config.seeds)) < len(config.seeds):
        raise InputError(f"config.seeds {config.seeds} should be one or more different numbers.")
    for options in variants.values():
        own, asked = sweep_benchmark.divided(options)
        if "retriever" not in asked:
            settings = configs.load(config.train, [f"--config.{k}={v}" for k, v in own.items()])
            mixture.open_sources(settings.data.train)
    if config.evaluate:
        words = [f"--config.{word}" for word in config.evaluate_options]
        configs.load(config.evaluate, words)  # for its errors
        return
    path = Path(config.test) / "instructions.tsv"
    table = read_table(path)
    require_tasks(table, config.tasks, path)
    if not config.tested:
        raise InputError("config.tested is empty; ('right',) asks with the instructions.")
    for condition in config.tested:
        benchmark.asked(table, next(iter(table)), condition)


def _measured(
    config: ConfigDict, folder: Path, options: Mapping[str, Any], test: Path, condition: str
) -> dict[str, Any]:
    """The scores of one model, trained and encoded where that is not done yet.

    condition: what its test queries are asked with, see `benchmark.asked`.
    """
    configs.run_stage("train", train.run, config.train, folder / "train", options)
    model, pooled = folder / "train" / "model", test / "pooled"
    made_of = {"model": model, "corpus": pooled}
    configs.run_stage("encode", encode.run, "configs/encode/default.py", folder / "e", made_of)
    result = io.read_json(folder / "train" / "result.json")
    made_from = {
        "weights_sha256": result["weights_sha256"],
        "test_sha256": io.sha256(test / sampling.DESCRIPTION),
        "k": config.k,
        "tested": condition,
    }
    path = folder / f"scores-{slug(condition)}.json"
    stored = io.read_json(path) if path.is_file() else {}
    if stored.get("made_from") == made_from:
        return stored
    tasks = load_tasks(test)
    table = read_table(test / "instructions.tsv")
    asked = {name: benchmark.asked(table, name, condition) for name in tasks}
    runs = folder / f"runs-{slug(condition)}"
    scores: Scores = measure(dense(model, folder / "e"), tasks, asked, config.k, runs)
    record = {
        "made_from": made_from,
        "steps": result["steps"],
        "wall_seconds": result["wall_seconds"],
        "loss": sweep_benchmark.losses(folder / "train" / "metrics.jsonl"),
        "scores": scores.ndcg,
        "wanted": scores.wanted,
    }
    io.write_json(path, record)
    return record


def over_seeds(records: Sequence[Mapping[str, PerQuery]], key: str) -> PerQuery:
    """Each query's mean over the seeds."""
    first = records[0][key]
    return {
        task: {q: float(np.mean([record[key][task][q] for record in records])) for q in queries}
        for task, queries in first.items()
    }


def _report(
    config: ConfigDict,
    found: Mapping[str, Sequence[Mapping[str, Any]]],
    tasks: Sequence[str],
    workdir: Path,
) -> None:
    scopes = list(next(iter(found.values()))[0]["scores"])
    scored = {name: [record["scores"] for record in records] for name, records in found.items()}
    per_query = {
        scope: {name: over_seeds(of, scope) for name, of in scored.items()} for scope in scopes
    }
    first = next(iter(found))
    intervals, gains = {}, {}
    for scope, systems in per_query.items():
        base = systems[first]
        differences = {
            name: {t: {q: v - base[t][q] for q, v in s[t].items()} for t in tasks}
            for name, s in systems.items()
        }
        intervals[scope] = means(systems, tasks, config.resamples, config.seed)
        gains[scope] = means(differences, tasks, config.resamples, config.seed)
    tables = [
        _main_table(config, found, tasks, intervals, gains),
        sweep_benchmark.task_table(per_query, tasks, config.published)
        if config.evaluate
        else _task_table(found, tasks, per_query),
    ]
    for table in tables:
        table.show()
    plots.bars(
        workdir / "scores.png",
        {scope: [intervals[scope][name] for name in found] for scope in scopes},
        list(found),
        title="Mean over tasks and seeds, with 95% intervals over queries",
        label=", ".join(scopes) if config.evaluate else f"nDCG@{config.k}",
    )
    with io.writing(workdir / "report.md") as aside:
        pages = [table.markdown() for table in tables]
        aside.write_text("# Sweep\n\n" + "\n".join([*pages, "![scores](scores.png)\n"]), "utf-8")
    record = {
        "tasks": tasks,
        "seeds": list(config.seeds),
        "scores": {s: {n: list(i) for n, i in of.items()} for s, of in intervals.items()},
        f"minus {first}": {s: {n: list(i) for n, i in of.items()} for s, of in gains.items()},
        "models": {
            name: [dict(r["made_from"]) for r in records] for name, records in found.items()
        },
    }
    io.write_json(workdir / "report.json", record)


def _main_table(
    config: ConfigDict,
    found: Mapping[str, Sequence[Mapping[str, Any]]],
    tasks: Sequence[str],
    intervals: Mapping[str, Mapping[str, Interval]],
    gains: Mapping[str, Mapping[str, Interval]],
) -> Table:
    first = next(iter(found))
    scopes = list(intervals)
    rows = []
    for name, records in found.items():
        row = [name]
        for scope in scopes:
            seeds = [
                np.mean([np.mean(list(r["scores"][scope][t].values())) for t in tasks])
                for r in records
            ]
            row.append(interval(*intervals[scope][name]))
            row.append(f"{min(seeds):.3f} to {max(seeds):.3f}")
            row.append("" if name == first else interval(*gains[scope][name]))
        loss = records[0]["loss"]
        row.append(f"{loss['first']:.3f} to {loss['last']:.3f}" if loss else "-")
        if not config.evaluate:
            wanted = [
                np.mean([np.mean(list(r["wanted"][t].values())) for t in tasks]) for r in records
            ]
            row.append(f"{np.mean(wanted):.1%}")
        rows.append(row)
    header = ["variant"]
    for scope in scopes:
        header += [scope, "seeds", f"minus {first}"]
    asked = next(iter(found.values()))[0]["scores"][scopes[0]]
    queries = sum(len(asked[task]) for task in tasks)
    note = (
        f"{queries:,} test queries in all; mean over tasks and {len(config.seeds)} seeds, brackets:"
        " paired-bootstrap 95% over queries."
    )
    header.append("loss, first seed")
    if config.evaluate:
        return Table(f"{' and '.join(scopes)} over {', '.join(tasks)}", header, rows, note)
    note += (
        " Closed: the task's own documents; pooled: those of all tasks. Wanted kind: share of the"
        " pooled hits that is of the task's own kind."
    )
    title = f"nDCG@{config.k} over {', '.join(tasks)}"
    return Table(title, [*header, "wanted kind"], rows, note)


def _task_table(
    found: Mapping[str, Any],
    tasks: Sequence[str],
    per_query: Mapping[str, Mapping[str, PerQuery]],
) -> Table:
    def mean(scope: str, name: str, task: str) -> str:
        return f"{np.mean(list(per_query[scope][name][task].values())):.3f}"

    rows = [
        [task, *(f"{mean('closed', n, task)} / {mean('pooled', n, task)}" for n in found)]
        for task in tasks
    ]
    return Table("By task: closed / pooled", ["task", *found], rows)
