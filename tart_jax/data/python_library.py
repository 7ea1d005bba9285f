"""The demo's data set, made from the Python that runs it: its sources and language reference.

Layout: train.jsonl, instructions.tsv; {dev,test}/instructions.tsv; {dev,test}/<task>/ in BEIR
layout (corpus.jsonl, queries.jsonl, qrels/test.tsv); {dev,test}/pooled/corpus.jsonl with the
documents of all tasks; dataset.json with the counts. A document's kind is its id up to the
first "/".
"""

import platform
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tart_jax import io
from tart_jax.data import dataset_folder, examples, python_layout, python_sources, python_topics
from tart_jax.data.python_layout import LEAST_TEST_QUERIES, wordings
from tart_jax.data.python_tasks import (
    PROSE_TASKS,
    SHARED_QUERY_TASKS,
    TASKS,
    Subject,
    digest,
    function_subjects,
    in_order,
    merge_equal_documents,
    section_subjects,
    training_examples,
    without_repeats,
)
from tart_jax.tables import Table
from tart_jax.types import InputError

__all__ = ["run", "PROSE_TASKS", "SHARED_QUERY_TASKS", "TASKS", "build", "wordings"]

KIND = "tart_jax python library"
VERSION = 1  # of what is written; a folder of another version is made anew
CONTENTS = {"train.jsonl", "instructions.tsv", "dev", "test"}
TEST_SHARE, DEV_SHARE, MOST_TEST = 0.22, 0.08, 0.40

Splits = dict[str, list[Subject]]


def run(
    workdir: Path,
    *,
    max_modules: int,
    max_test_queries: int,
    max_dev_queries: int,
    max_test_documents: int,
    max_dev_documents: int,
    **options: Any,
) -> Table:
    """`build` under the keys of its config file (0: no limit); returns the counts."""
    stats = build(
        workdir,
        max_modules=max_modules or None,
        max_test_queries_per_task=max_test_queries,
        max_dev_queries_per_task=max_dev_queries,
        max_test_documents_per_task=max_test_documents,
        max_dev_documents_per_task=max_dev_documents,
        **options,
    )
    return summary(stats)


def build(
    directory: str | Path,
    *,
    packages: Sequence[str] = (),
    seed: int = 0,
    max_train_per_task: int | None = None,
    max_test_queries_per_task: int = 200,
    max_dev_queries_per_task: int = 50,
    max_test_documents_per_task: int = 500,
    max_dev_documents_per_task: int = 150,
    num_negatives: int = 8,
    duplicate_threshold: float | None = 0.6,
    max_modules: int | None = None,
    library: str | Path | None = None,
    topics: Mapping[str, str] | None = None,
) -> dict[str, Any]:
    """Makes the data set in `directory`, or finds it there, and returns what dataset.json holds.

    packages: installed packages to read besides the standard library, by name; never imported.
    duplicate_threshold: Jaccard similarity (three-word shingles) from which a training text
        repeats a held-out one and leaves the training set; None keeps them all.
    max_modules: stop after so many modules with documented functions, for a quick form.
    library, topics: a folder of sources and a topic table in place of this Python's own.

    The same Python and options give the same bytes; a finished folder of both is returned as it is.
    InputError: `directory` holds something else, an unknown package, no function to learn from.
    """
    options = {
        name: value
        for name, value in locals().items()
        if name not in ("directory", "packages", "library", "topics")
    }
    options["packages"] = {name: python_sources.package_version(name) for name in packages}
    python = f"{platform.python_implementation()} {platform.python_version()}"
    header = {"kind": KIND, "version": VERSION, "python": python, "options": options}
    found = dataset_folder.finished(Path(directory), KIND, CONTENTS)
    own = library is None and topics is None
    if own and found and all(found.get(name) == value for name, value in header.items()):
        return found
    sources = _sources(library, packages)
    return _make(Path(directory), header, sources, topics)


def _sources(library: str | Path | None, packages: Sequence[str]) -> list[tuple[str, Path]]:
    if library is None:
        found = python_sources.standard_library()
    else:
        found = python_sources.source_files(io.existing(library, "library folder"))
    for package in packages:
        found = found + python_sources.package_files(package)
    return list(dict(found).items())  # a package named twice is read once


