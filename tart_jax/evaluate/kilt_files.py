"""KILT's files: what a KILT folder is asked, and predictions scored against gold as KILT does."""

import json
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from tart_jax import io
from tart_jax.data import instructions
from tart_jax.data.exchange import kilt as exchange
from tart_jax.data.kilt import build, mapping, tasks
from tart_jax.data.kilt.queries import Forms
from tart_jax.evaluate import kilt
from tart_jax.evaluate.measures import Evaluation
from tart_jax.types import InputError

PLACES = "passages"  # of an output: where a KILT folder's passages hold its provenance
PASSAGE = "passage-"  # before a score: of passages, not pages
RETRIEVAL = ("Rprec", "precision@k", "recall@k", "success_rate@k")
ANSWERS = ("accuracy", "em", "f1", "rougel", "KILT-accuracy", "KILT-em", "KILT-f1", "KILT-rougel")


def is_kilt(path: str | Path) -> bool:
    """Whether a file of judgements is KILT's, by its name; qrels are TSV."""
    return str(path).removesuffix(".gz").endswith(".jsonl")


def parse(measure: str) -> tuple[str, str, int | None]:
    """(level, KILT's name, cut-off) of Rprec, passage-recall@5, f1, ...; InputError lists all."""
    level = PASSAGE if measure.startswith(PASSAGE) else ""
    name = measure.removeprefix(PASSAGE)
    match = re.fullmatch(r"([a-z_]+@)([1-9][0-9]*)", name)
    known = f"{match[1]}k" if match else name
    alone = match and match[2] == "1" and not name.startswith("precision")  # KILT has no recall@1
    if alone or known not in (RETRIEVAL if level else (*RETRIEVAL, *ANSWERS)):
        raise InputError(
            f"measure {measure!r} is not known; KILT's are {', '.join(RETRIEVAL)} (k a number, from"
            f" 2 but for precision), also after {PASSAGE!r}, and {', '.join(ANSWERS)}."
        )
    return level, name, int(match[2]) if match else None


def evaluate(
    guesses: str | Path, gold: str | Path, measures: Sequence[str], *, complete: bool = True
) -> Evaluation:
    """Scores KILT predictions by KILT's rules.

    complete: an item without a prediction counts 0, as if nothing was found; else it is an error,
    as in KILT's scripts. InputError: a prediction twice or of other items, scores of answers that
    no prediction has.
    """
    parsed = {measure: parse(measure) for measure in measures}
    lines = list(io.read_jsonl(io.existing(gold, "KILT gold file")))
    found = _predictions(io.existing(guesses, "KILT predictions"))
    items = [record for _, record in lines]
    names = [_name(record, f"{gold}: line {number}") for number, record in lines]
    if len(set(names)) < len(names):
        raise InputError(f"{gold} has an id twice; items are told apart by their ids.")
    if not set(names) & set(found):
        raise InputError(f"{guesses} and {gold} have no id in common; are they of one task?")
    missing = [name for name in names if name not in found]
    if missing and not complete:
        raise InputError(f"{guesses} has no prediction for item {missing[0]!r}.")
    nothing = {"output": [{"answer": "", "provenance": []}]}
    all_of = {name: found.get(name, nothing) for name in names}
    named = [{**item, "id": name} for item, name in zip(items, names, strict=True)]
    cutoffs = sorted({k for _, _, k in parsed.values() if k})
    scores: dict[str, Mapping[str, Mapping[str, float]]] = {}
    for level, keys in (("", kilt.PAGE), (PASSAGE, kilt.PASSAGE)):
        if any(own == level and name not in ANSWERS for own, name, _ in parsed.values()):
            own_gold = [_of_passages(item) for item in named] if level else named
            scores[level] = kilt.retrieval(own_gold, all_of, keys=keys, cutoffs=cutoffs)
    if any(name in ANSWERS for _, name, _ in parsed.values()):
        if not any(one["output"] and one["output"][0].get("answer") for one in found.values()):
            raise InputError(f"{guesses} has no answer, and {', '.join(measures)} need some.")
        scores["answers"] = kilt.downstream(named, all_of)
    per_query = {
        measure: {
            item: row[name] for item, row in scores["answers" if name in ANSWERS else level].items()
        }
        for measure, (level, name, _) in parsed.items()
    }
    means = {name: float(np.mean(list(values.values()))) for name, values in per_query.items()}
    return Evaluation(per_query, means, len(missing), len(set(found) - set(names)), 0, {})


def _of_passages(item: Mapping[str, Any]) -> dict[str, Any]:
    """An item whose provenance are the passages that hold it, where `make` has found these."""
    outputs = [{**o, "provenance": o[PLACES]} if PLACES in o else o for o in item["output"]]
    return {**item, "output": outputs}


