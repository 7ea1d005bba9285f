"""A system on the tasks of a benchmark: ranked and scored, in closed and pooled corpora."""

import hashlib
import logging
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tqdm import tqdm

from tart_jax import config as configs
from tart_jax import io
from tart_jax.data.instructions import InstructionRow, read_table
from tart_jax.evaluate import collections, judging, kilt_files, ranking, sampling
from tart_jax.evaluate.ranking import Options, Setting
from tart_jax.evaluate.steps import Stage, Step, content
from tart_jax.evaluate.systems import SCOPES, kind
from tart_jax.types import InputError

log = logging.getLogger(__name__)
# And "wording:N", the N-th of the task's own; "of:TASK", the first of that task.
CONDITIONS = ("right", "none", "wrong")
RESULTS = "results.json"


def run(options: Options, workdir: Path, score: Stage) -> dict[str, Any]:
    """Writes results/<instruction>/<task>/<scope> and results.json; what the latter has."""
    _check(options)
    described = []
    if options.benchmark.endswith(".tsv"):
        described = collections.read(configs.find(options.benchmark), options.tasks)
    test = _test(options, workdir, described)
    table = read_table(test / "instructions.tsv")
    groups = {row.task: row.group for row in described}
    setting = Setting(options, workdir, test, table, groups, score)
    tasks = [name for name in table if described or not options.tasks or name in options.tasks]
    if not tasks:
        raise InputError(f"config.tasks {list(options.tasks)}: there are {', '.join(table)}.")
    for condition in options.instruction:
        asked(table, tasks[0], condition)  # for its errors
    cells = [
        (task, scope, condition)
        for condition in options.instruction
        for task in tasks
        for scope in (SCOPES if options.pooled else SCOPES[:1])
    ]
    start = time.perf_counter()
    shown = tqdm(cells, desc="evaluate", unit="search", disable=None)
    rows = [_cell(setting, *cell) for cell in shown]
    first = io.read_json(workdir / Path(rows[0]["scores"]).with_name("run") / "run.json")
    results = {
        "benchmark": options.benchmark,
        "test": str(test.resolve()),
        "test_sha256": _fingerprint(test, tasks),
        "system": {
            "retriever": options.retriever,
            "weights_sha256": first.get("weights_sha256"),
            "format": {key: first[key] for key in ("order", "separator") if key in first},
            "reranker": options.reranker or None,
            "candidates": options.candidates if options.reranker else None,
        },
        "measure": options.measures[0],
        # Figures of the literature belong beside those of the whole published test alone.
        "published": bool(described) and not (options.max_queries or options.max_documents),
        "wall_seconds": round(time.perf_counter() - start, 1),
        "rows": rows,
    }
    io.write_json(workdir / RESULTS, results)
    if options.judging_sheet:
        count = judging.export(Path(options.judging_sheet), test, judging.runs_of(rows, workdir))
        log.info("%s: %d hits of other tasks to judge", options.judging_sheet, count)
    return results


def asked(table: Mapping[str, InstructionRow], task: str, condition: str) -> str:
    """The instruction of a task under a condition; "" for none.

    "wrong": that of the task after it in the table. InputError: no such condition or wording.
    """
    if condition == "right":
        return table[task].instructions[0]
    if condition == "none":
        return ""
    if condition == "wrong":
        names = list(table)
        other = names[(names.index(task) + 1) % len(names)]
        if other == task:
            raise InputError("a wrong instruction is another task's, and there is only one task.")
        return table[other].instructions[0]
    name, _, number = condition.partition(":")
    if name == "of" and number in table:
        return table[number].instructions[0]
    wordings = table[task].instructions
    if name != "wording" or not number.isdigit() or not 1 <= int(number) <= len(wordings):
        raise InputError(
            f"config.instruction: {condition!r} is not one of {', '.join(CONDITIONS)}, wording:1"
            f" to wording:{len(wordings)} (of task {task}), or of:TASK ({', '.join(table)})."
        )
    return wordings[int(number) - 1]


