"""Real collections in BEIR's layout as instructed tasks: train, dev and test of each by one rule.

Layout: train/<task>.jsonl; instructions.tsv; {dev,test}/instructions.tsv and
{dev,test}/<task>/ in BEIR layout over the whole corpus; test/pooled/corpus.jsonl with the documents
of all tasks; dataset.json with the counts. Ids of documents and queries begin with `<task>/`.
"""

import os
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from tart_jax import io
from tart_jax.data import beir_examples, corpus, dataset_folder, examples, instructions
from tart_jax.data.beir_examples import Task
from tart_jax.data.splits import HeldOutTexts, split_of, text_hash
from tart_jax.tables import Table
from tart_jax.types import InputError, Qrels

KIND = "tart_jax beir tasks"
VERSION = 1  # of what is written; a folder of another version is made anew
CONTENTS = {"train", "instructions.tsv", "dev", "test"}
SPLITS = ("train", "dev", "test")


def run(
    workdir: Path,
    *,
    tasks: Sequence[str],
    root: str,
    held_out: Sequence[str],
    banks: Sequence[str],
    num_negatives: int,
    max_train_per_task: int,
    max_dev_queries: int,
    seed: int,
) -> Table:
    """Makes the data set in `workdir`, or finds it there; returns its counts.

    tasks: "name=folder", folders in BEIR's layout under `root`; names are rows of one of the
    instruction `banks`. held_out: tasks that are not trained on at all.
    InputError: a folder, a name or an option that does not fit.
    """
    options = {name: value for name, value in locals().items() if name != "workdir"}
    options = {name: list(v) if isinstance(v, tuple) else v for name, v in options.items()}
    loaded = load_tasks(tasks, root, held_out)
    header = {"kind": KIND, "version": VERSION, "options": options}
    header["sources"] = {task.name: source_digests(task.folder) for task in loaded}
    stats = dataset_folder.finished(workdir, KIND, CONTENTS)
    if any(stats.get(name) != value for name, value in header.items()):
        rows = wordings([task.name for task in loaded], banks)
        with dataset_folder.building(workdir) as (aside, stats):
            stats |= header | _make(aside, loaded, rows, held_out, options)
    return summary(stats)


def load_tasks(words: Sequence[str], root: str, held_out: Sequence[str]) -> list[Task]:
    """The named collections with their splits; a held-out one keeps its test split alone."""
    tasks = []
    for word in words:
        name, _, folder = word.partition("=")
        if not name or not folder:
            raise InputError(f"config.tasks: {word!r} should look like 'name=folder'.")
        tasks.append(_load(name, io.existing(Path(root) / folder, "collection"), name in held_out))
    names = [task.name for task in tasks]
    unknown = sorted(set(held_out) - set(names))
    if unknown or len(set(names)) < len(names) or not tasks:
        raise InputError(
            f"config.held_out {unknown} is not among config.tasks, or a task stands there twice:"
            f" {', '.join(names) or 'none'}."
        )
    return tasks


def _load(name: str, folder: Path, held_out: bool) -> Task:
    files = {split: folder / "qrels" / f"{split}.tsv" for split in SPLITS}
    judged = {split: io.read_qrels(path) for split, path in files.items() if path.is_file()}
    if not judged:
        raise InputError(f"{folder}/qrels holds neither train.tsv, dev.tsv nor test.tsv.")
    queries = {query.query_id: query.text for query in corpus.read_queries(folder)}
    for path in sorted(folder.glob("queries.*.jsonl*")):  # CoSQA's dev queries lie apart
        queries |= {query.query_id: query.text for query in corpus.read_queries(path)}
    judged = {
        split: {query: hits for query, hits in qrels.items() if query in queries}
        for split, qrels in judged.items()
    }
    if held_out:
        if "test" not in judged:
            raise InputError(f"{folder} has no qrels/test.tsv, which a held-out task needs.")
        return Task(name, folder, queries, {"test": judged["test"]}, True)
    if "train" in judged:
        return Task(name, folder, queries, judged, True)
    divided: dict[str, Qrels] = {split: {} for split in SPLITS}
    for qrels in judged.values():
        for query, hits in qrels.items():
            divided[split_of(queries[query])][query] = hits
    return Task(name, folder, queries, divided, False)


def source_digests(folder: Path) -> dict[str, str]:
    """sha256 of the files that a task is made of."""
    found = [*folder.glob("*.jsonl*"), *(folder / "qrels" / f"{split}.tsv" for split in SPLITS)]
    return {path.name: io.sha256(path) for path in sorted(found) if path.is_file()}


def wordings(tasks: Sequence[str], banks: Sequence[str]) -> dict[str, instructions.InstructionRow]:
    """Each task's row in the first bank that has one. InputError: none has."""
    rows: dict[str, instructions.InstructionRow] = {}
    for task in tasks:
        for bank in banks:
            row = instructions.bank(bank).get(task)
            if row is not None:
                rows.setdefault(task, row)
        if task not in rows:
            raise InputError(f"no instruction bank of {', '.join(banks)} has the task {task!r}.")
    return rows


