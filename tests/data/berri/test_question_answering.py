import gzip
import json

import pytest

from tart_jax.data.berri.task import Instance, Text
from tart_jax.data.berri.tasks import TASKS
from tart_jax.types import InputError

# As in the multi-task retriever's `nq-train-multikilt.json`.
KILT = r"""[
    {
        "question": "who wrote the opera about the barber",
        "answers": ["Gioachino Rossini"],
        "positive_ctxs": [
            {"title": "The Barber of Seville", "text": "An opera buffa by Rossini.",
             "score": 1000, "title_score": 1, "passage_id": "17"},
            {"title": "Gioachino Rossini", "text": "He wrote 39 operas."}
        ],
        "negative_ctxs": [{"title": "Seville", "text": "A city in Spain.", "passage_id": "3"}],
        "hard_negative_ctxs": [{"title": null, "text": "A barber cuts hair."}]
    },
    {"question": "why", "answers": [], "positive_ctxs": [{"text": "Be\u0000cause."}],
     "negative_ctxs": [], "hard_negative_ctxs": []},
    {"answers": [], "positive_ctxs": [{"title": "", "text": "No question."}]},
    {"question": ["a", "list"], "positive_ctxs": [{"title": "", "text": "A passage."}]},
    {"question": "which passage answers this", "positive_ctxs": [], "hard_negative_ctxs": []},
    {"question": "which passages are missing"},
    {"question": "which positive is a list", "positive_ctxs": [{"title": "", "text": ["p"]}]},
    {"question": "which positive is empty", "positive_ctxs": [{"title": "", "text": "\u0000"}]},
    {"question": "which negative is no object", "positive_ctxs": [{"text": "p"}],
     "hard_negative_ctxs": ["bare text"]},
    {"question": "which positives are no list", "positive_ctxs": {"text": "p"}},
    {"question": " \u0000 ", "positive_ctxs": [{"text": "p"}]},
    null
]
"""
KILT_DROPS = {
    "no object": 1,
    "missing question": 1,
    "question is no text": 1,
    "empty question": 1,
    "missing positive_ctxs": 1,
    "empty positive_ctxs": 1,
    "positive_ctxs is no list": 1,
    "text of positive_ctxs is no text": 1,
    "empty text of positive_ctxs": 1,
}


def kilt_instances(file: str) -> list[Instance]:
    return [
        Instance(
            f"{file}:1",
            "who wrote the opera about the barber",
            (
                Text("An opera buffa by Rossini.", "The Barber of Seville"),
                Text("He wrote 39 operas.", "Gioachino Rossini"),
            ),
            (Text("A barber cuts hair."),),
        ),
        Instance(f"{file}:2", "why", (Text("Be\0cause."),)),
    ]


@pytest.mark.parametrize("task", ["hotpotqa", "nq", "triviaqa", "fever", "wow_knowledge"])
def test_the_passages_of_kilt_become_positives_and_hard_negatives(converted, task):
    file = f"{task}-train-multikilt.json.gz"
    kept, dropped = converted(task, {file: gzip.compress(KILT.encode())})
    assert kept == kilt_instances(file)
    assert dropped.pop("no object") == 2  # the bare negative and the null
    assert dropped == {reason: 1 for reason in KILT_DROPS if reason != "no object"}


def test_another_answer_gives_another_instance(converted):
    kept, _ = converted("nq", {"nq.json": KILT.replace("by Rossini", "by Paisiello")})
    assert kept != kilt_instances("nq.json")


@pytest.mark.parametrize(
    "content, said",
    [
        (KILT[: KILT.index('"why"')], r"nq\.json: item 2 is not JSON"),
        (KILT.encode().replace(b"why", b"wh\xff"), r"nq\.json: item \d+ is not JSON"),
        ('{"question": "q"}', r"nq\.json should hold one JSON list"),
        ("[]", r"nq\.json holds no record"),
        (gzip.compress(KILT.encode(), mtime=0)[:-20], r"nq\.json: item \d+ is not JSON"),
    ],
)
def test_a_broken_list_of_passages_is_refused(converted, content, said):
    with pytest.raises(InputError, match=said):
        converted("nq", {"nq.json": content})


def test_every_real_question_in_dprs_form_is_read(test_data):
    path = test_data / "multitask-derived" / "hotpotqa-pool" / "dpr_format.json.gz"
    made = list(TASKS["hotpotqa"].convert((path,)))
    with gzip.open(path, "rt", encoding="utf-8") as file:
        questions = json.load(file)
    assert len(made) == len(questions) == 251
    assert sum(len(one.positives) for one in made) == 502
    for one, question in zip(made, questions, strict=True):
        assert one.query == question["question"]
        for texts, field in (
            (one.positives, "positive_ctxs"),
            (one.hard_negatives, "hard_negative_ctxs"),
        ):
            assert [(text.title, text.text) for text in texts] == [
                (context["title"], context["text"]) for context in question[field]
            ]


SQUAD = r"""{"data": [
  {"title": "University_of_Notre_Dame", "paragraphs": [
    {"context": "The school has a Catholic character.", "qas": [
      {"answers": [{"answer_start": 17, "text": "Catholic"}],
       "question": "What character does the school have?", "id": "5733be"},
      {"answers": [], "question": "Who?", "id": "5733bf"},
      {"answers": [], "question": "A question without an id of its own?"},
      {"answers": [], "id": "no question"},
      {"answers": [], "question": ["In", "a", "list?"], "id": "list"},
      {"answers": [], "question": "", "id": "empty"},
      "no object"
    ]},
    {"context": ["a", "list"], "qas": [{"question": "Lost with its paragraph?", "id": "x"}]},
    {"context": "A paragraph without questions\u0000.", "qas": []},
    {"context": "A paragraph whose questions are missing."}
  ]},
  {"title": "Frogs", "paragraphs": [
    {"context": "Frogs are amphibians.", "qas": [{"question": "What are frogs?", "id": "9"}]}
  ]},
  {"paragraphs": []},
  {"title": "No_paragraphs"}
], "version": "1.1"}
"""


def test_squad_questions_find_their_paragraph(converted):
    kept, dropped = converted("squad", {"train-v1.1.json": SQUAD})
    school = Text("The school has a Catholic character.", "University of Notre Dame")
    assert kept == [
        Instance("5733be", "What character does the school have?", (school,)),
        Instance("5733bf", "Who?", (school,)),
        Instance("train-v1.1.json:1.1.3", "A question without an id of its own?", (school,)),
        Text("A paragraph without questions\0.", "University of Notre Dame"),
        Instance("9", "What are frogs?", (Text("Frogs are amphibians.", "Frogs"),)),
    ]
    assert dropped == {
        "missing question": 1,
        "question is no text": 1,
        "empty question": 1,
        "no object": 1,
        "context is no text": 1,
        "qas is no list": 1,
        "missing title": 1,
        "paragraphs is no list": 1,
    }


@pytest.mark.parametrize(
    "content, said",
    [
        (SQUAD[:300], r"train-v1\.1\.json: what follows record 0 is not JSON"),
        (SQUAD[: SQUAD.index("Frogs are")], r"what follows record 1 is not JSON"),
        ('[{"question": "q"}]', r"train-v1\.1\.json holds no record"),
        ('{"data": [{"titel": "t"}]}', r"train-v1\.1\.json: .*missing title"),
    ],
)
def test_another_file_than_squad_is_refused(converted, content, said):
    with pytest.raises(InputError, match=said):
        converted("squad", {"train-v1.1.json": content})
