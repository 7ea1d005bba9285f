"""Stage `mine`: training examples and a retriever to examples with better negatives."""

import json
import logging
import time
from collections.abc import Callable, Iterable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from ml_collections import ConfigDict
from tqdm import tqdm

from tart_jax import io
from tart_jax.data import beir_examples, instructions, lookup, mixture
from tart_jax.data.examples import TrainingExample
from tart_jax.data.lookup import ById
from tart_jax.data.splits import HeldOutTexts
from tart_jax.mine import candidates, unfollowing
from tart_jax.mine.candidates import Finder, FusedFinder, IndexFinder, QuerySide, RunFinder
from tart_jax.mine.denoise import Thresholds
from tart_jax.mine.miner import PAIR, Miner, Teacher, Unfollowing
from tart_jax.mine.negatives import Rules
from tart_jax.search import rerank_run
from tart_jax.search.partial import PartialFile
from tart_jax.search.run import query_encoder
from tart_jax.tables import Table
from tart_jax.types import InputError

logger = logging.getLogger(__name__)
MINED = "mined.jsonl"
AHEAD = 1024  # examples that are searched for at a time


def run(config: ConfigDict, workdir: Path) -> None:
    """Mines `config.examples` into `workdir/mined.jsonl`; after a kill it continues."""
    _check(config)
    sources = list(mixture.open_sources(config.examples).values())
    tasks = mixture.by_task(sources)
    places = {task: np.sort(p)[: config.max_per_task or None] for task, p in tasks.items()}
    side, of_retriever = _query_side(config.retriever)
    finder, indexes = _finder(config, side)
    searched = corpora(config, places)
    identity = {
        "examples": [source.fingerprint for source in sources],
        "indexes": {task: _described(indexes, task) for task in searched},
        "retriever": of_retriever,
    }
    miner, of_miner = make_miner(config, finder, _documents(config, indexes), places)
    identity |= of_miner | _options(config, places)
    partial = PartialFile(workdir, identity, name=MINED, overwrite=config.overwrite)
    if partial.complete:
        logger.info("%s is there already, made from the same.", workdir / MINED)
        return
    views = {task: mixture.View(sources, p) for task, p in places.items()}
    write(partial, miner, views, config.block_size)
    partial.finish({})
    _summary(partial.counts, partial.queries).show()
    logger.info(
        "Mined %s examples in %.0f s: %s",
        f"{partial.queries:,}", partial.seconds, workdir / MINED,
    )  # fmt: skip


def make_miner(
    config: ConfigDict,
    finder: Finder,
    documents: Callable[[str], ById],
    tasks: Iterable[str],
) -> tuple[Miner, dict[str, Any]]:
    """A miner by the options of `config`, and what its teacher is, for an identity."""
    if config.block_size < 1:
        raise InputError(f"config.block_size {config.block_size} is not positive; 64 is usual.")
    teacher, of_teacher = _teacher(config.teacher)
    miner = Miner(
        finder,
        documents,
        _rules(config.hard),
        table=_wordings(config, tasks),
        instructed=config.retriever.instructed,
        teacher=teacher,
        unfollowing=_unfollowing(config.unfollowing),
        held_out=_held_out(config.exclude),
        keep=config.keep,
        seed=config.seed,
    )
    return miner, {"teacher": of_teacher}


def check_options(config: ConfigDict, tasks: Iterable[str]) -> dict[str, Any]:
    """What `make_miner` says of the teacher. InputError: options that no miner can be made of."""

    def nothing(*_: Any) -> Any:
        raise AssertionError("this miner is not to be used")

    return make_miner(config, nothing, nothing, tasks)[1]


def corpora(config: ConfigDict, tasks: Iterable[str]) -> list[str]:
    """The tasks whose corpora are searched: the examples' own, and the wrong kinds of these."""
    unfollow = _unfollowing(config.unfollowing)
    kinds = {c for task in tasks for c in (unfollow.table.get(task, ()) if unfollow else ())}
    return sorted({*tasks, *kinds})


