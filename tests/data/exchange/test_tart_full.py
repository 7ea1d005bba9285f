"""TART-full's JSON lines of labelled pairs."""

import json

import pytest

from tart_jax.data.examples import TrainingExample
from tart_jax.data.exchange import tart_full
from tart_jax.data.exchange.records import Read, Rejected, content_id
from tart_jax.types import Document, InputError


def document(text):
    return Document(content_id("", text), text)


def written(path, *rows):
    lines = [
        json.dumps(dict(zip(("query", "document", "label"), row, strict=True))) for row in rows
    ]
    path.write_text("\n".join(lines))
    return path


def example(query, positives, negatives, instruction):
    return TrainingExample(
        "t",
        content_id("", query),
        query,
        tuple(map(document, positives)),
        tuple(map(document, negatives)),
        instruction=instruction,
    )


def test_consecutive_lines_become_examples_with_either_separator(tmp_path):
    path = written(
        tmp_path / "a.json",
        ("find </s> oak", "a tree", 1),
        ("find </s> oak", "a bird", 0),
        ("other [SEP] oak", "a cat", "0"),
        ("other [SEP] oak", "a tree", "1"),
        ("elm", "a tree", 1),
        ("nan </s> ash", "a tree", 1),
    )
    assert list(tart_full.read(path, task="t")) == [
        Read(example("oak", ["a tree"], ["a bird"], "find"), 2),
        Read(example("oak", ["a tree"], ["a cat"], "other"), 2),
        Read(example("elm", ["a tree"], [], None)),
        Read(example("ash", ["a tree"], [], ""), 1, ("the instruction is 'nan': removed",)),
    ]


def test_a_query_without_a_relevant_line_is_rejected_with_all_its_lines(tmp_path):
    path = written(tmp_path / "a.json", ("oak", "a", 0), ("oak", "b", 0), ("elm", " ", 1))
    assert list(tart_full.read(path, task="t")) == [
        Rejected(f"{path}: line 1", "it has no positive document", 2),
        Rejected(f"{path}: line 3", "the document is empty"),
    ]


def test_a_separator_that_is_named_is_the_only_one(tmp_path):
    path = written(tmp_path / "a.json", ("a </s> b [SEP] oak", "x", 1))
    (item,) = tart_full.read(path, task="t", separator="[SEP]")
    assert item.example.instruction == "a </s> b"


@pytest.mark.parametrize("label", [2, True, None, "yes", [1]])
def test_another_label_than_0_or_1_is_refused(label, tmp_path):
    path = written(tmp_path / "a.json", ("oak", "a", 1), ("oak", "b", label))
    with pytest.raises(InputError, match=r"a.json: line 2 needs the field 'label' with 0 or 1"):
        list(tart_full.read(path, task="t"))


def test_what_is_written_reads_back_the_same(tmp_path):
    examples = [
        example("oak", ["a tree"], ["a bird", "a cat"], "find"),
        example("elm", ["a tree", "a wood"], [], None),
    ]
    exported = tart_full.write(tmp_path / "a.json", examples)
    assert (exported.examples, exported.records, exported.lost) == (2, 5, {})
    back = [item.example for item in tart_full.read(tmp_path / "a.json", task="t")]
    assert back == examples and back != examples[::-1]


def test_four_negatives_a_positive_hardest_first_and_titles_before_texts(tmp_path):
    kinds = {
        "negatives": tuple(document(f"random {n}") for n in range(4)),
        "hard_negatives": (Document("h", "hard", "Title"),),
        "unfollowing_negatives": (document("unfollowing"),),
    }
    full = TrainingExample("t", "q", "oak", (Document("p", "a tree", "Oak"),), **kinds)
    exported = tart_full.write(tmp_path / "a.json", [full], separator="</s>")
    lines = [json.loads(line) for line in (tmp_path / "a.json").read_text().splitlines()]
    assert lines[0] == {"query": "oak", "document": "Oak a tree", "label": 1}
    assert [line["document"] for line in lines[1:]] == [
        "Title hard", "unfollowing", "random 0", "random 1",
    ]  # fmt: skip
    assert exported.lost["negatives beyond the ratio left out"] == 1
