"""The instruction table, and how an instruction and a query become one text."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

from tart_jax import io
from tart_jax.types import InputError

Order = Literal["instruction_first", "query_first"]


@dataclass(frozen=True)
class InstructionRow:
    """A task's instructions; intent, domain and unit are what each should state (TART, 3.1)."""

    task: str
    intent: str
    domain: str
    unit: str
    instructions: tuple[str, ...]


def join(query: str, instruction: str, *, order: Order, separator: str) -> str:
    """`instruction [SEP] query`, or the query first; without an instruction the query alone.

    TART trains on instruction_first; its own interactive script used query_first. `separator` is
    the text of the tokenizer's separator token; lower-casing afterwards would make it mere letters.
    """
    if order not in get_args(Order):
        raise InputError(f"instruction order {order!r} is not one of {', '.join(get_args(Order))}.")
    if not instruction:
        return query
    first, second = (instruction, query) if order == "instruction_first" else (query, instruction)
    return f"{first} {separator} {second}" if separator else f"{first} {second}"


def read_table(path: str | Path) -> dict[str, InstructionRow]:
    """task -> row of a TSV with the header `task intent domain unit instruction_1 ...`.

    BERRI's own header (`dataset prompt_1 ...`) is read too. Empty cells are skipped.
    """
    table: dict[str, InstructionRow] = {}
    header: list[str] = []
    for number, line in io.lines(path):
        cells = [cell.strip() for cell in line.split("\t")]
        if number == 1:
            header = _header(cells, f"{path}: line 1")
            continue
        if not any(cells):
            continue
        row = _row(header, cells, f"{path}: line {number}")
        if row.task in table:
            raise InputError(f"{path}: line {number} repeats the task {row.task!r}; join the rows.")
        table[row.task] = row
    if not table:
        raise InputError(f"{path} holds no instruction; it needs a header and one row per task.")
    return table


def write_table(path: str | Path, rows: Iterable[InstructionRow]) -> None:
    """Writes what `read_table` reads; shorter rows end in empty cells."""
    rows = list(rows)
    widest = max((len(row.instructions) for row in rows), default=0)
    header = ["task", "intent", "domain", "unit", *(f"instruction_{i + 1}" for i in range(widest))]
    with io.writing(path) as aside, aside.open("w", encoding="utf-8") as file:
        file.write("\t".join(header) + "\n")
        for row in rows:
            cells = [row.task, row.intent, row.domain, row.unit, *row.instructions]
            if any("\t" in cell or "\n" in cell for cell in cells):
                raise InputError(f"an instruction of task {row.task!r} holds a tab or a line end.")
            file.write("\t".join(cells + [""] * (len(header) - len(cells))) + "\n")


def require_tasks(
    table: Mapping[str, InstructionRow], tasks: Iterable[str], path: str | Path
) -> None:
    """InputError when the table lacks a task: found before training, not at some late step."""
    missing = sorted(set(tasks) - set(table))
    if missing:
        raise InputError(
            f"{path} has no row for the task {missing[0]!r} ({len(missing)} missing in all); it has"
            f" {', '.join(sorted(table))}. Add the row or give the examples their own instruction."
        )


def _header(cells: list[str], where: str) -> list[str]:
    names = [cell.replace("prompt_", "instruction_") for cell in cells]
    if names[0] == "dataset":
        names[0] = "task"
    if names[0] != "task" or not any(name.startswith("instruction_") for name in names):
        raise InputError(
            f"{where} should be the header 'task<TAB>intent<TAB>domain<TAB>unit<TAB>instruction_1"
            f" ...', not {' '.join(cells)[:80]!r}."
        )
    return names


def _row(header: list[str], cells: list[str], where: str) -> InstructionRow:
    if len(cells) > len(header):
        raise InputError(f"{where} has {len(cells)} cells but the header names {len(header)}.")
    values = dict(zip(header, cells, strict=False))
    texts = [values[name] for name in values if name.startswith("instruction_") and values[name]]
    # Empty cells read as NaN by pandas reached TART's own training data as "nan [SEP] query".
    if any(text.lower() == "nan" for text in texts):
        raise InputError(f"{where} holds the cell 'nan', an empty cell gone wrong; leave it empty.")
    if not values["task"] or not texts:
        raise InputError(f"{where} needs a task and at least one instruction, not {cells[:3]!r}.")
    intent, domain, unit = (values.get(name, "") for name in ("intent", "domain", "unit"))
    return InstructionRow(values["task"], intent, domain, unit, tuple(texts))
