"""The rules that all BERRI tasks share."""

import pytest

from tart_jax.data.berri import rules
from tart_jax.data.berri.rules import Lost, refined
from tart_jax.data.berri.task import Dropped, Instance, Task, Text
from tart_jax.data.examples import TrainingExample
from tart_jax.types import Document, InputError

QUERY = "a query that is long enough"


def task_of(*items):
    return Task(1, "t", "web", "qa", "text", lambda paths: iter(items))


def sorted_out(*items):
    """(examples, texts of documents, what was lost)"""
    found = list(refined(task_of(*items), ()))
    kinds = (TrainingExample, Document, Lost)
    examples, documents, lost = ([f for f in found if isinstance(f, kind)] for kind in kinds)
    return examples, [document.text for document in documents], lost


def test_an_instance_is_cleaned_and_its_documents_come_out():
    item = Instance("k", f"\0 {QUERY}\n", (Text(" a\0b ", " T"),), (Text("other \ud800"),))
    examples, documents, lost = sorted_out(item, Text(" alone "))
    assert documents == ["ab", "other", "alone"] and lost == []
    (example,) = examples
    assert (example.query_id, example.query) == ("k", QUERY)
    assert example.positives == (Document(rules.doc_id("ab", "T"), "ab", "T"),)
    assert [d.text for d in example.hard_negatives] == ["other"]
    assert example.negatives == () and example.instruction is None


@pytest.mark.parametrize(
    "query,positives,reason",
    [
        ("", ("p",), "empty query"),
        ("\0 \t", ("p",), "empty query"),
        (["a list that is long enough"], ("p",), "empty query"),
        ("nineteen characters", ("p",), "short query"),
        (QUERY, (), "no positive"),
        (QUERY, (" ", None), "no positive"),
    ],
)
def test_an_instance_that_leaves_is_counted_and_its_documents_stay(query, positives, reason):
    examples, documents, lost = sorted_out(Instance("k", query, tuple(map(Text, positives))))
    assert examples == [] and documents == [p for p in positives if p == "p"]
    assert [reason for what, reason in lost if what == "record"] == [reason]


def test_a_query_of_twenty_characters_stays():
    assert len(sorted_out(Instance("k", "twenty characters ok", (Text("p"),)))[0]) == 1


def test_texts_of_an_instance_that_leave_are_counted():
    positives = (Text("p  q"), Text("p q"), Text(""))
    negatives = (Text("p\nq", "another title"), Text("n"), Text("n"), Text(3))  # type: ignore
    (example,), documents, lost = sorted_out(Instance("k", QUERY, positives, negatives), Text("\0"))
    assert [d.text for d in example.positives] == ["p  q"]
    assert [d.text for d in example.hard_negatives] == ["n"]
    assert documents == ["p  q", "p\nq", "n"]
    assert sorted(reason for _, reason in lost) == [
        "empty document",
        "empty negative",
        "empty positive",
        "negative equal to a positive",
        "repeated negative",
        "repeated positive",
    ]


def test_a_converters_own_drops_keep_their_reason():
    assert sorted_out(Dropped("7", "no answer"))[2] == [Lost("record", "no answer")]


def test_a_key_that_is_no_text_is_refused():
    with pytest.raises(InputError, match="task t: a converter gave the key 7"):
        sorted_out(Instance(7, QUERY, (Text("p"),)))  # type: ignore


def test_a_document_id_sees_every_word_and_no_white_space():
    ids = {rules.doc_id(text, "T") for text in ("a b", " a \n b", "a\u00a0b")}
    assert len(ids) == 1 and len(ids.pop()) == 20
    others = [rules.doc_id("ab", "T"), rules.doc_id("a b"), rules.doc_id("b", "T a")]
    assert len({rules.doc_id("a b", "T"), *others}) == 4


def test_drawn_positions_are_different_and_depend_on_seed_and_key_only():
    drawn = rules.draws(3, "key", 7, 100)
    assert drawn == rules.draws(3, "key", 7, 100)
    assert len(set(drawn)) == 7 and max(drawn) < 100
    assert drawn != rules.draws(4, "key", 7, 100) and drawn != rules.draws(3, "kez", 7, 100)
    assert sorted(rules.draws(3, "key", 7, 4)) == [0, 1, 2, 3]
    assert rules.draws(3, "key", 7, 0) == []
    counts = [0] * 10
    for key in range(2000):
        counts[rules.draws(0, str(key), 1, 10)[0]] += 1
    assert min(counts) > 140  # 200 expected, standard deviation 13


def test_a_random_negative_is_never_a_positive():
    positive = Document("p", "the answer")
    example = TrainingExample("t", "k", QUERY, (positive,))
    documents = [Document("x", "the  answer", "Title"), positive, *(Document(c, c) for c in "abc")]
    chosen = rules.with_negatives(example, documents, 2).negatives
    assert [d.text for d in chosen] == ["a", "b"]
    assert len(rules.with_negatives(example, documents, 9).negatives) == 3
    assert rules.candidates(example, 0, 0, 10) == []


def test_a_stored_example_is_read_again():
    example = sorted_out(Instance("k", f"{QUERY} \u2028 ü", (Text("p"),), (Text("n"),)))[0][0]
    assert rules.parse_json(rules.example_json(example)) == example
