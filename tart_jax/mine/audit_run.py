"""Stage `audit-mined`: mined examples to a report of what is wrong with them."""

import logging
import math
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

from ml_collections import ConfigDict
from tqdm import tqdm

from tart_jax import io
from tart_jax.data import instructions
from tart_jax.data.instructions import join
from tart_jax.mine import audit, audit_page
from tart_jax.mine.audit import Mined, Survey
from tart_jax.mine.denoise import Thresholds
from tart_jax.mine.miner import wording
from tart_jax.mine.run import MINED
from tart_jax.search import rerank_run
from tart_jax.search.rerank_run import Loaded
from tart_jax.types import InputError

logger = logging.getLogger(__name__)
BLOCK = 64  # queries that a teacher scores at a time
Wording = Callable[[Mined], Mined]


class Report(NamedTuple):
    """What `audit.json` holds, and for each file its examples to read."""

    result: dict[str, Any]
    shown: dict[str, list[str]]


def run(config: ConfigDict, workdir: Path) -> None:
    """Writes `audit.json`, `audit.md` and figures of `config.mined` to workdir."""
    report = audited(config)
    for table in audit_page.tables(report.result, by_task=False):
        table.show()
    _write(report, workdir)


def audited(config: ConfigDict) -> Report:
    """Reads each file once, and lets the teacher score what was drawn from it."""
    start = time.perf_counter()
    thresholds = _check(config)
    files = _files(config.mined)
    made = {name: _made(path) for name, path in files.items()}
    wordings = {name: _wording(config, made[name], path) for name, path in files.items()}
    teacher = rerank_run.load_scorer(config.teacher) if config.teacher.model else None
    surveys = {}
    for name, path in files.items():
        lines = tqdm(audit.read(path), unit="query", desc=f"audit {name}", disable=None)
        surveys[name] = audit.survey(
            iter(lines),
            thresholds=thresholds,
            seed=config.seed,
            sample=config.sample if teacher else 0,
            shown=config.read,
        )
        if teacher:
            _rescore(surveys[name], teacher, wordings[name], thresholds)
    result = {
        "positive_above": config.positive_above,
        "normalization": config.teacher.normalization,
        "sample": config.sample if teacher else None,
        "seed": config.seed,
        "teacher": teacher.identity if teacher else None,
        "notes": _notes(surveys, made, teacher, plain=config.instructions == ""),
        "files": {
            name: {"path": str(files[name]), "made": made[name], **found.to_json()}
            for name, found in surveys.items()
        },
        "overlap": audit.overlap(surveys),
        "seconds": round(time.perf_counter() - start, 1),
    }
    shown = {
        name: [audit_page.described(wordings[name](each)) for _, each in found.shown.items()]
        for name, found in surveys.items()
    }
    return Report(result, shown)


def _write(report: Report, workdir: Path) -> None:
    result, shown = report
    pictures = audit_page.figures(result, workdir)
    page = audit_page.markdown(result, pictures, shown)
    io.write_json(workdir / "audit.json", result)
    with io.writing(workdir / "audit.md") as aside:
        aside.write_text(page, "utf-8")
    queries = sum(file["queries"] for file in result["files"].values())
    logger.info("Audited %s queries in %s s: %s", f"{queries:,}", result["seconds"],
                workdir / "audit.md")  # fmt: skip


def _check(config: ConfigDict) -> Thresholds:
    if not config.mined:
        raise InputError("the examples to audit are missing: --config.mined=runs/a/mined.jsonl.")
    for name, least in (("sample", 1), ("read", 0)):
        if config[name] < least:
            raise InputError(f"config.{name} is {config[name]}; it should be {least} or more.")
    bar, scale = config.positive_above, config.teacher.normalization
    thresholds = Thresholds(-math.inf, bar, scale)
    if scale != "none" and not 0 < bar < 1:
        raise InputError(
            f"config.positive_above {bar} should lie between 0 and 1, as scores do after"
            f" {scale}; without --config.teacher.normalization=none."
        )
    return thresholds


