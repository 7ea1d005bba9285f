"""The BERRI build as Beam transforms, for many workers; the only file that imports apache_beam.

They give the records that the local build gives. Workers read the sources, the corpus and write
the shards at the same paths, so these lie on a file system that all of them see.
"""

import functools
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from tart_jax import io
from tart_jax.data.berri import rules, selection
from tart_jax.data.berri.rules import Lost
from tart_jax.data.berri.task import Task
from tart_jax.data.examples import TrainingExample
from tart_jax.data.sources import TfdsRecords
from tart_jax.types import Document, InputError

RUNNERS = ("DirectRunner", "FlinkRunner", "SparkRunner", "DataflowRunner")
Units = Sequence[tuple[Path, ...]]


def settings(runner: str, options: Sequence[str]) -> dict[str, Any]:
    """What TFDS takes to run on Beam. InputError: an unknown runner, or Beam is not installed."""
    if runner not in RUNNERS:
        raise InputError(f"config.beam_runner {runner!r} is not one of {', '.join(RUNNERS)}.")
    try:
        from apache_beam.options.pipeline_options import PipelineOptions
    except ImportError as error:
        raise InputError(
            f"config.beam_runner {runner} needs Apache Beam: pip install 'tart-jax[beam]'"
        ) from error
    return {"beam_runner": runner, "beam_options": PipelineOptions(list(options))}


def corpus(task: Task, units: Units) -> Any:
    """A transform to (key, record) of each document, once."""
    import apache_beam as beam

    return beam.ptransform_fn(_corpus)(task, units)


def _corpus(begin: Any, task: Task, units: Units) -> Any:
    import apache_beam as beam

    return (
        begin
        | beam.Create(list(units))
        | beam.Reshuffle()
        | beam.FlatMap(_documents, task)
        | beam.CombinePerKey(min)  # of texts that differ in white space, always the same
        | beam.Map(_keyed)
    )


def _documents(unit: tuple[Path, ...], task: Task) -> Iterator[tuple[str, bytes]]:
    for item in rules.refined(task, unit):
        if isinstance(item, Document):
            yield item.doc_id, rules.document_json(item)


def _keyed(item: tuple[str, bytes]) -> tuple[bytes, dict[str, Any]]:
    return item[0].encode(), json.loads(item[1])  # TFDS changes backslashes in keys that are str


def instances(
    task: Task,
    units: Units,
    *,
    cap: int | None,
    num_negatives: int,
    seed: int,
    corpus_folder: Path,
    counts: Path,
) -> Any:
    """A transform to (key, record) of each kept example; what was lost is counted in `counts`."""
    import apache_beam as beam

    return beam.ptransform_fn(_instances)(
        task, units, cap, (num_negatives, seed, corpus_folder), counts
    )


def _instances(
    begin: Any, task: Task, units: Units, cap: int | None, negatives: tuple, counts: Path
) -> Any:
    import apache_beam as beam

    every = begin | beam.Create(list(units)) | beam.Reshuffle() | beam.FlatMap(_found, task)
    lost = every | "lost" >> beam.Filter(_is_lost)
    found = every | "found" >> beam.Filter(lambda item: not _is_lost(item))
    distinct = found | "distinct" >> beam.CombinePerKey(min)
    _ = (
        distinct
        | "keys" >> beam.Map(lambda item: (item[1][1], 1))
        | "times" >> beam.CombinePerKey(sum)
        | "refuse" >> beam.Map(_refuse_repeated, task.name)
    )
    kept = distinct
    if cap is not None:
        last = (
            distinct
            | "ranks" >> beam.Map(_rank)
            | "smallest" >> beam.combiners.Top.Smallest(cap)
            | "last" >> beam.Map(lambda ranks: max(ranks, default=(-1, -1)))
        )
        kept = distinct | "kept" >> beam.Filter(
            lambda item, last: _rank(item) <= last, beam.pvalue.AsSingleton(last)
        )
    records = (
        kept
        | "ids" >> beam.Map(lambda item: item[1][1:])
        | "negatives" >> beam.Map(_with_negatives, *negatives)
    )
    fewer = records | "fewer" >> beam.Filter(_has_fewer, negatives[0])
    groups = {"found": found, "distinct": distinct, "kept": kept, "fewer": fewer}
    _ = (
        [lost | "reasons" >> beam.CombinePerKey(sum), *(_count(*item) for item in groups.items())]
        | beam.Flatten()
        | beam.combiners.ToList()
        | "counts" >> beam.Map(_write_counts, counts)
    )
    return records | "records" >> beam.Map(_keyed)


def _found(unit: tuple[Path, ...], task: Task) -> Iterator[tuple[Any, Any]]:
    """(content hash, (key hash, key, example)) of an example, (Lost, 1) of what was lost."""
    for item in rules.refined(task, unit):
        if isinstance(item, TrainingExample):
            key = item.query_id
            yield rules.content_hash(item), (rules.key_hash(key), key, rules.example_json(item))
        elif isinstance(item, Lost):
            yield tuple(item), 1


def _is_lost(item: tuple[Any, Any]) -> bool:
    return isinstance(item[0], tuple)


def _rank(item: tuple[int, tuple[int, str, bytes]]) -> tuple[int, int]:
    return item[1][0], item[0]


def _refuse_repeated(key_times: tuple[str, int], name: str) -> None:
    if key_times[1] > 1:
        raise InputError(selection.repeated_key(name, key_times[0]))


def _count(name: str, group: Any) -> Any:
    import apache_beam as beam

    number = group | f"count {name}" >> beam.combiners.Count.Globally()
    return number | f"name {name}" >> beam.Map(lambda number, name: (name, number), name)


@functools.lru_cache(1)
def _opened(folder: Path, made: int) -> TfdsRecords:
    """made: of a folder that was built anew, so that the old one's readers are not asked."""
    return TfdsRecords(folder)


def _with_negatives(
    item: tuple[str, bytes], num_negatives: int, seed: int, corpus_folder: Path
) -> tuple[str, bytes]:
    example = rules.parse_json(item[1])
    if num_negatives:
        documents = _opened(corpus_folder, corpus_folder.stat().st_mtime_ns)
        places = rules.candidates(example, num_negatives, seed, len(documents))
        found = (Document(**record) for record in documents.fetch(places))
        example = rules.with_negatives(example, found, num_negatives)
    return item[0], rules.example_json(example)


def _has_fewer(item: tuple[str, bytes], num_negatives: int) -> bool:
    return len(rules.parse_json(item[1]).negatives) < num_negatives


def _write_counts(counts: list[tuple[Any, int]], path: Path) -> None:
    io.write_json(path, counts)
