"""DPR's training files: a JSON list (streamed) or JSON lines of questions with contexts.

Records: {question, answers, positive_ctxs, negative_ctxs, hard_negative_ctxs}, each context {title,
text, passage_id or psg_id, score?}; `score` is the retriever's and is not read.
A teacher's stands in `ce_score`, a field of TART's. Source: the DPR repository.
"""

import json
from collections.abc import Iterable, Iterator
from pathlib import Path

from tart_jax import io
from tart_jax.data.examples import TrainingExample
from tart_jax.data.exchange import writers
from tart_jax.data.exchange.records import Item, Record, json_records
from tart_jax.data.exchange.writers import Exported


def read(path: str | Path, *, task: str) -> Iterator[Item]:
    """One example a record; those without a positive are rejected, as DPR filters them."""
    for where, value in json_records(path):
        record = Record(value, where)
        yield record.read(
            task,
            record.text("question"),
            query_id=record.identifier("query_id"),
            instruction=record.instruction(),
            answers=record.answers("answers"),
            positives=record.documents("positive_ctxs"),
            negatives=record.documents("negative_ctxs", optional=True),
            hard_negatives=record.documents("hard_negative_ctxs", optional=True),
        )


def write(path: Path, examples: Iterable[TrainingExample]) -> Exported:
    """One JSON list. An instruction goes into a field of its own, which DPR does not read."""
    exported = Exported()
    with io.writing(path) as aside, aside.open("w", encoding="utf-8") as file:
        for example in exported.count(examples, answers=True):
            answers = list(example.answers)
            record: dict = {"question": example.query, "answers": answers}
            record["query_id"] = example.query_id
            if example.instruction is not None:
                record["instruction"] = example.instruction
                exported.lose("instructions in a field that DPR does not read")
            if example.scores:
                exported.lose("scores in a field that DPR does not read")
            if example.unfollowing_negatives:
                exported.lose("unfollowing negatives written as hard negatives")
            hard = (*example.hard_negatives, *example.unfollowing_negatives)
            record["positive_ctxs"] = writers.contexts(example.positives, example.scores)
            record["negative_ctxs"] = writers.contexts(example.negatives, example.scores)
            record["hard_negative_ctxs"] = writers.contexts(hard, example.scores)
            file.write(",\n" if exported.records else "[\n")
            file.write(json.dumps(record, ensure_ascii=False))
            exported.records += 1
        file.write("\n]\n" if exported.records else "[]\n")
    return exported
