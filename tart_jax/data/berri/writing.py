"""A task's two TFDS sets, written in this process or by Beam: the same records either way."""

import shutil
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

from tart_jax import io
from tart_jax.data.berri import beam, rules
from tart_jax.data.berri.buckets import Buckets
from tart_jax.data.berri.rules import Lost
from tart_jax.data.berri.selection import Selection
from tart_jax.data.berri.task import Task
from tart_jax.data.examples import TrainingExample
from tart_jax.data.sources import BLOCK, TfdsRecords
from tart_jax.types import Document, InputError


class Options(NamedTuple):
    """What changes the records of a task, its sources apart."""

    seed: int
    num_negatives: int
    cap: int | None
    shortest_query: int


class Job(NamedTuple):
    """config: the `builder.TaskConfig`, without records yet. temporary: an empty folder."""

    workdir: Path
    task: Task
    units: beam.Units
    options: Options
    config: Any
    temporary: Path


def write_local(job: Job) -> dict[str, Any]:
    """Both sets in this process: one pass for the corpus and what to keep, one for the examples."""
    from tart_jax.data.berri import builder

    workdir, task, units, options, config, temporary = job

    lost, selection = Counter[Lost](), Selection()
    documents = Buckets(temporary / "documents", builder.BerriCorpus.split)
    for item in _items(task, units):
        if isinstance(item, Lost):
            lost[item] += 1
        elif isinstance(item, Document):
            documents.add(item.doc_id, rules.document_json(item))
        else:
            selection.add(item)
    selection.choose(options.cap)
    if not selection.kept:
        raise InputError(_nothing(task, lost))
    of_documents = replace(config, buckets=documents)
    num_documents = builder.write(builder.BerriCorpus, workdir, of_documents, temporary)
    shutil.rmtree(temporary / "documents")
    corpus = TfdsRecords(builder.folder(builder.BerriCorpus, workdir, task.name))
    instances, fewer = Buckets(temporary / "instances", builder.Berri.split), 0
    kept = (
        item
        for item in _items(task, units)
        if isinstance(item, TrainingExample) and selection.keeps(item)
    )
    for example in _with_negatives(kept, corpus, options):
        instances.add(example.query_id, rules.example_json(example))
        fewer += len(example.negatives) < options.num_negatives
    builder.write(builder.Berri, workdir, replace(config, buckets=instances), temporary)
    return _counts(
        lost,
        found=selection.found,
        distinct=selection.distinct,
        kept=selection.kept,
        fewer=fewer,
        documents=num_documents,
    )


def _items(task: Task, units: beam.Units) -> Iterator[TrainingExample | Document | Lost]:
    for unit in units:
        yield from rules.refined(task, unit)


def _with_negatives(
    kept: Iterable[TrainingExample], corpus: TfdsRecords, options: Options
) -> Iterator[TrainingExample]:
    kept, number = iter(kept), options.num_negatives
    while block := list(islice(kept, BLOCK)):
        places = [rules.candidates(e, number, options.seed, len(corpus)) for e in block]
        found = iter(corpus.fetch([place for some in places for place in some]))
        for example, some in zip(block, places, strict=True):
            documents = [Document(**record) for record in islice(found, len(some))]
            yield rules.with_negatives(example, documents, number)


def write_beam(job: Job, runner: dict[str, Any]) -> dict[str, Any]:
    """Both sets by two pipelines; the second reads random negatives from the first one's corpus."""
    from tart_jax.data.berri import builder

    workdir, task, units, options, config, temporary = job

    of_documents = replace(config, transform=beam.corpus(task, units))
    num_documents = builder.write(
        builder.BerriCorpus, workdir, of_documents, temporary, beam=runner
    )
    transform = beam.instances(
        task,
        units,
        cap=options.cap,
        num_negatives=options.num_negatives,
        seed=options.seed,
        corpus_folder=builder.folder(builder.BerriCorpus, workdir, task.name),
        counts=temporary / "counts.json",
    )
    of_instances = replace(config, transform=transform)
    builder.write(builder.Berri, workdir, of_instances, temporary, beam=runner)
    lost, totals = Counter[Lost](), dict[str, int]()
    for name, number in io.read_json(temporary / "counts.json"):
        if isinstance(name, str):
            totals[name] = number
        else:
            lost[Lost(*name)] += number
    return _counts(lost, **totals, documents=num_documents)


def _counts(
    lost: Counter[Lost], *, found: int, distinct: int, kept: int, fewer: int, documents: int
) -> dict[str, Any]:
    drops = {reason: n for (what, reason), n in lost.items() if what == "record"}
    for reason, number in (("duplicate", found - distinct), ("over the cap", distinct - kept)):
        if number:
            drops[reason] = drops.get(reason, 0) + number
    return {
        "instances": kept,
        "documents": documents,
        "drops": dict(sorted(drops.items())),
        "texts_removed": dict(sorted((r, n) for (what, r), n in lost.items() if what == "text")),
        "fewer_negatives": fewer,  # examples of a corpus too small to give num_negatives
    }


def _nothing(task: Task, lost: Counter[Lost]) -> str:
    said = ", ".join(f"{number:,} {reason}" for (_, reason), number in lost.items())
    return f"task {task.name}: no instance is left of its files ({said or 'which hold none'})."
