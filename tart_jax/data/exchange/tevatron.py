"""Tevatron's training files: JSON lines of {query_id, query, positive_passages, negative_passages}.

Each passage is {docid, title?, text}, and in our files TART's `ce_score` where there is one.
Source: the Tevatron repository.
"""

from collections.abc import Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

from tart_jax.data.examples import TrainingExample
from tart_jax.data.exchange import writers
from tart_jax.data.exchange.records import Item, Record, json_records
from tart_jax.data.exchange.writers import Exported


def read(path: str | Path, *, task: str) -> Iterator[Item]:
    """One example a record; Tevatron's negatives are mined, so they become hard negatives."""
    for where, value in json_records(path):
        record = Record(value, where)
        yield record.read(
            task,
            record.text("query"),
            query_id=record.identifier("query_id"),
            instruction=record.instruction(),
            positives=record.documents("positive_passages"),
            hard_negatives=record.documents("negative_passages", optional=True),
        )


def write(path: Path, examples: Iterable[TrainingExample]) -> Exported:
    """JSON lines. All negatives share one list; an instruction goes into a field of its own."""
    exported = Exported()

    def record(example: TrainingExample) -> dict[str, Any]:
        if example.negatives or example.unfollowing_negatives:
            exported.lose("all kinds of negatives written as hard negatives")
        fields: dict[str, Any] = {"query_id": example.query_id, "query": example.query}
        if example.instruction is not None:
            fields["instruction"] = example.instruction
            exported.lose("instructions in a field that Tevatron does not read")
        if example.scores:
            exported.lose("scores in a field that Tevatron does not read")
        passages = partial(writers.contexts, scores=example.scores, id_name="docid")
        fields["positive_passages"] = passages(example.positives)
        fields["negative_passages"] = passages(writers.all_negatives(example))
        return fields

    return writers.jsonl(path, examples, record, exported)
