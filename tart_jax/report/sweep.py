"""Stage `sweep`: variants of a training, each with several seeds, compared on one test."""

import logging
import re
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
from tart_jax.evaluate.systems import SCOPES, dense, load_tasks
from tart_jax.tables import Table, interval
from tart_jax.train import run as train
from tart_jax.types import InputError

logger = logging.getLogger(__name__)
DECIDED = ("seed",)  # options of the training that the sweep sets
PerQuery = dict[str, dict[str, float]]  # task -> query -> score


def run(config: ConfigDict, workdir: Path) -> None:
    """Writes `<variant>/seed-<n>/`, report.md, report.json and scores.png into `workdir`."""
    variants = parse(config.variants)
    _check(config, variants)
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
                config, workdir / slug(name) / f"seed-{seed}", options | {"seed": seed}, test,
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


def parse(words: Sequence[str]) -> dict[str, dict[str, str]]:
    """name -> options, of "name: key=value; key=value". InputError: another form, a name twice."""
    variants: dict[str, dict[str, str]] = {}
    for word in words:
        name, colon, rest = (part.strip() for part in word.partition(":"))
        pairs = [part.partition("=") for part in rest.split(";") if part.strip()]
        if not name or not colon or not all(equals for _, equals, _ in pairs):
            raise InputError(
                f"config.variants: {word!r} should look like 'name: key=value; key=value'."
            )
        options = {key.strip(): value.strip() for key, _, value in pairs}
        if decided := sorted(set(options) & set(DECIDED)):
            raise InputError(f"config.variants: {word!r} sets {decided[0]}; use config.seeds.")
        if slug(name) in map(slug, variants):
            raise InputError(f"config.variants has {name!r} twice, or two names as alike.")
        variants[name] = options
    if not variants:
        raise InputError("config.variants is empty; it names what is to be compared.")
    return variants


def slug(name: str) -> str:
    """The name of a folder."""
    return re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")


def _check(config: ConfigDict, variants: Mapping[str, Mapping[str, str]]) -> None:
    """InputError for what would fail hours later: options, data, seeds, tasks."""
    if not config.seeds or len(set(config.seeds)) < len(config.seeds):
        raise InputError(f"config.seeds {config.seeds} should be one or more different numbers.")
    for options in variants.values():
        settings = configs.load(config.train, [f"--config.{k}={v}" for k, v in options.items()])
        mixture.open_sources(settings.data.train)
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
        "loss": _losses(folder / "train" / "metrics.jsonl"),
        "ndcg": scores.ndcg,
        "wanted": scores.wanted,
    }
    io.write_json(path, record)
    return record


def _losses(path: Path) -> dict[str, float]:
    """The first and the last logged loss: whether a curve has left its start."""
    losses = [record["loss"] for _, record in io.read_jsonl(path) if "loss" in record]
    return {"first": losses[0], "last": losses[-1]}


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
    per_query = {
        scope: {n: over_seeds([r["ndcg"] for r in records], scope) for n, records in found.items()}
        for scope in SCOPES
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
        _task_table(found, tasks, per_query),
    ]
    for table in tables:
        table.show()
    plots.bars(
        workdir / "scores.png",
        {scope: [intervals[scope][name] for name in found] for scope in SCOPES},
        list(found),
        title="Mean over tasks and seeds, with 95% intervals over queries",
        label=f"nDCG@{config.k}",
    )
    with io.writing(workdir / "report.md") as aside:
        pages = [table.markdown() for table in tables]
        aside.write_text("# Sweep\n\n" + "\n".join([*pages, "![scores](scores.png)\n"]), "utf-8")
    record = {
        "tasks": tasks,
        "seeds": list(config.seeds),
        "ndcg": {s: {n: list(i) for n, i in of.items()} for s, of in intervals.items()},
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
    rows = []
    for name, records in found.items():
        row = [name]
        for scope in SCOPES:
            seeds = [
                np.mean([np.mean(list(r["ndcg"][scope][t].values())) for t in tasks])
                for r in records
            ]
            row.append(interval(*intervals[scope][name]))
            row.append(f"{min(seeds):.3f} to {max(seeds):.3f}")
            row.append("" if name == first else interval(*gains[scope][name]))
        wanted = [np.mean([np.mean(list(r["wanted"][t].values())) for t in tasks]) for r in records]
        losses = [f"{r['loss']['first']:.3f} to {r['loss']['last']:.3f}" for r in records[:1]]
        rows.append([*row, f"{np.mean(wanted):.1%}", *losses])
    header = ["variant"]
    for scope in SCOPES:
        header += [scope, "seeds", f"minus {first}"]
    queries = sum(
        len(records) for records in next(iter(found.values()))[0]["ndcg"]["pooled"].values()
    )
    return Table(
        f"nDCG@{config.k} over {', '.join(tasks)}",
        [*header, "wanted kind", "loss, first seed"],
        rows,
        f"{queries:,} test queries in all; mean over tasks and {len(config.seeds)} seeds, brackets:"
        " paired-bootstrap 95% over queries. Closed: the task's own documents; pooled: those of all"
        " tasks. Wanted kind: share of the pooled hits that is of the task's own kind.",
    )


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
