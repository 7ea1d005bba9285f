"""Builds what a reader reads of a KILT task: inputs, answers, and passages: gold, found, or none.

Layout: examples.jsonl (training examples whose positives are the passages, best first),
dataset.json. Ids are KILT's own, so that what a reader writes can be handed in.
"""

import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

from tart_jax import io
from tart_jax.data import dataset_folder, examples
from tart_jax.data.examples import TrainingExample
from tart_jax.data.kilt import build, mapping, tasks
from tart_jax.data.kilt.mapping import PassageTable
from tart_jax.data.kilt.queries import Forms
from tart_jax.data.reading import NOTHING
from tart_jax.tables import Table
from tart_jax.types import Document, InputError, Run

KIND = "tart_jax reading"
KINDS = ("gold", "run", "none")


def run(
    workdir: Path, *, kilt: str, gold: str, passages: str, run: str, count: int, answered: bool
) -> Table:
    """Writes the examples of one task; returns their counts.

    kilt: a folder of `tart-jax prepare --config=configs/prepare/kilt.py`. gold: "task=file".
    passages: "gold", "none", or those that a TREC `run` found. answered: only items with an answer,
    as training needs. InputError: a file or option that does not fit.
    """
    task, mark, path = gold.partition("=")
    if not mark:
        raise InputError(f"config.gold should be 'task=file', not {gold!r}.")
    form = tasks.require_task(task).form
    if passages not in KINDS or (passages == "run") != bool(run):
        raise InputError(f"config.passages is one of {', '.join(KINDS)}; with run, and only with"
                         " it, --config.run names a TREC run.")  # fmt: skip
    state = io.read_json(io.existing(Path(kilt) / build.STATE, "config.kilt's"))
    bleu = next((p["made_of"]["bleu"] for n, p in state["parts"].items() if "/" in n), 0.0)
    forms = Forms.of(state["parts"])
    header = {
        "kind": KIND, "task": task, "passages": passages, "count": count, "answered": answered,
        "gold_sha256": io.sha256(io.existing(path, "config.gold:")),
        "corpus": state["parts"]["corpus"]["fingerprint"],
        "run_sha256": io.sha256(io.existing(run, "config.run:")) if run else "",
        "forms": asdict(forms),
    }  # fmt: skip
    header = json.loads(json.dumps(header))  # as it comes back: lists, no tuples
    stats = dataset_folder.finished(workdir, KIND, {"examples.jsonl"})
    if any(stats.get(name) != value for name, value in header.items()):
        counts, found = Counter[str](), io.read_run(run) if run else {}
        with (
            PassageTable(kilt) as table,
            dataset_folder.building(workdir) as (aside, stats),
        ):
            chosen = _Chosen(table, passages, found, count, bleu)
            rows = _examples(path, task, form, forms, chosen, answered, counts)
            examples.write(aside / "examples.jsonl", rows)
            stats |= header | {"counts": dict(counts)}
    return summary(stats)


class _Chosen:
    """The passages of an item."""

    def __init__(self, table: PassageTable, kind: str, run: Run, count: int, bleu: float):
        self.table, self.kind, self.run, self.count, self.bleu = table, kind, run, count, bleu

    def __call__(self, item: tasks.Item) -> tuple[Document, ...]:
        if self.kind == "none":
            return ()
        if self.kind == "gold":
            found = mapping.positives(item, self.table, threshold=self.bleu, drops=Counter())
        else:
            hits = sorted(self.run.get(item.query_id, []), key=lambda h: (h.score, h.doc_id))[::-1]
            places = [self.table.position(hit.doc_id) for hit in hits[: self.count]]
            if None in places:
                raise InputError(
                    f"config.run: query {item.query_id!r} has a hit that is no passage of"
                    " config.kilt; it is of another corpus."
                )
            found = [place for place in places if place is not None]
        return tuple(self.table.document(place) for place in found[: self.count])


def _examples(
    path: str,
    task: str,
    form: tasks.Form,
    forms: Forms,
    chosen: _Chosen,
    answered: bool,
    counts: Counter[str],
) -> Iterator[TrainingExample]:
    nothing = (Document(NOTHING, "-"),)
    for number, item in tasks.read_items(path):
        counts["items"] += 1
        answers = tuple(answer for answer in item.answers() if answer.strip())
        if answered and not answers:
            counts["without an answer"] += 1
            continue
        documents = chosen(item)
        counts["without a passage"] += not documents
        counts["written"] += 1
        query = forms.query(item.input, form, f"{path}: line {number}")
        yield TrainingExample(task, item.kilt_id, query, documents or nothing, answers=answers)


def summary(stats: dict[str, Any]) -> Table:
    counts = stats["counts"]
    names = ("items", "written", "without an answer", "without a passage")
    row = [stats["task"], stats["passages"], *(f"{counts.get(name, 0):,}" for name in names)]
    return Table("Reading", ["task", "passages", *names], [row])
