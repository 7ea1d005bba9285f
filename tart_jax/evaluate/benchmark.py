"""A system on the tasks of a benchmark: encoded, searched, reranked and scored, closed and pooled.

Each step is a stage with a folder of its own, so that any figure leads to its run, its config and
its command; a step that is done of the same inputs is not done again.
"""

import hashlib
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from tqdm import tqdm

from tart_jax import config as configs
from tart_jax import io
from tart_jax.data.instructions import InstructionRow, read_table
from tart_jax.encode import run as encode
from tart_jax.encode.store import MANIFEST
from tart_jax.evaluate import collections, sampling
from tart_jax.evaluate.steps import Stage, Step, content
from tart_jax.evaluate.systems import SCOPES, kind
from tart_jax.index import run as index
from tart_jax.index.store import BM25, DESCRIPTION, EXACT
from tart_jax.search import rerank_run
from tart_jax.search import run as search_run
from tart_jax.types import InputError

CONDITIONS = ("right", "none", "wrong")  # and "wording:N", the N-th of the task's own
RESULTS = "results.json"
LOOKED_AT = 10  # hits of a query whose kinds are counted


class Options(NamedTuple):
    """What `configs/evaluate/default.py` says of a benchmark."""

    benchmark: str
    root: str
    download: bool
    tasks: Sequence[str]
    pooled: bool
    pools: bool
    instruction: Sequence[str]
    max_queries: int
    max_documents: int
    retriever: str
    encode_options: Sequence[str]
    retriever_options: Sequence[str]
    plain_retriever: bool
    reranker: str
    reranker_kind: str
    reranker_options: Sequence[str]
    k: int
    candidates: int
    measures: Sequence[str]
    drop_self: bool
    complete: bool
    resamples: int
    seed: int


class Setting(NamedTuple):
    """What every search of a benchmark shares; score: the stage that scores one run."""

    options: Options
    workdir: Path
    test: Path
    table: Mapping[str, InstructionRow]
    groups: Mapping[str, str]  # task -> whose mean counts as one task
    score: Stage


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
    wordings = table[task].instructions
    if name != "wording" or not number.isdigit() or not 1 <= int(number) <= len(wordings):
        raise InputError(
            f"config.instruction: {condition!r} is not one of {', '.join(CONDITIONS)} or wording:1"
            f" to wording:{len(wordings)} (of task {task})."
        )
    return wordings[int(number) - 1]


def _check(options: Options) -> None:
    if not options.retriever:
        raise InputError("--config.retriever is missing: a model (a folder, a hub id), or BM25.")
    if not options.instruction:
        raise InputError(f"config.instruction is empty; there are {', '.join(CONDITIONS)}.")
    if options.pooled and options.pools:
        raise InputError("config.pools ranks each query's own documents; pooled=True has no sense.")


def _test(options: Options, workdir: Path, rows: Sequence[collections.Row]) -> Path:
    """The folder of tasks: of a table, or one that `tart-jax prepare` made; sampled if asked."""
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
        if not any(path.name.startswith("corpus.jsonl") for path in own):
            own += (test / "pooled").glob("corpus.jsonl*")
        total.update("".join(map(content, sorted(own))).encode())
    return total.hexdigest()


def _cell(setting: Setting, task: str, scope: str, condition: str) -> dict[str, Any]:
    """The row of a task in a scope; `kinds` counts the first hits by the task they come from."""
    options, workdir = setting.options, setting.workdir
    folder = workdir / "results" / condition.replace(":", "-") / task / scope
    words = asked(setting.table, task, condition)
    run, digest = _ranked(setting, task, scope, words, folder)
    judge = {
        "run": run / "run.trec",
        "qrels": setting.test / task / "qrels" / "test.tsv",
        "measures": options.measures,
        "drop_self": options.drop_self,
        "complete": options.complete,
        "resamples": options.resamples,
        "seed": options.seed,
    }
    scores, inputs = folder / "scores", (digest, content(setting.test / task))
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


