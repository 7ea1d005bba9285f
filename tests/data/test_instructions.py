"""The instruction table and the joining of instruction and query."""

import pytest

from tart_jax.data import instructions
from tart_jax.data.instructions import InstructionRow
from tart_jax.types import InputError

HEADER = "task\tintent\tdomain\tunit\tinstruction_1\tinstruction_2\n"


def test_joins_in_both_orders():
    kinds = dict(separator="[SEP]")
    assert instructions.join("q", "find", order="instruction_first", **kinds) == "find [SEP] q"
    assert instructions.join("q", "find", order="query_first", **kinds) == "q [SEP] find"


def test_an_empty_instruction_leaves_the_query_unchanged():
    assert instructions.join("q", "", order="instruction_first", separator="[SEP]") == "q"


def test_empty_cells_are_never_instructions(tmp_path):
    path = tmp_path / "table.tsv"
    path.write_text(HEADER + "qa\tanswer\twiki\tsentence\t\tsecond\r\ncode\t\t\t\tonly\n")
    table = instructions.read_table(path)
    assert table["qa"].instructions == ("second",)
    assert table["code"] == InstructionRow("code", "", "", "", ("only",))


def test_a_written_table_is_read_back(tmp_path):
    rows = [
        InstructionRow("a", "i", "d", "u", ("x", "y", "z")),
        InstructionRow("b", "", "", "", ("w",)),
    ]
    instructions.write_table(tmp_path / "t.tsv", rows)
    assert list(instructions.read_table(tmp_path / "t.tsv").values()) == rows


@pytest.mark.parametrize(
    "text, message",
    [
        ("id\ttext\nx\ty\n", "line 1 should be the header"),
        (HEADER, "holds no instruction"),
        (HEADER + "qa\ta\tb\tc\tx\t\nqa\ta\tb\tc\ty\t\n", "line 3 repeats the task 'qa'"),
        (HEADER + "qa\ta\tb\tc\tnan\tx\n", "line 2 holds the cell 'nan'"),
        (HEADER + "qa\ta\tb\tc\t\t\n", "line 2 needs a task and at least one instruction"),
        (HEADER + "qa\ta\tb\tc\tx\ty\tz\n", "line 2 has 7 cells but the header names 6"),
    ],
)
def test_a_broken_table_is_refused_with_its_line(tmp_path, text, message):
    path = tmp_path / "table.tsv"
    path.write_text(text)
    with pytest.raises(InputError, match=message):
        instructions.read_table(path)


def test_a_task_missing_from_the_table_is_named():
    table = {"qa": InstructionRow("qa", "", "", "", ("x",))}
    instructions.require_tasks(table, ["qa"], "table.tsv")
    with pytest.raises(InputError, match="table.tsv has no row for the task 'code'"):
        instructions.require_tasks(table, ["qa", "code"], "table.tsv")


def test_an_unknown_order_is_refused():
    with pytest.raises(Exception, match="sideways"):  # InputError, or the tests' type checker
        instructions.join("q", "i", order="sideways", separator="[SEP]")


def test_reads_the_table_of_berri(test_data):
    table = instructions.read_table(test_data / "berri_instructions.tsv")
    assert len(table) == 37
    assert sum(len(row.instructions) for row in table.values()) == 130
