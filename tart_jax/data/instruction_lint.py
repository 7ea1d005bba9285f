"""Faults of an instruction table that reading lets pass, each in one sentence with its place."""

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from tart_jax import io
from tart_jax.data import instructions
from tart_jax.data.instructions import COLUMNS, InstructionRow

Fault = tuple[int, str, str]  # line, column, what is wrong
LEAST = 4  # instructions a task
SEPARATOR = re.compile(r"\[(?:SEP|CLS|PAD|MASK|UNK)\]|</?s>|<(?:pad|unk|mask|bos|eos)>", re.I)
# Words that say nothing about a domain or a unit, so that sharing them is no match.
EMPTY_WORDS = frozenset(
    "a an and any as at about by every everyday for from full in into its no not of on one or other"
    " several short single some that the their this to very what which who with two".split()
)


class Place(NamedTuple):
    """Where an instruction was seen first."""

    task: str
    line: int
    column: str


def lint(source: str | Path | Mapping[str, InstructionRow], *, strict: bool = True) -> list[str]:
    """One sentence for each fault of a table, with file, line and column; empty: none found.

    source: a path, `bank:berri`, or rows as `read_table` gives them (lines as `write_table` would
    number them). Always looked for: a wrong header, rows of another width, tasks without a name or
    repeated, `nan`, spaces at the ends or doubled, characters that do not print, separator tokens,
    instructions repeated within a task. strict also asks for our columns, all filled, four
    instructions a task, none shared by two tasks, and each stating its domain or its unit: a
    content word of these columns stands in it (case and a plural s apart).
    InputError: the file cannot be read.
    """
    if isinstance(source, Mapping):
        name, rows = "the table", _written(source)
    else:
        path = instructions.locate(source)
        name, rows = str(path), [(n, line.split("\t")) for n, line in io.lines(path)]
    rows = [(number, cells) for number, cells in rows if number == 1 or any(cells)]
    if len(rows) < 2:
        return [f"{name}: line 1: the table needs a header and at least one task."]
    header = rows[0][1]
    faults = list(_header_faults(header, strict))
    seen: dict[str, Place] = {}
    tasks: dict[str, int] = {}
    for number, cells in rows[1:]:
        cells_of = dict(zip(header, cells, strict=False))
        faults += _width_faults(number, header, cells)
        faults += _task_faults(number, header[0], cells[0], tasks)
        for column, cell in cells_of.items():
            faults += [(number, column, said) for said in _cell_faults(cell)]
        faults += _repeated(number, cells[0], _texts(cells_of), seen, strict)
        if strict:
            faults += _strict_faults(number, cells_of)
    return [f"{name}: line {line}, column {column}: {said}" for line, column, said in faults]


def states(instruction: str, column: str) -> bool:
    """Whether a content word of the column (a domain or a unit) stands in the instruction."""
    return bool(_content(instruction) & _content(column))


def _written(table: Mapping[str, InstructionRow]) -> list[tuple[int, list[str]]]:
    widest = max((len(row.instructions) for row in table.values()), default=0)
    rows = [[*COLUMNS, *(f"instruction_{i + 1}" for i in range(widest))]]
    for row in table.values():
        cells = [row.task, row.intent, row.domain, row.unit, *row.instructions]
        rows.append(cells + [""] * (len(rows[0]) - len(cells)))
    return list(enumerate(rows, start=1))


def _texts(cells: Mapping[str, str]) -> dict[str, str]:
    """column -> instruction, empty ones left out; in BERRI's release they are called prompts."""
    return {
        column: cell.strip()
        for column, cell in cells.items()
        if column.startswith(("instruction_", "prompt_")) and cell.strip()
    }


def _content(text: str) -> set[str]:
    words = re.findall(r"[^\W_]+", text.casefold())
    return {word.removesuffix("s") for word in words if word not in EMPTY_WORDS and len(word) > 1}


def _header_faults(header: Sequence[str], strict: bool) -> Iterator[Fault]:
    wanted = [*COLUMNS, *(f"instruction_{i + 1}" for i in range(len(header) - len(COLUMNS)))]
    if list(header) == wanted and len(header) > len(COLUMNS):
        return
    if not strict and instructions.is_header(header):
        return
    first = next((c for c, w in zip(header, wanted, strict=False) if c != w), header[-1])
    yield 1, first or "(no name)", f"the header should be {' '.join(wanted[:5])} and so on."


def _width_faults(number: int, header: Sequence[str], cells: Sequence[str]) -> Iterator[Fault]:
    if len(cells) != len(header):
        column = header[-1] if len(cells) > len(header) else header[len(cells)]
        said = f"the row has {len(cells)} cells, the header {len(header)}; fill or cut the row."
        yield number, column, said


def _task_faults(number: int, column: str, task: str, tasks: dict[str, int]) -> Iterator[Fault]:
    if not task.strip():
        yield number, column, "the task has no name."
    elif task in tasks:
        yield number, column, f"the task {task!r} stands in line {tasks[task]} already; join them."
    tasks.setdefault(task, number)


def _cell_faults(cell: str) -> Iterator[str]:
    shown = repr(cell[:60])
    if cell.strip().casefold() == "nan":
        yield f"{shown} is an empty cell gone wrong; leave it empty."
    if cell != cell.strip():
        yield f"{shown} begins or ends with a space."
    if "  " in cell.strip():
        yield f"{shown} holds two spaces in a row."
    if not cell.isprintable():
        strange = next(letter for letter in cell if not letter.isprintable())
        yield f"{shown} holds the character U+{ord(strange):04X}, which does not print."
    if found := SEPARATOR.search(cell):
        yield f"{shown} holds {found[0]}, which only the tokenizer's template may write."


def _repeated(
    number: int, task: str, texts: Mapping[str, str], seen: dict[str, Place], strict: bool
) -> Iterator[Fault]:
    for column, text in texts.items():
        key = " ".join(text.casefold().split()).rstrip(".?! ")
        first = seen.setdefault(key, Place(task, number, column))
        if first != (task, number, column) and (strict or first.task == task):
            said = f"stands in line {first.line}, column {first.column}, already ({first.task})."
            yield number, column, f"{text[:60]!r} {said}"


def _strict_faults(number: int, cells: Mapping[str, str]) -> Iterator[Fault]:
    for column in COLUMNS[1:]:
        if not cells.get(column, "").strip():
            yield number, column, f"the {column} is missing."
    texts = _texts(cells)
    if len(texts) < LEAST:
        last = list(cells)[-1]
        yield number, last, f"the task has {len(texts)} instructions; write at least {LEAST}."
    domain, unit = cells.get("domain", ""), cells.get("unit", "")
    for column, text in texts.items():
        if (domain or unit) and not states(text, f"{domain} {unit}"):
            said = f"states neither the domain ({domain}) nor the unit ({unit})."
            yield number, column, f"{text[:60]!r} {said}"
