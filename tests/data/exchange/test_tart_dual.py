"""TART-dual jsonl, by hand-written records."""

import json

import pytest

from tart_jax.data.examples import TrainingExample
from tart_jax.data.exchange import tart_dual
from tart_jax.data.exchange.records import Read, Rejected, content_id
from tart_jax.types import Document, InputError

RECORD = {
    "question": "Find a definition. [SEP] oak",
    "positive_ctxs": [{"title": "Oak", "text": "a tree", "ce_score": 0.99}],
    "negative_ctxs": [{"title": "", "text": "a bird"}],
    "hard_negative_ctxs": [{"title": None, "text": "a shrub"}],
}
EXAMPLE = TrainingExample(
    "t",
    content_id("", "oak"),
    "oak",
    (Document(content_id("Oak", "a tree"), "a tree", "Oak"),),
    (Document(content_id("", "a bird"), "a bird"),),
    (Document(content_id("", "a shrub"), "a shrub"),),
    instruction="Find a definition.",
    scores={content_id("Oak", "a tree"): 0.99},
)


def written(path, *records):
    path.write_text("".join(json.dumps(record) + "\n" for record in records))
    return path


def question(path, text, **options):
    (item,) = tart_dual.read(written(path, RECORD | {"question": text}), task="t", **options)
    return item


def test_a_record_is_read_exactly(tmp_path):
    path = written(tmp_path / "a.jsonl", RECORD)
    assert list(tart_dual.read(path, task="t")) == [Read(EXAMPLE)]
    (tmp_path / "a.json").write_text(json.dumps([RECORD]))
    assert list(tart_dual.read(tmp_path / "a.json", task="t")) == [Read(EXAMPLE)]


@pytest.mark.parametrize(
    "text,options,instruction,query",
    [
        ("do it [SEP] s [SEP] relation", {}, "do it", "s [SEP] relation"),
        ("s [SEP] r [SEP] do it", {"order": "query_first"}, "do it", "s [SEP] r"),
        ("do it </s> oak", {"separator": "</s>"}, "do it", "oak"),
        ("do it[SEP]oak", {}, None, "do it[SEP]oak"),
        ("oak", {}, None, "oak"),
        ("nan [SEP] oak", {}, "", "oak"),
        ("nan [SEP] oak", {"nan": "keep"}, "nan", "oak"),
        ("nano [SEP] oak", {}, "nano", "oak"),
    ],
)
def test_instruction_and_query_are_split(text, options, instruction, query, tmp_path):
    example = question(tmp_path / "a.jsonl", text, **options).example
    assert (example.instruction, example.query) == (instruction, query)


def test_nan_is_noted_or_rejected(tmp_path):
    item = question(tmp_path / "a.jsonl", "nan [SEP] oak")
    assert item.changes == ("the instruction is 'nan': removed",)
    item = question(tmp_path / "a.jsonl", "nan [SEP] oak", nan="reject")
    assert item == Rejected(f"{tmp_path}/a.jsonl: line 1", "the instruction is 'nan'")


def test_records_without_query_or_positive_are_rejected(tmp_path):
    records = [RECORD | {"question": "do it [SEP]  "}, RECORD | {"positive_ctxs": []}]
    items = list(tart_dual.read(written(tmp_path / "a.jsonl", *records), task="t"))
    assert items == [
        Rejected(f"{tmp_path}/a.jsonl: line 1", "the query is empty"),
        Rejected(f"{tmp_path}/a.jsonl: line 2", "it has no positive document"),
    ]


def test_a_malformed_record_is_refused_with_file_line_and_field(tmp_path):
    path = written(tmp_path / "a.jsonl", RECORD, RECORD | {"negative_ctxs": "none"})
    with pytest.raises(InputError, match=r"a.jsonl: line 2 needs the field 'negative_ctxs' as a l"):
        list(tart_dual.read(path, task="t"))


def test_a_score_that_is_no_finite_number_is_refused_with_its_context(tmp_path):
    for bad in ("high", float("nan"), [1], 10**400):
        record = RECORD | {"negative_ctxs": [{"title": "", "text": "a bird", "ce_score": bad}]}
        path = written(tmp_path / "a.jsonl", RECORD, record)
        with pytest.raises(
            InputError, match=r"a.jsonl: line 2, 'negative_ctxs' 0, needs the field 'ce_score' wi"
        ):
            list(tart_dual.read(path, task="t"))


def test_the_first_of_two_scores_of_a_document_stays(tmp_path):
    again = RECORD["positive_ctxs"][0] | {"ce_score": 0.5}
    path = written(tmp_path / "a.jsonl", RECORD | {"hard_negative_ctxs": [again]})
    (item,) = tart_dual.read(path, task="t")
    assert item.example.scores == EXAMPLE.scores
    assert item.changes == ("further scores of a document left out",)


@pytest.mark.parametrize("order", ["instruction_first", "query_first"])
def test_what_is_written_reads_back_the_same(order, tmp_path):
    plain = TrainingExample("t", "q2", "elm", EXAMPLE.positives)
    options = {"order": order, "separator": "</s>"}
    exported = tart_dual.write(tmp_path / "a.jsonl", [EXAMPLE, plain], **options)
    back = [item.example for item in tart_dual.read(tmp_path / "a.jsonl", task="t", **options)]
    assert back == [EXAMPLE, plain] and back != [plain, EXAMPLE]
    assert (exported.examples, exported.records, exported.lost) == (2, 2, {})
    other = {"order": order, "separator": "[SEP]"}
    assert [i.example for i in tart_dual.read(tmp_path / "a.jsonl", task="t", **other)] != back


def test_what_the_format_cannot_carry_is_counted(tmp_path):
    example = TrainingExample(
        "t", "q", "s [SEP] r", EXAMPLE.positives, unfollowing_negatives=EXAMPLE.negatives
    )
    exported = tart_dual.write(tmp_path / "a.jsonl", [example])
    assert exported.lost == {
        "queries that hold the separator will be read as having an instruction": 1,
        "unfollowing negatives written as hard negatives": 1,
    }


def test_an_instruction_that_holds_the_separator_is_refused(tmp_path):
    example = TrainingExample("t", "q", "oak", EXAMPLE.positives, instruction="a [SEP] b")
    with pytest.raises(InputError, match="holds the separator"):
        tart_dual.write(tmp_path / "a.jsonl", [example])
    assert list(tmp_path.iterdir()) == []
