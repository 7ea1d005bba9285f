"""Records: places, checked fields, ids from content, grouping of consecutive rows."""

import json

import pytest

from tart_jax.data.exchange.records import (
    Judged,
    Read,
    Record,
    Rejected,
    content_id,
    grouped,
    json_records,
    shown,
)
from tart_jax.types import Document, InputError


def test_an_id_is_made_from_content_with_even_white_space():
    assert (
        content_id("Oak", "a tree") == "6b5b8303d7db15ece5d3"
    )  # printf 'Oak\0a tree' | b2sum -l 80
    assert content_id(" Oak\n", "a \t tree") == content_id("Oak", "a tree")
    assert content_id("Oak a", "tree") != content_id("Oak", "a tree")


@pytest.mark.parametrize(
    "name,content",
    [
        ("a.json", '[{"x": 1}, {"x": 2}]'),
        ("a.json", '{"x": 1}\n\n{"x": 2}\n'),
        ("a.jsonl", '{"x": 1}\n{"x": 2}'),
    ],
)
def test_a_list_and_lines_are_told_apart_by_the_first_character(name, content, tmp_path):
    (tmp_path / name).write_text(content)
    assert [value for _, value in json_records(tmp_path / name)] == [{"x": 1}, {"x": 2}]


def test_lines_are_named_by_their_number_blank_ones_counted(tmp_path):
    (tmp_path / "a.jsonl").write_text('{"x": 1}\n\n{"x": 2}\n[\n')
    records = json_records(tmp_path / "a.jsonl")
    assert [next(records)[0], next(records)[0]] == [
        f"{tmp_path}/a.jsonl: line 1",
        f"{tmp_path}/a.jsonl: line 3",
    ]
    with pytest.raises(InputError, match=r"a.jsonl: line 4 is not JSON"):
        next(records)


def test_nul_characters_and_half_surrogates_are_taken_out_and_noted():
    record = Record({"text": "a\0b\ud800c", "fine": "é😀"}, "here")
    assert record.text("text") == "ab\ufffd\ufffd\ufffdc"
    assert record.text("fine") == "é😀"
    assert record.changes == ["NUL characters removed", "half surrogate pairs replaced"]


def test_a_wrong_field_is_refused_with_place_name_and_value():
    with pytest.raises(InputError, match=r"here needs the field 'query' with a text, not 7\."):
        Record({"query": 7}, "here").text("query")
    with pytest.raises(InputError, match=r"here needs the field 'query' with a text, not None\."):
        Record({}, "here").text("query")
    with pytest.raises(InputError, match=r"here, 'ctxs' 1, needs the field 'text'"):
        Record({"ctxs": [{"text": "a"}, {"title": "b"}]}, "here").documents("ctxs")
    with pytest.raises(InputError, match="here should be an object"):
        Record(["a"], "here")


def test_empty_documents_are_left_out_and_noted():
    record = Record({"ctxs": [{"text": " "}, {"title": "T", "text": "", "id": 3}]}, "here")
    assert record.documents("ctxs") == (Document("3", "", "T"),)
    assert record.changes == ["empty documents left out"]


def test_huge_values_can_be_shown():
    deep = json.loads("[" * 900 + "]" * 900)
    for _ in range(900):
        deep = [deep]
    assert shown(deep) == "a huge list" and shown(10**9999) == "a huge int"
    assert len(shown("x" * 10**6)) < 81


def rows(*keys):
    def row(number: int, key: str) -> Judged:
        document = Document(f"d{number}", "text")
        return Judged(Record({}, f"line {number}"), key[0], [document], [document])

    return [row(number, key) if key else Rejected("x", "why") for number, key in enumerate(keys)]


def test_consecutive_rows_of_a_query_are_one_example_and_no_row_is_lost():
    items = list(grouped(rows("a", "a", "", "b", "a"), "t", negatives="negatives"))
    assert [item.records for item in items] == [2, 1, 1, 1]
    assert [isinstance(item, Read) for item in items] == [True, False, True, True]
    example = items[0].example
    assert (
        [d.doc_id for d in example.positives]
        == ["d0", "d1"]
        == [d.doc_id for d in example.negatives]
    )


def test_a_document_that_rows_repeat_stands_once():
    document = Document("d", "text")
    twice = [Judged(Record({}, "x"), "q", [document], [])] * 2
    (item,) = grouped(twice, "t", negatives="negatives")
    assert item.example.positives == (document,) and item.records == 2
