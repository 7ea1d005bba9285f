"""Tevatron's JSON lines."""

import json
from dataclasses import replace

import pytest

from tart_jax.data.examples import TrainingExample
from tart_jax.data.exchange import tevatron
from tart_jax.data.exchange.records import Read, Rejected
from tart_jax.types import Document, InputError

RECORD = {
    "query_id": 12,
    "query": "oak",
    "positive_passages": [{"docid": "p", "title": "Oak", "text": "a tree"}],
    "negative_passages": [{"docid": "n", "text": "a bird"}],
}
EXAMPLE = TrainingExample(
    "t", "12", "oak", (Document("p", "a tree", "Oak"),), (), (Document("n", "a bird"),)
)


def test_records_are_read_exactly(tmp_path):
    records = [RECORD, RECORD | {"positive_passages": []}]
    (tmp_path / "a.jsonl").write_text("\n".join(map(json.dumps, records)))
    assert list(tevatron.read(tmp_path / "a.jsonl", task="t")) == [
        Read(EXAMPLE),
        Rejected(f"{tmp_path}/a.jsonl: line 2", "it has no positive document"),
    ]


def test_a_missing_field_is_refused_with_file_line_and_field(tmp_path):
    (tmp_path / "a.jsonl").write_text(json.dumps({"query": "oak"}))
    with pytest.raises(InputError, match=r"a.jsonl: line 1 needs the field 'positive_passages'"):
        list(tevatron.read(tmp_path / "a.jsonl", task="t"))


def test_what_is_written_reads_back_the_same(tmp_path):
    instructed = TrainingExample("t", "7", "elm", EXAMPLE.positives, instruction="find")
    tevatron.write(tmp_path / "a.jsonl", [EXAMPLE, instructed])
    back = [item.example for item in tevatron.read(tmp_path / "a.jsonl", task="t")]
    assert back == [EXAMPLE, instructed] and back != [instructed, EXAMPLE]


def test_kinds_of_negatives_that_are_merged_are_counted(tmp_path):
    example = TrainingExample("t", "7", "elm", EXAMPLE.positives, EXAMPLE.hard_negatives)
    exported = tevatron.write(tmp_path / "a.jsonl", [example])
    assert exported.lost == {"all kinds of negatives written as hard negatives": 1}
    (item,) = tevatron.read(tmp_path / "a.jsonl", task="t")
    assert item.example.hard_negatives == example.negatives


def test_scores_stand_in_a_field_of_their_own_and_that_is_counted(tmp_path):
    scored = replace(EXAMPLE, scores={EXAMPLE.positives[0].doc_id: 0.5})
    exported = tevatron.write(tmp_path / "a.json", [scored, EXAMPLE])
    assert exported.lost == {"scores in a field that Tevatron does not read": 1}
    assert (tmp_path / "a.json").read_text().count('"ce_score": 0.5') == 1
    back = [item.example for item in tevatron.read(tmp_path / "a.json", task="t")]
    assert back == [scored, EXAMPLE]
