"""TART-dual's training files: `question` ("instruction [SEP] query") and lists of contexts.

Records: {question, positive_ctxs, negative_ctxs, hard_negative_ctxs}, each context {title, text,
ce_score?}; other fields are not read. Source: the TART repository, BERRI/README.
"""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Literal

from tart_jax.data import instructions
from tart_jax.data.examples import TrainingExample
from tart_jax.data.exchange import writers
from tart_jax.data.exchange.records import Item, Record, Rejected, json_records
from tart_jax.data.exchange.writers import Exported
from tart_jax.types import InputError

Nan = Literal["repair", "keep", "reject"]
NAN = "the instruction is 'nan'"


def read(
    path: str | Path,
    *,
    task: str,
    separator: str = "[SEP]",
    order: instructions.Order = "instruction_first",
    nan: Nan = "repair",
) -> Iterator[Item]:
    """One example a record. A question without separator leaves the instruction to the table.

    nan: what happens to "nan [SEP] query", an empty cell of TART's instruction table that reached
    its data: "repair" (the example has no instruction), "keep", or "reject".
    """
    for where, value in json_records(path):
        record = Record(value, where)
        instruction, query = split(record.text("question"), separator, order)
        if instruction == "nan" and nan == "reject":
            yield Rejected(where, NAN)
            continue
        if instruction == "nan" and nan == "repair":
            instruction = ""
            record.changes.append(f"{NAN}: removed")
        yield record.read(
            task,
            query,
            query_id=record.identifier("query_id"),
            instruction=instruction,
            positives=record.documents("positive_ctxs"),
            negatives=record.documents("negative_ctxs", optional=True),
            hard_negatives=record.documents("hard_negative_ctxs", optional=True),
        )


def split(question: str, separator: str, order: instructions.Order) -> tuple[str | None, str]:
    """(instruction, query); None without a separator.

    KILT's slot queries hold a separator of their own, "subject [SEP] relation": the instruction is
    what stands before the first or, with the query first, after the last.
    """
    mark = f" {separator} "
    if separator == "" or mark not in question:
        return None, question
    if order == "instruction_first":
        instruction, _, query = question.partition(mark)
    else:
        query, _, instruction = question.rpartition(mark)
    return instruction.strip(), query


def write(
    path: Path,
    examples: Iterable[TrainingExample],
    *,
    separator: str = "[SEP]",
    order: instructions.Order = "instruction_first",
) -> Exported:
    """JSON lines. Unfollowing negatives join the hard ones: the format has no place of theirs."""
    exported = Exported()

    def record(example: TrainingExample) -> dict:
        question = joined(example, separator, order, exported)
        if example.unfollowing_negatives:
            exported.lose("unfollowing negatives written as hard negatives")
        hard = (*example.hard_negatives, *example.unfollowing_negatives)
        return {
            "query_id": example.query_id,
            "question": question,
            "positive_ctxs": writers.contexts(example.positives, example.scores),
            "negative_ctxs": writers.contexts(example.negatives, example.scores),
            "hard_negative_ctxs": writers.contexts(hard, example.scores),
        }

    return writers.jsonl(path, examples, record, exported)


def joined(
    example: TrainingExample, separator: str, order: instructions.Order, exported: Exported
) -> str:
    """The question of an example; refuses an instruction that could not be told from the query."""
    instruction, mark = example.instruction or "", f" {separator} "
    if mark in instruction:
        raise InputError(
            f"the instruction {instruction!r} of query {example.query_id!r} holds the separator"
            f" {separator!r}; take another one by --config.options.separator."
        )
    if not instruction and mark in example.query:
        exported.lose("queries that hold the separator will be read as having an instruction")
    elif example.instruction == "":
        exported.lose("empty instructions will be read as missing ones")
    return instructions.join(example.query, instruction, order=order, separator=separator)