def write(partial: PartialFile, miner: Miner, views: dict[str, mixture.View], size: int) -> None:
    """Block by block, each of one task; whole blocks that are done are skipped."""
    start = time.perf_counter()
    miner.counts.update(partial.counts)
    total = sum(len(view) for view in views.values())
    done = partial.queries
    with tqdm(total=total, initial=done, unit="query", desc="mine", disable=None) as progress:
        group: list[TrainingExample] = []
        for task, begin, end in _blocks(views, size, done):
            if not group:
                ahead = range(begin, min(begin + max(size, AHEAD // size * size), len(views[task])))
                group = [views[task][place] for place in ahead]
                miner.search(task, group)
            before = miner.counts.copy()
            block, group = group[: end - begin], group[end - begin :]
            lines = [
                json.dumps(record, ensure_ascii=False) + "\n" for record in miner.mine(task, block)
            ]
            before.subtract(miner.counts)
            counts = {name: -count for name, count in before.items()}
            seconds, start = time.perf_counter() - start, time.perf_counter()
            partial.append(lines, queries=len(block), seconds=seconds, counts=counts)
            progress.update(len(block))


def _blocks(views: dict[str, mixture.View], size: int, done: int) -> Iterator[tuple[str, int, int]]:
    """(task, begin, end) of the blocks after the first `done` examples."""
    for task, view in views.items():
        for begin in range(0, len(view), size):
            end = min(begin + size, len(view))
            if done >= end - begin:
                done -= end - begin
                continue
            yield task, begin, end


def _options(config: ConfigDict, tasks: Iterable[str]) -> dict[str, Any]:
    """The config in plain JSON, and the files that it names by their contents."""
    options = json.loads(config.to_json_best_effort())
    for group in ("retriever", "teacher"):
        del options[group]["mesh"]  # a killed miner goes on with any number of devices
    runs = {p.replace(candidates.PLACE, t) for p in _words(config.run) for t in tasks}
    table = instructions.locate(config.instructions) if config.instructions else None
    kinds = unfollowing.locate(config.unfollowing.table) if config.unfollowing.table else None
    return {
        "runs": {path: io.sha256(path) for path in sorted(runs)},
        "instructions": io.sha256(table) if table else None,
        "kinds": io.sha256(kinds) if kinds else None,
        "options": {name: value for name, value in options.items() if name != "overwrite"},
    }


def _check(config: ConfigDict) -> None:
    if not config.examples:
        raise InputError("--config.examples is missing: the training examples to mine for.")
    if not config.index and not config.run:
        raise InputError(
            "--config.index and --config.run are both missing: candidates come from an index that"
            " `tart-jax index` wrote, or from a TREC run."
        )
    if config.run and not config.corpus:
        raise InputError("--config.corpus is missing: where the texts of the run's documents are.")


def _query_side(config: ConfigDict) -> tuple[QuerySide | None, dict[str, Any] | None]:
    if not config.model:
        return None, None
    model, encoder, format = query_encoder(config)
    side = QuerySide(model, encoder, format.instruction_order, format.separator or "")
    return side, {"weights_sha256": model.weights_sha256}


def _finder(config: ConfigDict, side: QuerySide | None) -> tuple[Finder, list[IndexFinder]]:
    indexes = [IndexFinder(path, side) for path in _words(config.index)]
    finders: list[Finder] = [*indexes, *(RunFinder(path) for path in _words(config.run))]
    return finders[0] if len(finders) == 1 else FusedFinder(finders), indexes


def _words(text: str) -> list[str]:
    return [word.strip() for word in text.split(",") if word.strip()]


def _described(indexes: list[IndexFinder], task: str) -> list[dict[str, Any]]:
    """What the task's indexes were made from; opens each, so that one missing is told at once."""
    names = ("factory", "prefix", "corpus_fingerprint", "manifest_sha256", "k1", "b")
    descriptions = [index.stored(task).description for index in indexes]
    return [{name: each[name] for name in names if name in each} for each in descriptions]


def _documents(config: ConfigDict, indexes: list[IndexFinder]) -> Callable[[str], ById]:
    """A task's corpus by id; tasks that share a file share its table."""
    of_path = cache(lookup.of_corpus)

    def documents(task: str) -> ById:
        if config.corpus:
            return of_path(config.corpus.replace(candidates.PLACE, task))
        return of_path(indexes[0].stored(task).description["corpus"])

    return documents


def _rules(config: ConfigDict) -> Rules:
    return Rules(**config.to_dict() | {"near_duplicate": config.near_duplicate or None})


def _teacher(config: ConfigDict) -> tuple[Teacher | None, dict[str, Any] | None]:
    if not config.model:
        return None, None
    loaded = rerank_run.load_scorer(config)
    thresholds = Thresholds(config.negative_below, config.positive_above, config.normalization)
    teacher = Teacher(
        loaded.scorer, loaded.order, loaded.separator, thresholds if config.relabel else None
    )
    return teacher, loaded.identity


def _unfollowing(config: ConfigDict) -> Unfollowing | None:
    if not config.table:
        return None
    table = unfollowing.read_table(config.table)
    unfollowing.allowance(0, config.share)  # refuses a share that is none
    return Unfollowing(table, config.k, config.share, config.per_pair)


def _wordings(config: ConfigDict, tasks: Iterable[str]) -> dict[str, tuple[str, ...]]:
    if not config.instructions:
        return {}
    table = instructions.read_table(config.instructions)
    instructions.require_tasks(table, tasks, config.instructions)
    return {task: table[task].instructions for task in tasks}


def _held_out(folders: str) -> HeldOutTexts:
    texts = HeldOutTexts()
    for folder in _words(folders):
        beir_examples.add_held_out(Path(folder), texts)
    return texts


def _summary(counts: dict[str, int], queries: int) -> Table:
    """What became of the candidates; the pairs of kinds are in mined.json."""
    pairs = {name: count for name, count in counts.items() if name.startswith(PAIR)}
    shown = {name: count for name, count in counts.items() if name not in pairs}
    if pairs:
        shown["unfollowing negatives"] = sum(pairs.values())
    each = max(queries, 1)
    rows = [[name, f"{count:,}", f"{count / each:.2f}"] for name, count in sorted(shown.items())]
    return Table("Mining", ["what", "documents", "per example"], rows)
