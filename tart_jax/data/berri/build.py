"""Builds BERRI tasks: raw files to TFDS sets of examples and corpora, locally or on Beam.

Layout: `berri/<task>/1.0.0` (examples), `berri_corpus/<task>/1.0.0` (documents), and
`berri/<task>/build.json` with what a build is made of and what it counted.
"""

import logging
import shutil
import time
from collections import Counter
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

from tart_jax import io
from tart_jax.data.berri import beam, fetch, writing
from tart_jax.data.berri.task import Origin, Task, origins
from tart_jax.data.berri.writing import Job, Options
from tart_jax.data.sources import BERRI_KIND
from tart_jax.tables import Table
from tart_jax.types import InputError

logger = logging.getLogger(__name__)
LAYOUT = 1  # of what is written; a build of another one is refused


def run(
    workdir: Path,
    *,
    seed: int,
    tasks: Sequence[str],
    sources: str,
    download: bool,
    skip_missing: bool,
    num_negatives: int,
    max_instances: int,
    beam_runner: str,
    beam_options: Sequence[str],
) -> Table:
    """Builds each task that `workdir` lacks and returns the counts of all.

    A finished task of the same options and sources is left as it is; a killed one starts over.
    InputError: an unknown task, missing or changed sources, a build of other options in `workdir`.
    """
    from tart_jax.data.berri.tasks import TASKS

    chosen = _chosen(tasks, TASKS)
    runner = beam.settings(beam_runner, beam_options) if beam_runner else None
    facts, todo = {}, []
    for task in chosen:
        options = Options(seed, num_negatives, _cap(task, max_instances), task.shortest_query)
        done = _finished(workdir, task, origins()[task.name], Path(sources), options)
        if done:
            facts[task.name] = done
        else:
            todo.append((task, options))
    skipped = _lacking([task for task, _ in todo], Path(sources), download, skip_missing)
    for task, options in todo:
        if task.name not in skipped:
            origin = origins()[task.name]
            found = fetch.find(task.name, origin, Path(sources), download=download)
            facts[task.name] = build(workdir, task, origin, found, options, runner)
    if not facts:
        raise InputError(f"no task could be built; {sources} lacks the files of all of them.")
    return table([facts[task.name] for task in chosen if task.name in facts], skipped)


def _chosen(names: Sequence[str], known: dict[str, Task]) -> list[Task]:
    unknown = [name for name in names if name not in known]
    if unknown:
        raise InputError(
            f"config.tasks names {unknown[0]!r}; the tasks are {', '.join(sorted(known))}."
        )
    return [known[name] for name in names or known]


def _cap(task: Task, max_instances: int) -> int | None:
    caps = [cap for cap in (task.cap, max_instances or None) if cap is not None]
    return min(caps, default=None)


def _lacking(tasks: list[Task], sources: Path, download: bool, skip: bool) -> list[str]:
    """The tasks whose files are not there, before hours go into the others."""
    said = {}
    for task in tasks:
        origin = origins()[task.name]
        lacking = fetch.missing(task.name, origin, sources)
        lacking = [source for source in lacking if not (download and source.url)]
        if lacking:
            said[task.name] = fetch.manual(task.name, origin, sources, lacking)
    if said and not skip:
        first, *others = said
        names = ", ".join(others[:5]) + (f" and {len(others) - 5} more" if others[5:] else "")
        rest = f" The files of {names} are missing, too." if others else ""
        raise InputError(
            f"{said[first]}{rest} config.download gets what has an address; config.skip_missing"
            " leaves such tasks out."
        )
    for sentence in said.values():
        logger.warning("Left out: %s", sentence)
    return list(said)