def _check(options: Options) -> None:
    if not options.retriever:
        raise InputError("--config.retriever is missing: a model (a folder, a hub id), or BM25.")
    if not options.instruction:
        raise InputError(f"config.instruction is empty; there are {', '.join(CONDITIONS)}.")
    if options.pooled and options.pools:
        raise InputError("config.pools ranks each query's own documents; pooled=True has no sense.")
    if (options.judged or options.judging_sheet) and not options.pooled:
        raise InputError("a judging sheet is of pooled hits; --config.pooled=True finds some.")
    if options.gold and (options.pooled or options.pools or options.max_documents):
        raise InputError("KILT's tasks share one corpus: no pooled, pools or max_documents.")


def _test(options: Options, workdir: Path, rows: Sequence[collections.Row]) -> Path:
    """The folder of tasks: of a table, or one that `tart-jax prepare` made; sampled if asked."""
    if options.gold:
        gold = kilt_files.gold_files(options.gold, options.tasks)
        out, words = workdir / "test", options.instructions
        return kilt_files.make(out, options.benchmark, gold, options.max_queries, words)
    if rows:
        test = collections.make(
            workdir / "test", rows, options.root, pooled=options.pooled, download=options.download
        )
    else:
        test = io.existing(options.benchmark, "folder of test tasks, or table (.tsv) of them")
    if options.max_queries or options.max_documents:
        sizes = dict(max_queries=options.max_queries, max_documents=options.max_documents)
        test = sampling.sample(test, workdir / "sample", **sizes, seed=0)
    return test


def _fingerprint(test: Path, tasks: Sequence[str]) -> str:
    """Of the queries, judgements and documents of the tasks."""
    total = hashlib.sha256()
    for task in tasks:
        own = [path for path in (test / task).rglob("*") if path.is_file()]
        if not any(path.name.startswith(("corpus.jsonl", "gold.jsonl")) for path in own):
            own += (test / "pooled").glob("corpus.jsonl*")
        total.update("".join(map(content, sorted(own))).encode())
    return total.hexdigest()


def _cell(setting: Setting, task: str, scope: str, condition: str) -> dict[str, Any]:
    """The row of a task in a scope; `kinds` counts the first hits by the task they come from."""
    options, workdir = setting.options, setting.workdir
    folder = workdir / "results" / condition.replace(":", "-") / task / scope
    words = asked(setting.table, task, condition)
    run, digest = ranking.ranked(setting, task, scope, words, folder)
    judged = _judged_by(setting, task, scope, run)
    judge = {
        **judged,
        "measures": options.measures,
        "drop_self": options.drop_self,
        "complete": options.complete,
        "resamples": options.resamples,
        "seed": options.seed,
    }
    inputs = (digest, content(setting.test / task), content(judged["qrels"]))
    scores = folder / "scores"
    Step("evaluate", setting.score, scores, "metrics.json", judge, inputs).done()
    found = io.read_json(scores / "metrics.json")
    return {
        "task": task,
        "group": setting.groups.get(task) or task,
        "scope": scope,
        "instruction": condition,
        "words": words,
        "queries": found["queries"],
        "missing": found["missing"],
        "measures": found["measures"],
        "kinds": _kinds(run / "run.trec") if scope == "pooled" else None,
        "scores": str(scores.relative_to(workdir)),
        "run": str(run.relative_to(workdir)),
    }


def _judged_by(setting: Setting, task: str, scope: str, run: Path) -> dict[str, Path]:
    """The run and the judgements of it, as the stage that scores takes them."""
    options, place = setting.options, setting.test / task
    if options.gold:
        texts, _ = ranking.corpus_of(options, setting.test, task, scope)
        found = kilt_files.predict(run / "run.trec", texts, place)
        return {"run": found, "qrels": place / "gold.jsonl"}
    qrels = place / "qrels" / "test.tsv"
    if options.judged and scope == "pooled":
        qrels = judging.merged(qrels, judging.judged(options.judged), run.parent / "qrels.tsv")
    return {"run": run / "run.trec", "qrels": qrels}


def _kinds(run: Path) -> dict[str, int]:
    """How many of the first hits of all queries are of each task's documents."""
    found = Counter[str]()
    for block in io.run_blocks(run):
        for hits in block.values():
            best = sorted(hits, key=lambda hit: (hit.score, hit.doc_id), reverse=True)[
                : judging.LOOKED_AT
            ]
            found.update(kind(hit.doc_id) for hit in best)
    return dict(found)
