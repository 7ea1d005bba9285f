"""The instruction table, the banks that come with the package, and how texts are joined."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from importlib import resources
from pathlib import Path
from typing import Literal, get_args

from tart_jax import io
from tart_jax.types import InputError

Order = Literal["instruction_first", "query_first"]
COLUMNS = ("task", "intent", "domain", "unit")  # then instruction_1, instruction_2, ...

BANK = "bank:"  # a path that begins so names a table of the package
BANKS = {
    "berri": "berri/instructions.tsv",
    "kilt": "kilt/instructions.tsv",
    "kilt_markers": "kilt/markers.tsv",
    "beir": "benchmarks/beir.tsv",
    "lotte": "benchmarks/lotte.tsv",
    "x2": "benchmarks/x2.tsv",
    "tart_table9": "benchmarks/tart_table9.tsv",
}

# Row names of BERRI's released `berri_instructions.tsv` -> our task names; the others are equal.
# Its xsum row repeats instructions of multilexsum, and it has none for StackExchange answers.
OFFICIAL_NAMES = {
    "eli5_question_answer": "eli5",
    "yahoo_answers_title_answer": "yahoo_answers",
    "mdmcqa": "medmcqa",
    "medical_sim": "medical_simplification",
    "msmarco-triplets": "msmarco",
    "searchQA_top5_snippets": "searchqa",
    "sentence-compression": "sentence_compression",
    "squad_pairs.jsonl": "squad",
    "stackexchange_duplicate_questions_title-body_title-body": "stackexchange_body_body",
    "stackexchange_duplicate_questions_title_title": "stackexchange_title_title",
    "wow": "wow_knowledge",
    "wow response": "wow_response",
}


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


def bank(name: str) -> dict[str, InstructionRow]:
    """task -> row of a table that comes with the package: a name of `BANKS`.

    "tart_table9" holds the evaluation prompts of TART's Table 9 (arXiv:2211.09260), "kilt_markers"
    a token for each class of KILT's tasks, the others are of our own wording.
    """
    return read_table(f"{BANK}{name}")


def locate(path: str | Path) -> Path:
    """The file of a path, or of a bank named `bank:berri`; InputError for an unknown bank."""
    if not str(path).startswith(BANK):
        return Path(path)
    name = str(path).removeprefix(BANK)
    if name not in BANKS:
        raise InputError(
            f"instruction bank {name!r} is unknown; there are"
            f" {', '.join(BANK + known for known in BANKS)}."
        )
    return Path(str(resources.files("tart_jax.data").joinpath(BANKS[name])))


def read_table(path: str | Path) -> dict[str, InstructionRow]:
    """task -> row of a TSV with the header `task intent domain unit instruction_1 ...`.

    path: a file, or `bank:berri` and the like. Empty cells are skipped. A file with the header of
    BERRI's release, `dataset prompt_1 ...`, is read too; its rows get our names of the tasks.
    """
    path = locate(path)
    table: dict[str, InstructionRow] = {}
    header: list[str] = []
    official = False
    for number, line in io.lines(path):
        cells = [cell.strip() for cell in line.split("\t")]
        if number == 1:
            cells[0] = cells[0].removeprefix("\ufeff")  # spreadsheets write a byte order mark
            official = is_official(cells)
            header = _header(cells, f"{path}: line 1")
            continue
        if not any(cells):
            continue
        row = _row(header, cells, f"{path}: line {number}")
        if official:
            row = replace(row, task=OFFICIAL_NAMES.get(row.task, row.task))
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
    header = [*COLUMNS, *(f"instruction_{i + 1}" for i in range(widest))]
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


def one(instruction: str | None, table: str, task: str) -> str | None:
    """One text for all queries (the first of `task`'s row in `table`), or None: each query's own.

    InputError: a table without a task or the reverse, either beside an instruction, no such row.
    """
    if not table and not task:
        return instruction
    if not table or not task or instruction is not None:
        raise InputError(
            "--config.instructions and --config.task go together, a table and its row, and exclude"
            " --config.instruction."
        )
    rows = read_table(table)
    require_tasks(rows, [task], table)
    return rows[task].instructions[0]


def is_official(header: Sequence[str]) -> bool:
    """Whether this is the header of BERRI's released file: `dataset prompt_1 ...`."""
    return header[0] == "dataset" and _numbered(header[1:], "prompt_")


def is_header(header: Sequence[str]) -> bool:
    """Whether `read_table` takes it: BERRI's, or ours (intent, domain and unit may be left out)."""
    texts = [name for name in header if name not in COLUMNS]
    ours = header[0] == "task" and _numbered(texts, "instruction_")
    return (ours and len(set(header)) == len(header)) or is_official(header)


def _numbered(names: Sequence[str], prefix: str) -> bool:
    return bool(names) and all(n == f"{prefix}{i}" for i, n in enumerate(names, start=1))


def _header(cells: list[str], where: str) -> list[str]:
    if not is_header(cells):
        raise InputError(
            f"{where} should be the header 'task<TAB>intent<TAB>domain<TAB>unit<TAB>instruction_1"
            f" ...', not {' '.join(cells)[:80]!r}."
        )
    return ["task", *(name.replace("prompt_", "instruction_") for name in cells[1:])]


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
