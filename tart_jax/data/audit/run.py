"""Stage `audit`: what a training set holds, what is wrong with it, and a cleaned copy."""

import logging
import tempfile
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ml_collections import ConfigDict
from tqdm import tqdm

from tart_jax import io
from tart_jax.data import instruction_lint, instructions
from tart_jax.data.audit import page, places, records, sample, shares, statistics
from tart_jax.data.audit.collect import Tables, compare, scan
from tart_jax.data.audit.faults import Tally
from tart_jax.data.audit.judgements import Judgements
from tart_jax.data.audit.leakage import TestTexts
from tart_jax.data.audit.records import Item, Source
from tart_jax.data.audit.repair import repair
from tart_jax.data.audit.statistics import TaskStatistics
from tart_jax.data.instructions import InstructionRow
from tart_jax.tables import Table
from tart_jax.types import InputError

logger = logging.getLogger(__name__)
MEBIBYTE = 1 << 20


@dataclass(frozen=True)
class Settings:
    """The keys of the config that say how to audit, with the defaults of its file."""

    instructions: str = ""
    test: tuple[str, ...] = ()
    ngrams: int = 0
    tokenizer: str = ""
    token_sample: int = 2000
    memory_mb: int = 512
    shown: int = 5
    sample: int = 0
    seed: int = 0


@dataclass
class Found:
    """All that an audit found. result: as `audit.json` has it."""

    result: dict[str, Any]
    instances: list[str] = field(default_factory=list)
    tokens: dict[str, list[int]] = field(default_factory=dict)


def run(config: ConfigDict, workdir: Path | None) -> None:
    """Prints the tables; with a workdir, writes `audit.json` and `audit.html` there, too."""
    if not config.path:
        raise InputError("the data to audit are missing: name them, tart-jax audit PATH.")
    if config.repair and workdir is None:
        raise InputError("--workdir=FOLDER is missing: --repair writes its cleaned copy there.")
    if config.path.endswith(".tsv") or config.path.startswith(instructions.BANK):
        _lint(config.path, workdir)
        return
    settings = Settings(
        config.instructions, tuple(config.test), config.ngrams, config.tokenizer,
        config.token_sample, config.memory_mb, config.shown, config.sample, config.seed,
    )  # fmt: skip
    found = audit(config.path, settings, workdir, repaired=config.repair)
    for table in page.tables(found.result):
        table.show()
    for text in found.instances:
        print(text, end="\n\n")
    if workdir is not None:
        write(found, workdir)


def _lint(path: str, workdir: Path | None) -> None:
    """An instruction table has rules of its own."""
    faults = instruction_lint.lint(path)
    note = f"{len(faults):,} faults."
    Table(
        f"Instruction table {path}", ["fault"], [[fault] for fault in faults or ["none"]], note
    ).show()
    if workdir is not None:
        io.write_json(workdir / "audit.json", {"path": path, "faults": faults})


def audit(
    path: str | Path, settings: Settings, workdir: Path | None = None, *, repaired: bool = False
) -> Found:
    """Reads the data once, and once more where faults need to be located or repaired."""
    start = time.perf_counter()
    _check(settings)
    sources = records.find(path)
    training = [source for source in sources if source.layout != "beir"]
    if repaired and not training:
        raise InputError(f"{path} holds no training file to repair; a BEIR folder has no examples.")
    table = instructions.read_table(settings.instructions) if settings.instructions else None
    tests = TestTexts(settings.test, settings.ngrams)
    with tempfile.TemporaryDirectory(prefix="audit-", dir=_scratch(workdir)) as name:
        tables = Tables(Path(name), settings.memory_mb * MEBIBYTE)
        found = _survey(path, sources, settings, table, tests, tables)
        if repaired and not found.result["total"]["examples"]:
            raise InputError(f"{path} holds no example to repair, documents only.")
        if repaired and workdir is not None:
            target = workdir / "repaired.jsonl"
            items = _shown(_items(training), "repair")
            changes, count = repair(
                items, target, tests=tests, folder=Path(name), limit=tables.limit
            )
            found.result["repaired"] = {
                "path": str(target),
                "examples": count,
                "of": found.result["total"]["records"],
                "changes": dict(sorted(changes.items())),
                "left_out": [str(source.path) for source in sources if source not in training],
            }
    found.result["seconds"] = round(time.perf_counter() - start, 1)
    return found