def _predictions(path: Path) -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = {}
    for number, record in io.read_jsonl(path):
        name = _name(record, f"{path}: line {number}")
        if name in found:
            raise InputError(f"{path}: line {number} predicts item {name!r} a second time.")
        if not isinstance(record.get("output"), list):
            raise InputError(f"{path}: line {number} needs the list 'output' with one prediction.")
        found[name] = record
    return found


def _name(record: Mapping[str, Any], where: str) -> str:
    if "id" not in record:
        raise InputError(f"{where}: a line of a KILT file needs the field 'id'.")
    return "_".join(str(record["id"]).split())  # as in TREC runs, which end ids at white space


def gold_files(pairs: Sequence[str], wanted: Sequence[str]) -> dict[str, Path]:
    """Task -> file of "task=file", those that are wanted (none named: all)."""
    found: dict[str, Path] = {}
    for pair in pairs:
        task, mark, path = pair.partition("=")
        if not mark:
            raise InputError(f"config.gold should hold 'task=file', not {pair!r}.")
        tasks.require_task(task)
        found[task] = io.existing(path, f"config.gold, {task}:")
    if unknown := sorted(set(wanted) - set(found)):
        raise InputError(f"config.tasks: {unknown[0]!r} has no file in config.gold.")
    return {task: path for task, path in found.items() if not wanted or task in wanted}


def make(
    out: Path, folder: str | Path, gold: Mapping[str, Path], max_queries: int, table: str
) -> Path:
    """`out` with instructions.tsv, and of each task its gold items and their queries.

    folder: of `tart-jax prepare --config=configs/prepare/kilt.py`; queries are written as there.
    table: of instructions, with the tasks' rows. A gold place is a paragraph, a prediction a
    passage: `passages` of each gold output are those that the folder's own rule maps it to
    (Maillard et al. 2021, section 4.1), for scores of passages.
    """
    state = Path(folder) / build.STATE
    if not state.is_file():
        raise InputError(
            f"{folder} holds no {build.STATE}; `tart-jax prepare --config=configs/prepare/kilt.py`"
            " makes a KILT folder."
        )
    parts = io.read_json(state)["parts"]
    options: dict[str, Any] = next(
        (part["made_of"] for name, part in parts.items() if "/" in name), {}
    )
    forms = Forms.of(parts)
    rows_of = instructions.read_table(table)
    instructions.require_tasks(rows_of, sorted(gold), table)
    instructions.write_table(out / "instructions.tsv", [rows_of[task] for task in gold])
    with mapping.PassageTable(folder) as passages:
        for task, path in gold.items():
            asked = _asked(task, path, forms, passages, options.get("bleu", 0.0))
            _write(out / task, islice(asked, max_queries or None))
    return out


def _write(place: Path, asked: Iterable[tuple[dict[str, str], dict[str, Any]]]) -> None:
    """queries.jsonl and gold.jsonl, line by line: T-REx's training file has 2.3 million items."""
    with (
        io.writing(place / "queries.jsonl") as first,
        io.writing(place / "gold.jsonl") as second,
        first.open("w", encoding="utf-8") as queries,
        second.open("w", encoding="utf-8") as gold,
    ):
        for row, item in asked:
            queries.write(json.dumps(row, ensure_ascii=False) + "\n")
            gold.write(json.dumps(item, ensure_ascii=False) + "\n")


def _asked(
    task: str, path: Path, forms: Forms, table: mapping.PassageTable, threshold: float
) -> Iterator[tuple[dict[str, str], dict[str, Any]]]:
    """(a line of queries.jsonl, the gold item with its passages) of each line of a file."""
    form = tasks.require_task(task).form
    records = io.read_jsonl(path)
    for (number, item), (_, record) in zip(tasks.read_items(path), records, strict=True):
        text = forms.query(item.input, form, f"{path}: line {number}")
        outputs = []
        for output, raw in zip(item.outputs, record.get("output") or [], strict=True):
            alone = item._replace(outputs=(output,))
            found = mapping.positives(alone, table, threshold=threshold, drops=Counter())
            places = [table[position].record() for position in found]
            keys = (*kilt.PASSAGE, "start_paragraph_id")
            own = [{key: place[key] for key in keys} for place in places]
            outputs.append({**raw, PLACES: own} if output.provenance is not None else raw)
        yield (
            {"_id": item.query_id, "text": text, "kilt_id": item.kilt_id},
            {**record, "output": outputs},
        )


def predict(run: Path, corpus: Path, queries: Path) -> Path:
    """The KILT predictions of a TREC run, beside it."""
    out = run.with_name("predictions.jsonl")
    exchange.write_predictions(out, run, corpus=str(corpus), queries=str(queries))
    return out