def _make(
    folder: Path,
    tasks: Sequence[Task],
    rows: Mapping[str, instructions.InstructionRow],
    held_out: Sequence[str],
    options: Mapping[str, Any],
) -> dict[str, Any]:
    """Writes everything but dataset.json, whose counts it returns."""
    counts: dict[str, Any] = {}
    texts = HeldOutTexts()
    for task in tasks:
        documents = _write_corpus(task, folder / "test" / task.name)
        queries = {s: _write_split(task, s, folder, options["max_dev_queries"]) for s in SPLITS[1:]}
        texts.add(beir_examples.asked_and_answered(task, folder / "test" / task.name), task.name)
        counts[task.name] = {"documents": documents, "official": task.official} | queries
    _pool(folder / "test", [task.name for task in tasks])
    for task in tasks:
        counts[task.name]["train"], counts[task.name]["dropped"] = 0, {}
        if task.name not in held_out:
            drops = Counter[str]()
            made = beir_examples.training(
                task, folder / "test" / task.name, texts, drops, **_drawing(options)
            )
            counts[task.name]["train"] = examples.write(
                folder / "train" / f"{task.name}.jsonl", made
            )
            counts[task.name]["dropped"] = dict(sorted(drops.items()))
    _write_wordings(folder, rows, held_out, counts)
    return {"tasks": counts, "held_out_texts": len(texts)}


def _drawing(options: Mapping[str, Any]) -> dict[str, int]:
    return {name: options[name] for name in ("seed", "num_negatives", "max_train_per_task")}


def _write_corpus(task: Task, folder: Path) -> int:
    def lines() -> Iterator[dict[str, str]]:
        for document in corpus.read_documents(task.folder):
            doc_id = f"{task.name}/{document.doc_id}"
            yield {"_id": doc_id, "title": document.title, "text": document.text}

    return io.write_jsonl(folder / "corpus.jsonl", lines())


def _write_split(task: Task, split: str, folder: Path, max_dev_queries: int) -> int:
    """Queries and judgements of dev or test; the corpus is the test's, linked, not copied."""
    qrels = {
        query: {f"{task.name}/{doc_id}": score for doc_id, score in hits.items()}
        for query, hits in task.qrels.get(split, {}).items()
    }
    if split == "dev" and max_dev_queries:
        chosen = sorted(qrels, key=lambda query: text_hash(task.queries[query]))[:max_dev_queries]
        qrels = {query: qrels[query] for query in chosen}
    if not qrels:
        return 0
    here, test = folder / split / task.name, folder / "test" / task.name
    queries = ({"_id": f"{task.name}/{q}", "text": task.queries[q]} for q in qrels)
    io.write_jsonl(here / "queries.jsonl", queries)
    io.write_qrels(here / "qrels" / "test.tsv", {f"{task.name}/{q}": h for q, h in qrels.items()})
    if here != test:
        os.link(test / "corpus.jsonl", here / "corpus.jsonl")
    return len(qrels)


def _pool(test: Path, tasks: Sequence[str]) -> None:
    records = (
        record
        for task in tasks
        for _, record in io.read_jsonl(test / task / "corpus.jsonl")
    )  # fmt: skip
    io.write_jsonl(test / "pooled" / "corpus.jsonl", records)


def _write_wordings(
    folder: Path,
    rows: Mapping[str, instructions.InstructionRow],
    held_out: Sequence[str],
    counts: Mapping[str, Any],
) -> None:
    """Training reads all wordings but the last, dev the first of them, the test the last."""

    def cut(task: str, part: slice) -> instructions.InstructionRow:
        row = rows[task]
        return instructions.InstructionRow(
            task, row.intent, row.domain, row.unit, row.instructions[part]
        )

    trained = [task for task in rows if task not in held_out]
    instructions.write_table(folder / "instructions.tsv", [cut(t, slice(0, -1)) for t in trained])
    for split, part in (("dev", slice(0, 1)), ("test", slice(-1, None))):
        asked = [cut(task, part) for task in rows if counts[task][split]]
        if asked:
            instructions.write_table(folder / split / "instructions.tsv", asked)


def summary(stats: Mapping[str, Any]) -> Table:
    """Counts of each task, and what was left out."""
    header = ["task", "train", "dev queries", "test queries", "documents", "splits", "left out"]
    rows = [
        [
            task,
            f"{c['train']:,}",
            f"{c['dev']:,}",
            f"{c['test']:,}",
            f"{c['documents']:,}",
            "published" if c["official"] else "by hash",
            ", ".join(f"{count:,} {why}" for why, count in c["dropped"].items()) or "none",
        ]
        for task, c in stats["tasks"].items()
    ]
    note = f"{stats['held_out_texts']:,} texts of dev and test are in no training example."
    return Table("Data set", header, rows, note)
