"""A sweep's models on a benchmark of `tart-jax evaluate`, as KILT, and rows put together."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tart_jax import config as configs
from tart_jax import io
from tart_jax.evaluate import benchmark, collections, compare
from tart_jax.evaluate import run as evaluate
from tart_jax.tables import Table
from tart_jax.train import run as train
from tart_jax.types import InputError

PREFIX = "evaluate."  # of the options of a variant that are not its training's
Found = dict[str, list[dict[str, Any]]]  # variant -> a record for each seed


def divided(options: Mapping[str, str]) -> tuple[dict[str, str], dict[str, str]]:
    """(options of the training, those of the evaluation)."""
    own = {k: v for k, v in options.items() if not k.startswith(PREFIX)}
    return own, {k.removeprefix(PREFIX): v for k, v in options.items() if k.startswith(PREFIX)}


def measured(
    file: str, usual: Sequence[str], folder: Path, options: Mapping[str, str], train_file: str
) -> dict[str, Any]:
    """The scores of a variant, trained and evaluated where that is not done yet.

    file, usual: a config of evaluate and "key=value" for it. A variant that names its retriever
    (evaluate.retriever=BM25) is not trained. The first two measures are shown.
    """
    own, asked = divided(options)
    words = dict(word.partition("=")[::2] for word in usual) | asked
    record: dict[str, Any] = {"steps": 0, "wall_seconds": 0.0, "loss": None, "wanted": None}
    weights = None
    if "retriever" not in words:
        configs.run_stage("train", train.run, train_file, folder / "train", own)
        result = io.read_json(folder / "train" / "result.json")
        record |= {"steps": result["steps"], "wall_seconds": result["wall_seconds"]}
        record["loss"] = losses(folder / "train" / "metrics.jsonl")
        words["retriever"], weights = str(folder / "train" / "model"), result["weights_sha256"]
    configs.run_stage("evaluate", evaluate.run, file, folder / "evaluate", words)
    results = io.read_json(folder / "evaluate" / benchmark.RESULTS)
    record["made_from"] = {
        "weights_sha256": weights,
        "retriever": words["retriever"],
        "test_sha256": results["test_sha256"],
    }
    scores: dict[str, dict[str, Any]] = {}
    for row in results["rows"]:
        own_scores = compare.per_query(folder / "evaluate" / row["scores"] / compare.FILE)
        for measure in list(row["measures"])[:2]:
            scores.setdefault(measure, {})[row["task"]] = own_scores[measure]
    return record | {"scores": scores}


def losses(path: Path) -> dict[str, float]:
    """The first and the last logged loss: whether a curve has left its start."""
    logged = [record["loss"] for _, record in io.read_jsonl(path) if "loss" in record]
    return {"first": logged[0], "last": logged[-1]}


def combine(found: Found, words: Sequence[str]) -> Found:
    """`found` with variants put together of others' tasks: "name: task=variant; task=variant".

    Of a task the scores are those of the model named for it, as in a row of task-specific models.
    The parts are left out of what is shown. InputError: a variant or task that is not there.
    """
    parts, whole = set[str](), dict(found)
    for word in words:
        name, _, rest = (part.strip() for part in word.partition(":"))
        pairs = (pair.partition("=") for pair in rest.split(";") if "=" in pair)
        of = {task.strip(): variant.strip() for task, _, variant in pairs}
        if not name or not of or (unknown := sorted(set(of.values()) - set(found))):
            known = f"{unknown[0]!r} is no variant" if name and of else "it names no task=variant"
            raise InputError(f"config.combined: {word!r}: {known}; there are {', '.join(found)}.")
        parts |= set(of.values())
        records = []
        for seed in range(len(next(iter(found.values())))):
            own = {task: found[variant][seed] for task, variant in of.items()}
            first = next(iter(own.values()))
            try:
                scores = {
                    measure: {task: record["scores"][measure][task] for task, record in own.items()}
                    for measure in first["scores"]
                }
            except KeyError as error:
                raise InputError(f"config.combined: {word!r}: no task {error}.") from error
            made = {task: record["made_from"] for task, record in own.items()}
            seconds = sum(record["wall_seconds"] for record in own.values())
            records.append(first | {"scores": scores, "made_from": made, "loss": None,
                                    "wall_seconds": seconds})  # fmt: skip
        whole[name] = records
    return {name: records for name, records in whole.items() if name not in parts}


def task_table(
    per_query: Mapping[str, Mapping[str, Mapping[str, Mapping[str, float]]]],
    tasks: Sequence[str],
    published: str,
) -> Table:
    """Variants down, tasks across, as in the paper's tables; its figures below ours.

    per_query: measure -> variant -> task -> query -> score. published: what the names of the
    systems of configs/evaluate/published.tsv that belong here begin with; "": none.
    """
    measures = list(per_query)
    rows = []
    for name in per_query[measures[0]]:
        cells = []
        for task in tasks:
            own = [per_query[measure][name][task].values() for measure in measures]
            cells.append(" / ".join(f"{100 * sum(v) / len(v):.2f}" for v in own))
        rows.append([name, *cells])
    known = [row for row in collections.published() if published]
    for system in dict.fromkeys(r.system for r in known if r.system.startswith(published)):
        value = {(r.task, r.measure): r.value for r in known if r.system == system}
        shown = [
            " / ".join(f"{100 * float(value.get((t, m), 'nan')):.2f}" for m in measures)
            if (t, measures[0]) in value else ""
            for t in tasks
        ]  # fmt: skip
        rows.append([f"{system} (published)", *shown])
    note = "Published figures are of all of KILT's passages and of its own dev sets, not of these."
    return Table(" / ".join(measures), ["", *tasks], rows, note if published else "")
