"""Evaluation of a reader during training: KILT's exact match and F1 of the answers it writes."""

from pathlib import Path
from typing import Any

from tart_jax import io
from tart_jax.data import examples
from tart_jax.data.examples import TrainingExample
from tart_jax.data.reading import ReadingRow, passages_of
from tart_jax.evaluate import kilt
from tart_jax.models.reader import Writer
from tart_jax.types import InputError

MEASURE = "f1"  # the best checkpoint has most of it
MEASURES = (MEASURE, "em")
ROWS = 32  # inputs at a time, always so many: one program


def load(path: str | Path, *, max_queries: int) -> list[TrainingExample]:
    """The first `max_queries` of a file of examples with answers; 0: all. InputError: without."""
    kept: list[TrainingExample] = []
    for example in examples.read(io.existing(path, "eval.examples")):
        if max_queries and len(kept) >= max_queries:
            break
        if not example.answers:
            raise InputError(
                f"eval.examples: query {example.query_id!r} of {example.task!r} has no answer to"
                " compare with; write the file by configs/prepare/reading.py."
            )
        kept.append(example)
    if not kept:
        raise InputError(f"eval.examples {path} has no example.")
    return kept


def score(dev: list[TrainingExample], writer: Writer, params: Any) -> dict[str, float]:
    """`dev/f1` and `dev/em`: means over the examples, of greedy answers by these parameters."""
    writer.params = params
    passages = writer.format.passages
    rows = [ReadingRow(e.query, passages_of(e, passages), "", e.query_id) for e in dev]
    answers: list[str] = []
    for begin in range(0, len(rows), ROWS):
        block = rows[begin : begin + ROWS]
        answers += writer(block + block[-1:] * (ROWS - len(block)))[: len(block)]
    writer.params = {}  # else they would stay beside the next ones
    names = [str(number) for number in range(len(dev))]
    gold = [
        {"id": name, "output": [{"answer": answer} for answer in example.answers]}
        for name, example in zip(names, dev, strict=True)
    ]
    said = [{"output": [{"answer": answer}]} for answer in answers]
    guesses: dict[str, kilt.Item] = dict(zip(names, said, strict=True))
    means = kilt.means(kilt.downstream(gold, guesses))
    return {f"dev/{measure}": means[measure] for measure in MEASURES}
