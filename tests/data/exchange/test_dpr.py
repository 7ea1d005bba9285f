"""DPR's JSON list and JSON lines."""

import json
from dataclasses import replace

import pytest

from tart_jax.data.examples import TrainingExample
from tart_jax.data.exchange import dpr
from tart_jax.data.exchange.records import Read, Rejected, content_id
from tart_jax.types import Document, InputError

RECORD = {
    "dataset": "nq_dev_psgs_w100",
    "question": "what is an oak",
    "answers": ["tree"],
    "positive_ctxs": [{"title": "Oak", "text": "a tree", "score": 1000, "passage_id": "17"}],
    "negative_ctxs": [{"title": "Owl", "text": "a bird", "psg_id": 9}],
    "hard_negative_ctxs": [{"title": "Yew", "text": "a shrub"}],
}
EXAMPLE = TrainingExample(
    "nq",
    content_id("", "what is an oak"),
    "what is an oak",
    (Document("17", "a tree", "Oak"),),
    (Document("9", "a bird", "Owl"),),
    (Document(content_id("Yew", "a shrub"), "a shrub", "Yew"),),
    answers=("tree",),
)


@pytest.mark.parametrize("name", ["a.json", "a.jsonl"])
def test_a_list_and_lines_are_read_exactly(name, tmp_path):
    text = json.dumps([RECORD], indent=4) if name == "a.json" else json.dumps(RECORD)
    (tmp_path / name).write_text(text)
    assert list(dpr.read(tmp_path / name, task="nq")) == [Read(EXAMPLE)]


def test_a_record_without_positive_is_rejected(tmp_path):
    (tmp_path / "a.json").write_text(json.dumps([RECORD, RECORD | {"positive_ctxs": []}]))
    items = list(dpr.read(tmp_path / "a.json", task="nq"))
    assert items[1] == Rejected(f"{tmp_path}/a.json: record 2", "it has no positive document")


def test_a_malformed_record_is_refused_with_file_record_and_field(tmp_path):
    bad = RECORD | {"positive_ctxs": [{"title": "Oak", "text": ["a", "tree"]}]}
    (tmp_path / "a.json").write_text(json.dumps([RECORD, bad]))
    with pytest.raises(
        InputError, match=r"a.json: record 2, 'positive_ctxs' 0, needs the field 'text' with a text"
    ):
        list(dpr.read(tmp_path / "a.json", task="nq"))


def test_a_list_is_streamed(tmp_path):
    cut = json.dumps([RECORD] * 3, indent=4)[:-40]
    (tmp_path / "a.json").write_text(cut)
    items = dpr.read(tmp_path / "a.json", task="nq")
    assert next(items) == next(items) == Read(EXAMPLE)
    with pytest.raises(InputError, match=r"a.json: item 3 is not JSON"):
        next(items)


def test_what_is_written_reads_back_the_same(tmp_path):
    instructed = TrainingExample("nq", "7", "elm", EXAMPLE.positives, instruction="find")
    exported = dpr.write(tmp_path / "a.json", [EXAMPLE, instructed])
    assert (exported.examples, exported.records) == (2, 2)
    assert exported.lost == {"instructions in a field that DPR does not read": 1}
    back = [item.example for item in dpr.read(tmp_path / "a.json", task="nq")]
    assert back == [EXAMPLE, instructed] and back != [instructed, EXAMPLE]
    assert isinstance(json.loads((tmp_path / "a.json").read_text()), list)


def test_no_example_is_an_empty_list(tmp_path):
    dpr.write(tmp_path / "a.json", [])
    assert json.loads((tmp_path / "a.json").read_text()) == []


def test_only_the_beginning_of_a_list_on_one_line_is_read_to_tell_it_from_lines(tmp_path):
    (tmp_path / "a.json").write_text(json.dumps([RECORD] * 50) + "\n\xff")
    content = (tmp_path / "a.json").read_bytes()[:-2] + b"\xff"  # not UTF-8, far behind
    (tmp_path / "a.json").write_bytes(content)
    assert next(dpr.read(tmp_path / "a.json", task="nq")) == Read(EXAMPLE)


def test_scores_stand_in_a_field_of_their_own_and_that_is_counted(tmp_path):
    scored = replace(EXAMPLE, scores={EXAMPLE.positives[0].doc_id: 0.5})
    exported = dpr.write(tmp_path / "a.json", [scored, EXAMPLE])
    assert exported.lost == {"scores in a field that DPR does not read": 1}
    assert (tmp_path / "a.json").read_text().count('"ce_score": 0.5') == 1
    back = [item.example for item in dpr.read(tmp_path / "a.json", task="nq")]
    assert back == [scored, EXAMPLE]
