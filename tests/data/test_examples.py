"""Training examples: what is written is read back, and bad lines are refused by file and line."""

import pytest

from tart_jax.data import examples
from tart_jax.data.examples import TrainingExample
from tart_jax.types import Document, InputError

EXAMPLE = TrainingExample(
    task="qa",
    query_id="qa/1",
    query="who wrote it?",
    positives=(Document("d1", "She did.", "Author"),),
    negatives=(Document("d2", "A random text."),),
    hard_negatives=(Document("d3", "Who painted it?"),),
    unfollowing_negatives=(Document("d4", "def who(): ..."),),
    instruction="Find the sentence that answers",
    scores={"d1": 7.25, "d3": -1e-3},
)


def test_written_examples_are_read_back(tmp_path):
    plain = TrainingExample("qa", "qa/2", "q", (Document("d", "t"),))
    for name in ("train.jsonl", "train.jsonl.gz"):
        assert examples.write(tmp_path / name, [EXAMPLE, plain]) == 2
        assert list(examples.read(tmp_path / name)) == [EXAMPLE, plain]


def test_a_score_stands_with_its_document_and_nowhere_else():
    record = examples.to_record(EXAMPLE)
    assert record["positives"] == [
        {"doc_id": "d1", "title": "Author", "text": "She did.", "score": 7.25}
    ]
    assert "score" not in record["negatives"][0] and "scores" not in record
    record["negatives"][0]["score"] = None  # as formats write it that need every field
    assert examples.parse(record, "here") == EXAMPLE
    record["negatives"][0]["score"] = 0
    assert examples.parse(record, "here").scores == {"d1": 7.25, "d2": 0.0, "d3": -1e-3}


def test_an_example_with_scores_can_be_hashed():
    assert len({EXAMPLE, examples.parse(examples.to_record(EXAMPLE), "here")}) == 1


def scored(doc_id="d2", score: object = 1.0) -> dict:
    return {"doc_id": doc_id, "text": "t", "score": score}


@pytest.mark.parametrize(
    "change, message",
    [
        ({"query": ""}, "'query' should be a non-empty string"),
        ({"task": 3}, "'task' should be a non-empty string"),
        ({"positives": []}, "'positives' is empty"),
        ({"negatives": "d1"}, "'negatives' should be a list"),
        ({"hard_negatives": [{"text": "no id"}]}, "'hard_negatives', document 0"),
        ({"hard_negative": []}, "unknown key 'hard_negative'"),
        ({"instruction": 1}, "'instruction' should be a string"),
        ({"negatives": [scored(score="high")]}, "'negatives', document 0, has the score 'high'"),
        ({"negatives": [scored(score=True)]}, "'negatives', document 0, has the score True"),
        ({"negatives": [scored(score=float("nan"))]}, ".* score nan; it should be finite"),
        ({"negatives": [scored(doc_id="")]}, "'negatives', document 0, has a score but no doc_id"),
        ({"negatives": [scored(doc_id="d1")]}, "'negatives', document 0, gives 'd1' the score 1.0"),
    ],
)
def test_a_bad_line_is_refused_with_file_and_line(tmp_path, change, message):
    path = tmp_path / "train.jsonl"
    good = examples.to_record(EXAMPLE)
    examples.io.write_jsonl(path, [good, good | change])
    with pytest.raises(InputError, match=f"train.jsonl: line 2: {message}"):
        list(examples.read(path))
