"""The story of the demo: prepare, train, encode, search under instructions, evaluate, report.

Each act is the command of the same name, run with the same configs; started again after a kill, the
demo continues where it stopped.
"""

import logging
import time
from collections.abc import Mapping
from pathlib import Path

from ml_collections import ConfigDict

from tart_jax import config as configs
from tart_jax import io
from tart_jax.data import prepare, python_library
from tart_jax.demo import report
from tart_jax.encode import run as encode
from tart_jax.evaluate.pooled import Scores, measure, swap_matrix
from tart_jax.evaluate.systems import System, Task, bm25, dense, load_tasks
from tart_jax.index import run as index
from tart_jax.models import pretrained
from tart_jax.train import run as train

logger = logging.getLogger(__name__)
STAGES = {"prepare": prepare.run, "train": train.run, "encode": encode.run, "index": index.run}


def run(config: ConfigDict, workdir: Path) -> None:
    """Writes report.md, report.json and the figures into `workdir`, and prints the tables."""
    start = time.perf_counter()
    pretrained.load(config.model)  # a missing package is said now, not after minutes
    data, model = workdir / "data", workdir / "train" / "model"
    stage("prepare", config.prepare, data, {})
    stage(
        "train",
        config.train,
        workdir / "train",
        {
            "model.source": config.model,
            "data.train": data / "train.jsonl",
            "data.instructions": data / "instructions.tsv",
            "eval.directory": data / "dev",
            "eval.instructions": data / "instructions.tsv",
        },
    )
    pooled = data / "test" / "pooled"
    for name, source in (("before", config.model), ("after", model)):
        stage(
            "encode",
            "configs/encode/default.py",
            workdir / name / "embeddings",
            {"model": source, "corpus": pooled, "document_length": config.document_length},
        )
    stage(
        "index",
        "configs/index/default.py",
        workdir / "after" / "index",
        {"embeddings": workdir / "after" / "embeddings"},
    )
    tasks = load_tasks(data / "test")
    before = dense(config.model, workdir / "before" / "embeddings", config.query_length)
    after = dense(model, workdir / "after" / "embeddings")
    scores = compare(
        tasks, {"BM25": bm25(pooled), "before": before, "after": after}, config.k, workdir
    )
    shared = [name for name in python_library.SHARED_QUERY_TASKS if name in tasks]
    facts = report.Facts(
        tasks=tasks,
        averaged=averaged(data, tasks),
        scores=scores,
        swap=swap_matrix(after, tasks, shared, config.k),
        examples=report.examples(after, pooled, tasks, shared),
        k=config.k,
        seconds=time.perf_counter() - start,
    )
    report.write(facts, workdir, resamples=config.resamples, seed=config.seed)
    print(report.farewell(workdir, model, tasks))


def stage(name: str, file: str, workdir: Path, overrides: Mapping[str, object]) -> None:
    """One of the commands, see `config.run_stage`."""
    configs.run_stage(name, STAGES[name], file, workdir, overrides)


def compare(
    tasks: Mapping[str, Task], systems: Mapping[str, System], k: int, workdir: Path
) -> dict[str, Scores]:
    """BM25, the model as it comes, and the trained one: no, a wrong, the right instruction."""
    none = dict.fromkeys(tasks, "")
    right = {name: task.instruction for name, task in tasks.items()}
    settings = {
        report.BM25: ("BM25", none),
        report.BEFORE: ("before", none),
        report.NONE: ("after", none),
        report.WRONG: ("after", {name: right[other] for name, other in wrong_task(tasks).items()}),
        report.RIGHT: ("after", right),
    }
    found = {}
    for name, (system, instructions) in settings.items():
        folder = workdir / "runs" / name.replace(",", "").replace(" ", "-")
        found[name] = measure(systems[system], tasks, instructions, k, folder)
    return found


def wrong_task(tasks: Mapping[str, Task]) -> dict[str, str]:
    """Another task for each: the other prose task for a prose task, else the next in order."""
    names = list(tasks)
    wrong = {name: names[(place + 1) % len(names)] for place, name in enumerate(names)}
    first, second = python_library.PROSE_TASKS
    if first in tasks and second in tasks:
        wrong |= {first: second, second: first}
    return wrong


def averaged(data: Path, tasks: Mapping[str, Task]) -> list[str]:
    """The tasks with queries enough to be averaged; in the quick form, which has few, all."""
    counts = io.read_json(data / "dataset.json")["tasks"]
    return [name for name in tasks if counts[name]["averaged"]] or list(tasks)