def _make(
    directory: Path,
    header: dict[str, Any],
    sources: Sequence[tuple[str, Path]],
    topics: Mapping[str, str] | None,
) -> dict[str, Any]:
    """Writes the data set beside `directory` and puts it in its place when it is whole."""
    options, seed = header["options"], header["options"]["seed"]
    if topics is None:
        topics = python_topics.installed_topics()
    splits, counts = _subjects(sources, topics, options)
    training = training_examples(
        splits["train"],
        max_per_task=options["max_train_per_task"],
        num_negatives=options["num_negatives"],
        seed=seed,
    )
    if not training:
        raise InputError(
            f"no training example came out of {len(sources)} source files; are their docstrings"
            " there (some packagers strip them)? Raise max_modules if it is set."
        )
    with dataset_folder.building(directory) as (aside, stats):
        examples.write(aside / "train.jsonl", training)
        held_out = {
            name: python_layout.write_split(
                aside / name,
                splits[name],
                max_queries=options[f"max_{name}_queries_per_task"],
                max_documents=options[f"max_{name}_documents_per_task"],
                seed=seed,
            )
            for name in ("dev", "test")
        }
        python_layout.write_wordings(aside, training, held_out)
        stats |= header | {"tasks": python_layout.task_counts(training, held_out)} | counts
    return stats


def _subjects(
    sources: Sequence[tuple[str, Path]], topics: Mapping[str, str], options: Mapping[str, Any]
) -> tuple[Splits, dict[str, Any]]:
    """The subjects of each split in the order of `in_order`, and what was counted on the way."""
    seed, threshold = options["seed"], options["duplicate_threshold"]
    drops = Counter[str]()
    hashed = sorted(sources, key=lambda source: digest(seed, source[0]))
    modules, bad_files = python_sources.read_modules(
        hashed, max_modules=options["max_modules"], drops=drops
    )
    by_topic: dict[str, list[Subject]] = {}
    for subject in section_subjects(python_topics.read_sections(topics), drops):
        by_topic.setdefault(subject.module, []).append(subject)
    topic_groups = [by_topic[topic] for topic in sorted(by_topic, key=lambda t: digest(seed, t))]
    wanted = min(options["max_test_queries_per_task"], LEAST_TEST_QUERIES)
    splits = _split([function_subjects(module, drops) for module in modules], wanted)
    for name, subjects in _split(topic_groups, 0).items():
        splits[name] = in_order(merge_equal_documents(splits[name] + subjects), seed)
    removed: dict[str, int] = {}
    if threshold is not None:
        held_out = splits["dev"] + splits["test"]
        kept, removed = without_repeats(splits["train"], held_out, threshold=threshold)
        splits["train"] = in_order(kept, seed)
    return splits, {
        "modules": len(modules),
        "functions": sum(len(module.functions) for module in modules),
        "topics": len(topic_groups),
        "subjects": {name: len(subjects) for name, subjects in splits.items()},
        "bad_files": bad_files,
        "drops": dict(sorted(drops.items())),
        "repeats_removed": removed,
    }


def _split(groups: Sequence[list[Subject]], wanted_queries: int) -> Splits:
    """Whole modules, in hash order, to test and dev while they have room; the rest to training.

    Shares are of subjects: a module larger than the room left goes to training. The test gets
    MOST_TEST where its usual share holds fewer complete subjects than wanted.
    """
    total = sum(map(len, groups))
    test, rest = _take(groups, TEST_SHARE * total)
    if sum(subject.complete() for subject in test) < wanted_queries:
        test, rest = _take(groups, MOST_TEST * total)
    dev, rest = _take(rest, DEV_SHARE * total)
    return {"train": [subject for group in rest for subject in group], "dev": dev, "test": test}


def _take(
    groups: Sequence[list[Subject]], room: float
) -> tuple[list[Subject], list[list[Subject]]]:
    taken: list[Subject] = []
    left = []
    for group in groups:
        if len(taken) + len(group) <= room:
            taken += group
        else:
            left.append(group)
    return taken, left


def summary(stats: dict) -> Table:
    """Counts of each task, and what left the training set."""
    header = ["task", "train", "dev queries", "test queries", "test documents", "averaged"]
    rows = [
        [
            task,
            f"{counts['train']:,}",
            f"{counts['dev']['queries']:,}",
            f"{counts['test']['queries']:,}",
            f"{counts['test']['documents']:,}",
            "yes" if counts["averaged"] else "no",
        ]
        for task, counts in stats["tasks"].items()
    ]
    removed = ", ".join(f"{count:,} {what}" for what, count in stats["repeats_removed"].items())
    note = (
        f"{stats['python']}: {stats['modules']:,} modules, {stats['functions']:,} functions."
        f" Left the training set, repeating a held-out text: {removed or 'nothing'}."
        f" Unreadable files skipped: {len(stats['bad_files'])}."
    )
    return Table("Data set", header, rows, note)