def _check(settings: Settings) -> None:
    for name, least in (("memory_mb", 1), ("token_sample", 0), ("shown", 1), ("sample", 0)):
        value = getattr(settings, name)
        if value < least:
            raise InputError(f"config.{name} is {value}; it should be {least} or more.")


def _scratch(workdir: Path | None) -> Path | None:
    """Beside the outputs, where there is room for them; else the system's folder."""
    if workdir is not None:
        workdir.mkdir(parents=True, exist_ok=True)
    return workdir


def _items(sources: Iterable[Source]) -> Iterator[Item]:
    for source in sources:
        yield from source.items()


def _shown(items: Iterable[Item], what: str) -> Iterator[Item]:
    return iter(tqdm(items, unit=" records", desc=what, disable=None))


def _survey(
    path: str | Path,
    sources: Sequence[Source],
    settings: Settings,
    table: Mapping[str, InstructionRow] | None,
    tests: TestTexts,
    tables: Tables,
) -> Found:
    """Both passes; everything but the repair."""
    tasks: dict[str, TaskStatistics] = {}
    count_tokens = statistics.counter(settings.tokenizer)

    def of(task: str) -> TaskStatistics:
        if task not in tasks:
            tasks[task] = TaskStatistics(settings.token_sample, count_tokens)
        return tasks[task]

    tally = Tally(settings.shown)
    reservoir = sample.Reservoir(settings.sample, settings.seed)
    judged = {source.path: Judgements(source) for source in sources if source.layout == "beir"}
    scanned = scan(
        sources, judged=judged, statistics=of, tables=tables, tally=tally, tests=tests,
        instructed=table,
    )  # fmt: skip
    for item in _shown(scanned, "audit"):
        reservoir.add(item)
    for judgements in judged.values():
        judgements.check(tally)
    kinds = shares.KindCounter(list(tables.tasks), table)
    repeats = compare(tables, tally, kinds.visit)
    places.find(lambda: _shown(_items(sources), "locate"), tables, repeats, tally)
    result = {
        "path": str(path),
        "sources": [{"path": str(source.path), "layout": source.layout} for source in sources],
        "settings": dict(vars(settings)),
        "spilled": tables.spilled(),
        **_counted(tasks, settings, table),
        "faults": tally.to_json(statistics.wholes(tasks, sum(map(len, judged.values())))),
        "kinds": {
            name: {**kind._asdict(), "shunned": kind.shunned}
            for name, kind in kinds.kinds().items()
        },
        "repaired": None,
    }
    names = {"query": "queries", "document": "documents"}
    tokens = {
        names[part]: [length for task in tasks.values() for length in task.samples[part].tokens()]
        for part in statistics.PARTS
    }
    return Found(result, [sample.described(item) for item in reservoir.items()], tokens)


def _counted(
    tasks: Mapping[str, TaskStatistics],
    settings: Settings,
    table: Mapping[str, InstructionRow] | None,
) -> dict[str, Any]:
    """Counts of each task and of all, and what was not looked for."""
    return {
        "tasks": {name: task.to_json() for name, task in sorted(tasks.items())},
        "total": statistics.merged(tasks.values(), settings.token_sample).to_json(),
        "not_checked": _not_checked(settings),
        "shares": shares.by_group({name: task.examples for name, task in tasks.items()}, table),
    }


def _not_checked(settings: Settings) -> list[str]:
    said = []
    if not settings.instructions:
        said.append("missing instructions (no config.instructions)")
    if not settings.test:
        said.append("leakage (no config.test)")
    elif not settings.ngrams:
        said.append("leakage by runs of words (config.ngrams=0)")
    return said


def write(found: Found, workdir: Path) -> None:
    """Writes `audit.json` and `audit.html`."""
    io.write_json(workdir / "audit.json", found.result)
    with tempfile.TemporaryDirectory() as name:
        pictures = page.figures(found.result, found.tokens, Path(name))
        text = page.html(found.result, pictures, found.instances)
    with io.writing(workdir / "audit.html") as aside:
        aside.write_text(text, "utf-8")
    records_ = found.result["total"]["records"]
    logger.info("Audited %s records in %s s: %s", f"{records_:,}", found.result["seconds"],
                workdir / "audit.html")  # fmt: skip
