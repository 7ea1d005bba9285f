"""Every fault planted in a copy of a faultless table is found, with its line and column."""

import pytest

from tart_jax.data import instructions
from tart_jax.data.instruction_lint import lint, states
from tart_jax.data.instructions import InstructionRow
from tart_jax.types import InputError

LINE = 3  # the row that faults are planted in: the second task


@pytest.fixture
def rows() -> list[list[str]]:
    text = instructions.locate("bank:berri").read_text("utf-8")
    return [line.split("\t") for line in text.splitlines()]


def found(tmp_path, rows, *, strict=True) -> list[str]:
    path = tmp_path / "table.tsv"
    path.write_text("".join("\t".join(row) + "\n" for row in rows), "utf-8")
    faults = lint(path, strict=strict)
    assert all(fault.startswith(f"{path}: line ") for fault in faults)
    assert all(fault.endswith(".") and fault.isprintable() for fault in faults)
    return [fault.removeprefix(f"{path}: ") for fault in faults]


def test_an_unharmed_copy_has_no_fault(tmp_path, rows):
    assert found(tmp_path, rows) == []


def cell(column, change):
    """Changes one cell of the planted row."""

    def plant(rows):
        index = rows[0].index(column)
        rows[LINE - 1][index] = change(rows[LINE - 1][index])

    return plant


# What is planted -> (how, column named, words of the sentence); found without `strict` too.
ALWAYS = {
    "nan": (cell("instruction_2", lambda _: "nan"), "instruction_2", "an empty cell gone wrong"),
    "nan as a unit": (cell("unit", lambda _: "NaN"), "unit", "an empty cell gone wrong"),
    "leading space": (
        cell("instruction_1", lambda text: " " + text),
        "instruction_1",
        "begins or ends with a space",
    ),
    "trailing space": (
        cell("domain", lambda text: text + " "),
        "domain",
        "begins or ends with a space",
    ),
    "double space": (
        cell("instruction_3", lambda text: text.replace(" ", "  ", 1)),
        "instruction_3",
        "holds two spaces in a row",
    ),
    "no-break space": (
        cell("instruction_4", lambda text: text.replace(" ", "\u00a0", 1)),
        "instruction_4",
        "U\\+00A0, which does not print",
    ),
    "zero-width space": (
        cell("intent", lambda text: text + "\u200b"),
        "intent",
        "U\\+200B, which does not print",
    ),
    "BERT's separator": (
        cell("instruction_1", lambda text: text + " [SEP]"),
        "instruction_1",
        r"holds \[SEP\]",
    ),
    "T5's separator": (
        cell("instruction_1", lambda text: text + " </s>"),
        "instruction_1",
        "holds </s>",
    ),
    "a task without a name": (cell("task", lambda _: ""), "task", "the task has no name"),
    "a short row": (
        lambda rows: rows[LINE - 1].pop(),
        "instruction_4",
        "has 7 cells, the header 8",
    ),
    "a long row": (
        lambda rows: rows[LINE - 1].append("x"),
        "instruction_4",
        "has 9 cells, the header 8",
    ),
}  # fmt: skip
STRICT = {
    "no intent": (cell("intent", lambda _: ""), "intent", "the intent is missing"),
    "no domain": (cell("domain", lambda _: ""), "domain", "the domain is missing"),
    "no unit": (cell("unit", lambda _: ""), "unit", "the unit is missing"),
    "three instructions": (
        cell("instruction_4", lambda _: ""),
        "instruction_4",
        "has 3 instructions; write at least 4",
    ),
    "neither domain nor unit": (
        cell("instruction_2", lambda _: "Find something that is like this one."),
        "instruction_2",
        "states neither the domain .* nor the unit",
    ),
}


@pytest.mark.parametrize("name", [*ALWAYS, *STRICT])
def test_a_planted_fault_is_found(tmp_path, rows, name):
    plant, column, message = (ALWAYS | STRICT)[name]
    plant(rows)
    faults = found(tmp_path, rows)
    with pytest.raises(AssertionError, match=f"line {LINE}, column {column}: .*{message}"):
        assert not faults, "\n".join(faults)
    assert all(fault.startswith(f"line {LINE}, ") for fault in faults)