def _ranked(setting: Setting, task: str, scope: str, words: str, folder: Path) -> tuple[Path, str]:
    """(the folder of a task's last run, a digest of what it was made of)."""
    options, test = setting.options, setting.test
    corpus, prefix = _corpus(options, test, task, scope)
    built, digest = _indexed(setting, corpus, prefix, f"{task}-{scope}" if prefix else corpus.name)
    # Of a pool all are ranked, to find those that were judged.
    depth = io.read_json(built / DESCRIPTION)["count"] if options.pools else options.k
    search = {"index": built, "queries": test / task, "k": depth, "drop_self": options.drop_self}
    search |= _pairs(options.retriever_options)
    if options.retriever != BM25:  # which matches words, and reads no instruction
        plain = options.plain_retriever
        search |= {"model": options.retriever, "instruction": "" if plain else words}
    last, queries = folder / "run", content(test / task)
    digest = Step("search", search_run.run, last, "run.trec", search, (digest, queries)).done()
    if options.pools:
        last = _judged(last, test / task / "qrels" / "test.tsv", folder / "judged")
    if not options.reranker:
        return last, digest
    rerank = {
        "run": last / "run.trec", "corpus": corpus, "queries": test / task, "instruction": words,
        "k": options.candidates, "model": options.reranker, "kind": options.reranker_kind,
        **_pairs(options.reranker_options),
    }  # fmt: skip
    last, inputs = folder / "reranked", (digest, queries, content(options.reranker))
    return last, Step("rerank", rerank_run.run, last, "run.trec", rerank, inputs).done()


def _corpus(options: Options, test: Path, task: str, scope: str) -> tuple[Path, str]:
    """(corpus, prefix of the ids that count): the pooled one is encoded once, for all tasks."""
    own = test / task
    if not options.pooled and any(own.glob("corpus.jsonl*")):
        return own, ""
    return test / "pooled", "" if scope == "pooled" else f"{task}/"


def _indexed(setting: Setting, corpus: Path, prefix: str, name: str) -> tuple[Path, str]:
    """(the index folder of a part of a corpus, a digest of what it was made of)."""
    options, folder = setting.options, setting.workdir / "index" / name
    texts = content(corpus)
    if options.retriever == BM25:
        made = {"factory": BM25, "corpus": corpus, "prefix": prefix}
        return folder, Step("index", index.run, folder, DESCRIPTION, made, (texts,)).done()
    embeddings = setting.workdir / "embeddings" / corpus.name
    made_of = {"model": options.retriever, "corpus": corpus, **_pairs(options.encode_options)}
    inputs = (texts, content(options.retriever))
    digest = Step("encode", encode.run, embeddings, MANIFEST, made_of, inputs).done()
    made = {"factory": EXACT, "embeddings": embeddings, "prefix": prefix}
    return folder, Step("index", index.run, folder, DESCRIPTION, made, (digest,)).done()


def _pairs(words: Sequence[str]) -> dict[str, str]:
    """ "key=value" by key. InputError: not of that form."""
    if wrong := [word for word in words if "=" not in word]:
        raise InputError(f"options: {wrong[0]!r} should look like 'key=value'.")
    return {key: value for key, _, value in (word.partition("=") for word in words)}


def _judged(run: Path, qrels: Path, out: Path) -> Path:
    """`out` with those hits of a run that were judged for their query: each query's own pool."""
    judged = io.read_qrels(qrels)
    with io.writing(out / "run.trec") as aside, aside.open("w", encoding="utf-8") as file:
        for query_id, hits in io.read_run(run / "run.trec").items():
            pool = judged.get(query_id, {})
            file.writelines(io.run_lines(query_id, (h for h in hits if h.doc_id in pool), "pool"))
    return out


def _kinds(run: Path) -> dict[str, int]:
    """How many of the first hits of all queries are of each task's documents."""
    found = Counter[str]()
    for hits in io.read_run(run).values():
        best = sorted(hits, key=lambda hit: (hit.score, hit.doc_id), reverse=True)[:LOOKED_AT]
        found.update(kind(hit.doc_id) for hit in best)
    return dict(found)
