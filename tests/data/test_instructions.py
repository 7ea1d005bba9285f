"""The instruction table and the joining of instruction and query."""

from collections import Counter

import pytest

from tart_jax import io
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
        ("dataset\tinstruction_1\nx\ty\n", "line 1 should be the header"),
        ("task\tprompt_1\nx\ty\n", "line 1 should be the header"),
        ("task\tnotes\tinstruction_1\nx\ty\tz\n", "line 1 should be the header"),
        ("task\tinstruction_2\nx\ty\n", "line 1 should be the header"),
        ("task\tunit\tunit\tinstruction_1\nx\ty\ty\tz\n", "line 1 should be the header"),
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


@pytest.mark.parametrize("name", instructions.BANKS)
def test_a_bank_is_read_by_name_as_by_its_path(name):
    path = instructions.locate(f"bank:{name}")
    assert path.is_file() and len(io.sha256(path)) == 64
    assert instructions.bank(name) == instructions.read_table(path)
    assert instructions.bank(name) == instructions.read_table(f"bank:{name}")


def test_a_plain_path_is_located_as_it_is(tmp_path):
    assert instructions.locate(str(tmp_path / "bank.tsv")) == tmp_path / "bank.tsv"


def test_an_unknown_bank_is_refused_with_those_there_are():
    with pytest.raises(InputError, match="bank 'beri' is unknown; there are bank:berri, bank:kilt"):
        instructions.locate("bank:beri")


RELEASED = (
    "dataset\tprompt_1\tprompt_2\tprompt_3\r\n"
    "squad_pairs.jsonl\tone\ttwo \t\r\n"
    "quora\tone\t\tthree\r\n"
    "wow response\tfour\t\t"
)


def test_rows_of_the_released_table_get_our_names(tmp_path):
    path = tmp_path / "berri_instructions.tsv"
    path.write_bytes(RELEASED.encode())
    table = instructions.read_table(path)
    assert {task: row.instructions for task, row in table.items()} == {
        "squad": ("one", "two"),
        "quora": ("one", "three"),
        "wow_response": ("four",),
    }
    assert all(task == row.task for task, row in table.items())


def test_a_byte_order_mark_does_not_hide_the_header(tmp_path):
    path = tmp_path / "table.tsv"
    path.write_text("\ufeff" + HEADER + "wow\ta\tb\tc\td\te\n", "utf-8")
    assert list(instructions.read_table(path)) == ["wow"]


def test_rows_of_other_tables_keep_their_names(tmp_path):
    path = tmp_path / "table.tsv"
    path.write_text(HEADER + "wow\ta\tb\tc\td\te\nmdmcqa\ta\tb\tc\tf\tg\n")
    assert list(instructions.read_table(path)) == ["wow", "mdmcqa"]


def test_two_names_of_one_task_in_the_released_table_are_refused(tmp_path):
    path = tmp_path / "table.tsv"
    path.write_bytes(RELEASED.encode() + b"\r\nsquad\tfive\t\t\r\n")
    with pytest.raises(InputError, match="line 5 repeats the task 'squad'"):
        instructions.read_table(path)


def test_reads_the_released_table_of_berri(test_data):
    table = instructions.read_table(test_data / "berri_instructions.tsv")
    counts = Counter(len(row.instructions) for row in table.values())
    assert len(table) == 37 and counts.total() == 37
    assert sum(size * tasks for size, tasks in counts.items()) == 130
    assert counts == {3: 23, 4: 12, 5: 1, 8: 1}
    assert len(table["oqa"].instructions) == 5 and len(table["nq"].instructions) == 8
    assert set(table) == set(instructions.bank("berri")) - {"stackexchange_query_answer"}