def _files(words: str) -> dict[str, Path]:
    """A short name for each file: its folder's where it is called as the miner calls it."""
    paths = [io.existing(word.strip(), "mined file") for word in words.split(",") if word.strip()]
    paths = [path / MINED if path.is_dir() else path for path in paths]
    for path in paths:
        io.existing(path, "mined file")
    if len({path.resolve() for path in paths}) < len(paths):
        raise InputError(f"--config.mined={words} names a file twice; name each once.")
    names = [p.resolve().parent.name if p.name == MINED else p.stem for p in paths]
    unique = len(set(names)) == len(names)
    return {name if unique else str(path): path for name, path in zip(names, paths, strict=True)}


def _made(path: Path) -> dict[str, Any] | None:
    """What the miner's own record says of its making; None where there is none."""
    record = path.with_suffix(".json")
    found = io.read_json(record) if record.is_file() else None
    return found if isinstance(found, dict) and "options" in found else None


def _wording(config: ConfigDict, made: dict[str, Any] | None, path: Path) -> Wording:
    """Gives a line the instruction that its miner asked with, where it has none of its own."""
    options = made["options"] if made else {}
    file = config.instructions
    file = options.get("instructions", "") if file is None else file
    table = instructions.read_table(file) if file else {}
    seed = options.get("seed", config.seed)

    def told(mined: Mined) -> Mined:
        if mined.instruction is not None or not table:
            return mined
        instructions.require_tasks(table, [mined.task], file)
        texts = table[mined.task].instructions
        return replace(mined, instruction=wording(texts, seed, mined.query_id))

    return told


def _rescore(found: Survey, teacher: Loaded, told: Wording, thresholds: Thresholds) -> None:
    """Judges the sample by the teacher's scores of all its documents."""
    drawn = found.sample.items()
    with tqdm(total=len(drawn), unit="query", desc="rescore", disable=None) as progress:
        for begin in range(0, len(drawn), BLOCK):
            block = drawn[begin : begin + BLOCK]
            for (place, _), mined in zip(block, _scored(block, teacher, told), strict=True):
                found.judge(place, mined, thresholds)
            progress.update(len(block))


def _scored(block: Iterable[tuple[int, Mined]], teacher: Loaded, told: Wording) -> list[Mined]:
    asked = [told(mined) for _, mined in block]
    pairs = []
    for mined in asked:
        query = join(
            mined.query, mined.instruction or "", order=teacher.order, separator=teacher.separator
        )
        pairs += [(query, entry.document.contents()) for entry in mined.entries]
    scores = iter(teacher.scorer.score(pairs).tolist())
    return [mined.scored([next(scores) for _ in mined.entries]) for mined in asked]


def _notes(
    surveys: Mapping[str, Survey],
    made: Mapping[str, dict[str, Any] | None],
    teacher: Loaded | None,
    *,
    plain: bool,
) -> list[str]:
    """What a reader must know before the figures. plain: the teacher reads no table."""
    notes = []
    for name, found in surveys.items():
        if not found.total.teacher.to_json()["edges"]:
            notes.append(
                f"{name} holds no teacher's scores and none were computed, so nothing is known of"
                " its false negatives; give --config.teacher.model."
            )
        elif _circular(made[name], teacher):
            notes.append(
                f"{name} was relabelled by the same teacher that scores it here: that few of its"
                " hard negatives are called positive is so by construction; take another teacher."
            )
        if teacher and plain and (made[name] or {}).get("instructions"):
            notes.append(f"{name} was mined with instructions, and is judged without.")
    return notes


def _circular(made: dict[str, Any] | None, teacher: Loaded | None) -> bool:
    """Whether the scores that judge a file have also chosen what it holds."""
    own = (made or {}).get("teacher")
    if not own or not (made or {})["options"]["teacher"]["relabel"]:
        return False
    return teacher is None or teacher.identity["weights_sha256"] == own["weights_sha256"]