@pytest.mark.parametrize("name", [*ALWAYS, *STRICT])
def test_only_what_breaks_any_table_is_found_without_strict(tmp_path, rows, name):
    plant, column, _ = (ALWAYS | STRICT)[name]
    plant(rows)
    faults = found(tmp_path, rows, strict=False)
    assert bool(faults) == (name in ALWAYS)
    assert all(fault.startswith(f"line {LINE}, column {column}: ") for fault in faults)


@pytest.mark.parametrize("change", [str, str.upper, lambda text: text.rstrip(".") + " ?"])
def test_an_instruction_repeated_within_a_task_is_found(tmp_path, rows, change):
    rows[2][5] = change(rows[2][4])
    for strict in (True, False):
        (fault,) = found(tmp_path, rows, strict=strict)
        assert fault.startswith("line 3, column instruction_2: ")
        assert "stands in line 3, column instruction_1, already" in fault


def test_an_instruction_shared_by_two_tasks_is_found_by_strict(tmp_path, rows):
    rows[3][4] = rows[2][5]  # both StackExchange, so that it fits the other task's columns
    (fault,) = found(tmp_path, rows)
    assert fault.startswith("line 4, column instruction_1: ")
    assert "stands in line 3, column instruction_2, already (stackexchange_title_title)" in fault
    assert found(tmp_path, rows, strict=False) == []


def test_a_repeated_task_is_found(tmp_path, rows):
    rows[7][0] = rows[2][0]
    for strict in (True, False):
        assert found(tmp_path, rows, strict=strict) == [
            f"line 8, column task: the task {rows[2][0]!r} stands in line 3 already; join them."
        ]


@pytest.mark.parametrize(
    "column, name", [(0, "id"), (1, "purpose"), (4, "prompt_1"), (5, "instruction_1")]
)
def test_another_header_is_found(tmp_path, rows, column, name):
    rows[0][column] = name
    for strict in (True, False):
        faults = found(tmp_path, rows, strict=strict)
        assert faults[0].startswith(f"line 1, column {name}: the header should be task intent")


def test_the_released_header_passes_without_strict(tmp_path):
    rows = [["dataset", "prompt_1", "prompt_2"], ["quora", "Find a question.", ""]]
    assert found(tmp_path, rows, strict=False) == []
    assert found(tmp_path, rows)[0].startswith("line 1, column dataset: the header should be")


def test_a_table_without_tasks_is_a_fault(tmp_path, rows):
    assert found(tmp_path, rows[:1]) == ["line 1: the table needs a header and at least one task."]


def test_rows_in_memory_are_read_as_they_would_be_written(tmp_path):
    table = instructions.bank("berri")
    assert lint(table) == []
    table["altlex"] = InstructionRow("altlex", "find", "Wikipedia", "sentence", ("A sentence.",))
    (fault,) = lint(table)
    assert fault.startswith("the table: line 2, column instruction_4: the task has 1 instructions")
    instructions.write_table(tmp_path / "t.tsv", table.values())
    (written,) = lint(tmp_path / "t.tsv")
    assert written.split(": ", 1)[1] == fault.split(": ", 1)[1]


def test_a_missing_file_is_refused(tmp_path):
    with pytest.raises(InputError, match="does not exist"):
        lint(tmp_path / "none.tsv")


def test_a_content_word_states_a_column_and_a_filler_does_not():
    assert states("Return the Paragraphs.", "one paragraph")
    assert not states("Return one of these.", "one paragraph")


def test_the_released_table_ends_eleven_cells_with_a_space(test_data):
    path = test_data / "berri_instructions.tsv"
    faults = lint(path, strict=False)
    assert len(faults) == 11 and all("ends with a space" in fault for fault in faults)


def test_strict_finds_the_lawsuit_instructions_in_the_released_row_of_xsum(test_data):
    faults = lint(test_data / "berri_instructions.tsv")
    copied = [fault for fault in faults if "(multilexsum)" in fault]
    assert [fault.split("column ")[1][:8] for fault in copied] == [
        "prompt_1",
        "prompt_2",
        "prompt_3",
    ]
