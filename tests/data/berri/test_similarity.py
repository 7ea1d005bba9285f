import gzip

import pytest

from tart_jax.data.berri.task import Instance, Text
from tart_jax.types import InputError

# As in `coco_captions.jsonl.gz` and `WikiAnswers.jsonl.gz`.
SETS = r"""{"set": ["A clock on a wall of green tiles.", "A green clock.", "The time is ten."]}
{"set": ["A dog", "A\u0000 puppy"]}
{"set": ["This caption is alone."]}
{"set": []}
{"set": ["The other caption is a list.", ["A", "list"]]}
{"set": ["The other caption is empty.", ""]}
{"set": "The set is one text."}
{"set": ["The other caption is missing.", null]}
"""
SETS_DROPS = {
    "set of fewer than 2": 2,
    "set is no text": 1,
    "empty set": 1,
    "set is no list": 1,
    "missing set": 1,
}


def set_instances(file: str) -> list[Instance]:
    return [
        Instance(
            f"{file}:1",
            "A clock on a wall of green tiles.",
            (Text("A green clock."), Text("The time is ten.")),
        ),
        Instance(f"{file}:2", "A dog", (Text("A\0 puppy"),)),
    ]


@pytest.mark.parametrize(
    "task, file", [("coco_captions", "coco_captions.jsonl.gz"), ("oqa", "WikiAnswers.jsonl.gz")]
)
def test_a_text_finds_the_others_of_its_set(converted, task, file):
    found = converted(task, {file: gzip.compress(SETS.encode())})
    assert found == (set_instances(file), SETS_DROPS)
    assert found[0] != set_instances("another.jsonl")


def test_pairs_of_captions_are_read_too(converted):
    kept, dropped = converted("coco_captions", {"pairs.jsonl": '["A clock.", "The time."]\n[1]\n'})
    assert kept == [Instance("pairs.jsonl:1", "A clock.", (Text("The time."),))]
    assert dropped == {"1 texts instead of 2": 1}


@pytest.mark.parametrize("task", ["coco_captions", "oqa"])
def test_a_broken_set_is_refused(converted, task):
    with pytest.raises(InputError, match=r"sets\.jsonl: line 2 is not JSON"):
        converted(task, {"sets.jsonl": SETS.replace('"A dog",', '"A dog"')})


# As in `quora_duplicates.jsonl.gz`.
PAIRS = r"""["How can I be a good geologist?", "What should I do to be a great geologist?"]
["Why\u0000?", "Why so?"]
["Is the other question missing?"]
["Is the other question a list?", ["It", "is"]]
["", "Is the first question empty?"]
"""


def test_a_question_of_quora_finds_its_duplicate(converted):
    kept, dropped = converted("quora", {"quora_duplicates.jsonl.gz": gzip.compress(PAIRS.encode())})
    assert kept == [
        Instance(
            "quora_duplicates.jsonl.gz:1",
            "How can I be a good geologist?",
            (Text("What should I do to be a great geologist?"),),
        ),
        Instance("quora_duplicates.jsonl.gz:2", "Why\0?", (Text("Why so?"),)),
    ]
    assert dropped == {"1 texts instead of 2": 1, "document is no text": 1, "empty query": 1}


# As in Quora's own `quora_duplicate_questions.tsv`.
QUORA = (
    "id\tqid1\tqid2\tquestion1\tquestion2\tis_duplicate\n"
    "0\t1\t2\tWhat is the step by step guide to invest?\tWhat is the guide to invest?\t0\n"
    '1\t3\t4\t"What does ""Astrology"" say?\nI ask\tall."\tWhat says astrology\0?\t1\n'
    "2\t5\t6\tWhy?\tWhy so?\t1\r\n"
    "3\t7\t8\tIs the other question empty?\t\t1\n"
    "4\t9\t10\tIs a column missing?\t1\n"
    "5\t11\t12\tIs it a duplicate?\tHow should I know?\tmaybe\n"
)


def test_quoras_own_file_gives_duplicates_and_documents(converted):
    kept, dropped = converted("quora", {"quora_duplicates.jsonl.gz": QUORA})
    assert kept == [
        Text("What is the step by step guide to invest?"),
        Text("What is the guide to invest?"),
        Instance(
            "quora_duplicates.jsonl.gz:4",
            'What does "Astrology" say?\nI ask\tall.',
            (Text("What says astrology\0?"),),
        ),
        Instance("quora_duplicates.jsonl.gz:5", "Why?", (Text("Why so?"),)),
    ]
    assert dropped == {
        "empty question2": 1,
        "5 columns instead of 6": 1,
        "is_duplicate is neither 0 nor 1": 1,
    }


@pytest.mark.parametrize(
    "content, said",
    [
        (QUORA.replace("qid1", "qid"), r"q\.tsv: line 1 should name the columns id, qid1"),
        ("", r"q\.tsv: line 1 should name the columns"),
        (QUORA.replace('all."', "all."), r"q\.tsv: line 8 is no row of cells between tabs"),
        (QUORA.replace("\n3\t", '\n"3"x\t'), r"q\.tsv: line 6 is no row of cells between tabs"),
        (QUORA.encode() + b"\xff", r"q\.tsv: line \d or later is not UTF-8"),
        (QUORA.partition("\n")[0] + "\n", r"q\.tsv holds no record"),
    ],
)
def test_a_broken_quora_file_is_refused(converted, content, said):
    with pytest.raises(InputError, match=said):
        converted("quora", {"q.tsv": content})


def test_a_very_long_question_is_read(converted):
    long = "why " * 50_000  # longer than the csv module's own limit of a cell
    row = f"9\t1\t2\t{long}\tWhy?\t1\n"
    kept, _ = converted("quora", {"q.tsv": QUORA.partition("\n")[0] + "\n" + row})
    assert kept == [Instance("q.tsv:2", long, (Text("Why?"),))]