def _finished(
    workdir: Path, task: Task, origin: Origin, sources: Path, options: Options
) -> dict[str, Any] | None:
    """build.json of a finished build of these options. InputError: of others, or not ours."""
    path = _record(workdir, task)
    folders = [workdir / name / task.name for name in ("berri", "berri_corpus")]
    if not path.is_file():
        foreign = [str(folder) for folder in folders if folder.exists()]
        if foreign:
            raise InputError(f"{foreign[0]} exists without a build.json; name another workdir.")
        return None
    facts = io.read_json(path)
    if not isinstance(facts, dict) or facts.get("kind") != BERRI_KIND:
        raise InputError(f"{path} is no record of a BERRI build; name another workdir.")
    if not facts.get("finished"):
        return None
    wanted = {"layout": LAYOUT, "options": options._asdict()}
    for name, value in wanted.items():
        if facts.get(name) != value:
            raise InputError(
                f"{path} was built with {name} {facts.get(name)}, not {value}; name another workdir"
                f" or remove {' and '.join(map(str, folders))}."
            )
    sizes = {source["file"]: source["size"] for source in facts["sources"]}
    for source in origin.files:
        raw = sources / task.name / source.file
        if raw.is_file() and raw.stat().st_size != sizes.get(source.file):
            raise InputError(
                f"{path} was built from {source.file} of {sizes.get(source.file)} bytes;"
                f" {raw} has {raw.stat().st_size}; remove {' and '.join(map(str, folders))}."
            )
    return facts


def _record(workdir: Path, task: Task) -> Path:
    return workdir / "berri" / task.name / "build.json"


def build(
    workdir: Path,
    task: Task,
    origin: Origin,
    found: fetch.Found,
    options: Options,
    runner: dict[str, Any] | None = None,
) -> dict[str, Any]:
    """Writes one task and returns its build.json. runner: of Beam; None builds in this process."""
    from tart_jax.data.berri import builder

    begin = time.perf_counter()
    record, temporary = _record(workdir, task), workdir / f".{task.name}.building"
    for folder in (record.parent, workdir / "berri_corpus" / task.name, temporary):
        shutil.rmtree(folder, ignore_errors=True)  # `_finished` made sure that they are ours
    facts = _facts(task, origin, found, options)
    io.write_json(record, facts)
    temporary.mkdir()
    config = builder.TaskConfig(
        name=task.name,
        version=builder.VERSION,
        description=f"BERRI task {task.name}: {task.kind}, {task.domain}, unit {task.unit}.",
        citation=origin.citation,
        licence=origin.licence,
    )
    job = Job(workdir, task, found.units, options, config, temporary)
    try:
        counts = writing.write_beam(job, runner) if runner else writing.write_local(job)
    finally:
        shutil.rmtree(temporary)
    facts |= {"finished": True, "counts": counts}
    io.write_json(record, facts)
    logger.info(
        "Built %s: %s instances, %s documents in %.0f s",
        task.name,
        f"{counts['instances']:,}",
        f"{counts['documents']:,}",
        time.perf_counter() - begin,
    )
    return facts


def _facts(task: Task, origin: Origin, found: fetch.Found, options: Options) -> dict[str, Any]:
    return {
        "kind": BERRI_KIND,
        "layout": LAYOUT,
        "finished": False,
        "task": task.name,
        "number": task.number,
        "domain": task.domain,
        "task_kind": task.kind,
        "unit": task.unit,
        "options": options._asdict(),
        "sources": found.sources,
        "licence": origin.licence,
        "citation": origin.citation,
        "format": origin.format,
        "versions": {
            name: version(name) for name in ("tart-jax", "tensorflow-datasets", "array-record")
        },
    }


def table(facts: Sequence[dict[str, Any]], skipped: Sequence[str] = ()) -> Table:
    """Counts of each task: what it kept and what it dropped, by reason."""
    header = ["task", "domain", "kind", "instances", "documents", "dropped", "reasons"]
    rows = []
    for one in facts:
        counts = one["counts"]
        reasons = ", ".join(f"{n:,} {reason}" for reason, n in counts["drops"].items())
        numbers = (counts["instances"], counts["documents"], sum(counts["drops"].values()))
        rows.append(
            [one["task"], one["domain"], one["task_kind"], *map("{:,}".format, numbers), reasons]
        )
    removed = Counter[str]()
    for one in facts:
        removed.update(one["counts"]["texts_removed"])
    texts = ", ".join(f"{n:,} {reason}" for reason, n in sorted(removed.items()))
    note = f"Texts left out of instances: {texts or 'none'}."
    if skipped:
        note += f" Tasks left out, as their files are missing: {', '.join(skipped)}."
    return Table("BERRI", header, rows, note)
