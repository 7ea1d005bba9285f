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
)


def test_written_examples_are_read_back(tmp_path):
    plain = TrainingExample("qa", "qa/2", "q", (Document("d", "t"),))
    for name in ("train.jsonl", "train.jsonl.gz"):
        assert examples.write(tmp_path / name, [EXAMPLE, plain]) == 2
        assert list(examples.read(tmp_path / name)) == [EXAMPLE, plain]


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
    ],
)
def test_a_bad_line_is_refused_with_file_and_line(tmp_path, change, message):
    path = tmp_path / "train.jsonl"
    good = examples.to_record(EXAMPLE)
    examples.io.write_jsonl(path, [good, good | change])
    with pytest.raises(InputError, match=f"train.jsonl: line 2: {message}"):
        list(examples.read(path))
