"""Task files of KILT are read item by item, or refused with file, line and field."""

import json
import re

import pytest

from tart_jax.data.kilt import tasks
from tart_jax.data.kilt.tasks import TASKS, TRAINING_TASKS, Provenance, read_items
from tart_jax.types import InputError


def test_items_of_every_kind_are_read(write_lines, nq_records):
    items = [item for _, item in read_items(write_lines("nq.jsonl", nq_records))]
    assert [item.kilt_id for item in items] == [record["id"] for record in nq_records]
    first = items[0]
    assert first.provenance() == (Provenance("101", 1, 0, 1, 17, 1.0),)
    assert first.answers() == ("a tree", "a plant")
    by_id = {item.kilt_id: item for item in items}
    assert by_id["only answers"].outputs[0].provenance is None
    assert by_id["empty provenance"].outputs[0].provenance == ()
    assert by_id["no output"].outputs == ()
    assert by_id["no answer"].answers() == ()
    assert not any(by_id[name].provenance() for name in ("only answers", "no output"))


def test_an_id_loses_its_white_space_as_a_query_id(write_lines):
    path = write_lines("ay2.jsonl", [{"id": "1 testa CRICKET:0", "input": "x"}])
    (_, item) = next(read_items(path))
    assert (item.kilt_id, item.query_id) == ("1 testa CRICKET:0", "1_testa_CRICKET:0")


def test_numbers_as_strings_are_read_as_in_kilts_own_test_files(write_lines, provenance):
    record = {"id": 1, "input": "x", "output": [{"provenance": [provenance(5, "1", "0", 2, 9)]}]}
    (_, item) = next(read_items(write_lines("a.jsonl", [record])))
    assert item.kilt_id == "1"
    assert item.provenance() == (Provenance("5", 1, 0, 2, 9, None),)


@pytest.mark.parametrize(
    "change,said",
    [
        ({"id": None}, "'id' should be a non-empty string"),
        ({"id": True}, "'id' should be a non-empty string"),
        ({"input": 3}, "'input' should be a string"),
        ({"input": "a\ud800"}, "half a surrogate pair"),
        ({"output": {}}, "'output' should be a list"),
        ({"output": ["a"]}, "'output' 0 should be an object"),
        ({"output": [{"answer": 3}]}, "'output' 0: 'answer' should be a string"),
        ({"output": [{"provenance": {}}]}, "'output' 0: 'provenance' should be a list"),
        ({"output": [{}, {"provenance": [3]}]}, "'output' 1: 'provenance' 0 should be an object"),
        ({"output": [{"provenance": [{"title": "x"}]}]}, "'wikipedia_id' should be a page number"),
        ({"output": [{"provenance": [{"wikipedia_id": "1", "start_paragraph_id": 1.5}]}]},
         "'output' 0: 'provenance' 0: 'start_paragraph_id' should be a whole number, not '1.5'"),
        ({"output": [{"provenance": [{"wikipedia_id": "1", "bleu_score": "high"}]}]},
         "'bleu_score' should be a number up to 1, not 'high'"),
        ({"output": [{"provenance": [{"wikipedia_id": "1", "bleu_score": float("nan")}]}]},
         "'bleu_score' should be a number up to 1, not 'nan'"),
    ],
)  # fmt: skip
def test_a_malformed_item_is_refused_with_file_line_and_field(
    write_lines, nq_records, change, said
):
    path = write_lines("nq.jsonl", [nq_records[0], nq_records[0] | change])
    with pytest.raises(InputError, match=rf"{re.escape(f'{path}: line 2')}.*{re.escape(said)}"):
        list(read_items(path))


def test_every_mutated_item_is_read_or_refused_with_file_and_line(tmp_path, nq_records, mutated):
    path, refused = tmp_path / "nq.jsonl", 0
    for line in mutated(nq_records[0], 1000):
        path.write_bytes(line)
        try:
            list(read_items(path))
        except InputError as error:
            assert f"{path}: line 1" in str(error)
            refused += 1
    assert 200 < refused < 1000


def test_triviaqa_items_get_their_questions_by_id(write_lines, tmp_path):
    path = write_lines("triviaqa.jsonl", [{"id": "qw_1", "output": []}, {"id": "qw_2"}])
    own = tmp_path / "wikipedia-train.json"
    own.write_text(json.dumps({"Data": [{"QuestionId": "qw_1", "Question": "Who?"}]}))
    lines = write_lines("more.jsonl", [{"id": "qw_2", "input": "Where?"}])
    inputs = tasks.triviaqa_inputs([own, lines])
    assert [item.input for _, item in read_items(path, inputs=inputs)] == ["Who?", "Where?"]
    with pytest.raises(InputError, match="line 2: the item 'qw_2' has no 'input'.*triviaqa_inputs"):
        list(read_items(path, inputs=tasks.triviaqa_inputs([own])))
    with pytest.raises(InputError, match="line 1: the item 'qw_1' has no 'input'"):
        list(read_items(path))


def test_the_input_of_a_record_wins_over_the_merged_one(write_lines):
    path = write_lines("nq.jsonl", [{"id": "1", "input": "mine"}])
    assert next(read_items(path, inputs={"1": "other"}))[1].input == "mine"


@pytest.mark.parametrize(
    "value,said",
    [
        ([], "object with the list 'Data'"),
        ({"Data": [{"QuestionId": "a"}]}, "Data, item 1 should be an object"),
        ({"Data": [{"QuestionId": "a", "Question": "b"}, {"QuestionId": "a", "Question": "c"}]},
         "Data, item 2 gives 'a' another question"),
    ],
)  # fmt: skip
def test_a_malformed_file_of_questions_is_refused(tmp_path, value, said):
    path = tmp_path / "wikipedia-train.json"
    path.write_text(json.dumps(value))
    with pytest.raises(InputError, match=rf"{re.escape(str(path))}.*{said}"):
        tasks.triviaqa_inputs([path])


def test_the_tasks_are_the_eight_of_training_and_three_more():
    assert len(TRAINING_TASKS) == 8
    assert set(TASKS) - set(TRAINING_TASKS) == {"eli5", "wned", "cweb"}
    # The README of KILT; all training lines of the eight.
    assert sum(TASKS[name].train or 0 for name in TRAINING_TASKS) == 2_857_257
    with pytest.raises(InputError, match="'squad' is not a KILT task; the tasks are fever"):
        tasks.require_task("squad")
