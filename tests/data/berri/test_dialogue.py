import io
import zipfile

import pytest

from tart_jax.data.berri.task import Instance, Text
from tart_jax.types import InputError

# As in KILT's `wow-train-kilt.jsonl`; WoW knowledge has the layout of test_question_answering.
WOW = r"""
{"id": "c0b", "input": "I love blue.\nIt is the colour of the sky.\nTell me more", "output": [{"answer": "Blue is a primary colour.", "provenance": [{"wikipedia_id": "3", "title": "Blue"}]}, {"provenance": [{"wikipedia_id": "4"}]}, {"answer": "It lies between violet and green."}]}
{"id": 17, "input": "Hi\u0000", "output": [{"answer": "Hello!"}]}
{"input": "A dialogue without an id", "output": [{"answer": "It is known by its place."}]}
{"id": "d1", "output": [{"answer": "There was no question."}]}
{"id": "d2", "input": ["turn", "turn"], "output": [{"answer": "A list of turns."}]}
{"id": "d3", "input": "", "output": [{"answer": "An empty turn."}]}
{"id": "d4", "input": "What did the wizard say?", "output": [{"provenance": []}]}
{"id": "d5", "input": "What did the wizard say?", "output": []}
{"id": "d6", "input": "What did the wizard say?"}
{"id": "d7", "input": "What did the wizard say?", "output": [{"answer": ["A", "list"]}]}
{"id": "d8", "input": "What did the wizard say?", "output": [{"answer": ""}]}
{"id": "d9", "input": "What did the wizard say?", "output": ["bare text"]}
"""  # noqa: E501


def test_a_wow_dialogue_finds_what_was_said_next(converted):
    kept, dropped = converted("wow_response", {"wow-train-kilt.jsonl": WOW})
    assert kept == [
        Instance(
            "c0b",
            "I love blue.\nIt is the colour of the sky.\nTell me more",
            (Text("Blue is a primary colour."), Text("It lies between violet and green.")),
        ),
        Instance("17", "Hi\0", (Text("Hello!"),)),
        Instance(
            "wow-train-kilt.jsonl:4",
            "A dialogue without an id",
            (Text("It is known by its place."),),
        ),
    ]
    assert dropped == {
        "missing input": 1,
        "input is no text": 1,
        "empty input": 1,
        "no answer": 2,
        "output is no list": 1,
        "answer is no text": 1,
        "empty answer": 1,
        "no object": 1,
    }


def test_a_broken_line_of_wow_is_refused(converted):
    with pytest.raises(InputError, match=r"wow-train-kilt\.jsonl: line 3 is not JSON"):
        converted("wow_response", {"wow-train-kilt.jsonl": WOW.replace('{"id": 17', '{"id": ')})


QRECC = r"""[
{"Context": ["What are the pros of electric cars?", "They are quiet."],
 "Question": "Tell me more about Tesla", "Rewrite": "Tell me more about Tesla the car company.",
 "Answer": "Tesla Inc. is an American company.", "Answer_URL": "https://example.org",
 "Conversation_no": 74, "Turn_no": 2, "Conversation_source": "trec"},
{"Context": [], "Question": "Why?", "Rewrite": "Why\u0000?", "Answer": "Because.",
 "Conversation_no": 75, "Turn_no": 1},
{"Context": [], "Question": "Where is the rewritten question?", "Answer": "It is missing."},
{"Question": "q", "Rewrite": ["a", "list"], "Answer": "A list of questions."},
{"Question": "q", "Rewrite": "", "Answer": "An empty question."},
{"Question": "q", "Rewrite": "Which answer is empty?", "Answer": ""},
{"Question": "q", "Rewrite": "Which answer is missing?"},
{"Question": "q", "Rewrite": "Which answer is a list?", "Answer": ["a", "list"]},
"no object"
]
"""
QRECC_INSTANCES = [
    Instance(
        "qrecc_train.json:1",
        "Tell me more about Tesla the car company.",
        (Text("Tesla Inc. is an American company."),),
    ),
    Instance("qrecc_train.json:2", "Why\0?", (Text("Because."),)),
]
QRECC_DROPS = {
    "missing Rewrite": 1,
    "Rewrite is no text": 1,
    "empty Rewrite": 1,
    "empty Answer": 1,
    "missing Answer": 1,
    "Answer is no text": 1,
    "no object": 1,
}


def test_a_rewritten_question_of_qrecc_finds_the_response(converted):
    found = converted("qrecc", {"qrecc_train.json": QRECC})
    assert found == (QRECC_INSTANCES, QRECC_DROPS)


def test_of_the_qrecc_archive_only_the_training_file_is_read(converted):
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as file:
        file.writestr("qrecc_train.json", QRECC)
        file.writestr("qrecc_test.json", QRECC.replace("Tesla", "Volvo"))
    found = converted("qrecc", {"qrecc_data.zip": archive.getvalue()})
    assert found == (QRECC_INSTANCES, QRECC_DROPS)


def test_a_cut_qrecc_file_is_refused(converted):
    with pytest.raises(InputError, match=r"qrecc_train\.json: item 2 is not JSON"):
        converted("qrecc", {"qrecc_train.json": QRECC[: QRECC.index('"Why?"')]})
