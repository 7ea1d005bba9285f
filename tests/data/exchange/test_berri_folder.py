"""BERRI's source folders with their irregularities."""

import json

import pytest

from tart_jax.data.examples import TrainingExample
from tart_jax.data.exchange import berri_folder
from tart_jax.data.exchange.records import Read, Rejected, content_id
from tart_jax.types import Document, InputError


def document(text, title=""):
    return Document(content_id(title, text), text, title)


def example(query, positives, negatives=()):
    return TrainingExample("t", content_id("", query), query, tuple(positives), tuple(negatives))


RECORDS = [
    {"question": "oak", "positive_ctxs": [{"text": "a tree", "title": "Oak"}],
     "negative_ctxs": [{"text": {"text": "a bird", "title": "Owl"}}]},
    {"target": "elm", "positive_ctxs": [{"text": ["a", "tree"]}], "answers": ["x"]},
    {"question": "ash", "answers": ["a tree", " "]},
    {"question": "fir\0", "positive_ctxs": [{"text": "a tr\0ee", "title": ""}]},
    {"question": "yew"},
]  # fmt: skip


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "qa_data.json").write_text(json.dumps(RECORDS))
    rows = [("id", "text", "title"), *((n, f"text\0 {n}", f"T{n}") for n in range(20))]
    (tmp_path / "corpus.tsv").write_text("".join("\t".join(map(str, r)) + "\n" for r in rows))
    return tmp_path


def test_the_irregularities_are_read_and_noted(folder):
    where = f"{folder}/qa_data.json: record"
    assert list(berri_folder.read(folder, task="t")) == [
        Read(example("oak", [document("a tree", "Oak")], [document("a bird", "Owl")]), 1,
             ("texts nested in texts",)),
        Read(example("elm", [document("a tree")]), 1, ("texts split into lists",)),
        Rejected(f"{where} 3", "it has answers but no positive document"),
        Read(example("fir", [document("a tree")]), 1,
             ("NUL characters removed", "NUL characters removed")),
        Rejected(f"{where} 5", "it has no positive document"),
    ]  # fmt: skip


def test_answers_can_be_the_documents(folder):
    items = list(berri_folder.read(folder, task="t", answers="document"))
    assert items[2] == Read(
        example("ash", [document("a tree")]), 1, ("answers taken as documents",)
    )


def test_random_negatives_come_from_the_corpus_by_seed_and_query(folder):
    def drawn(**options):
        items = berri_folder.read(folder, task="t", random_negatives=3, **options)
        return [item.example.negatives for item in items if isinstance(item, Read)]

    first = drawn()
    assert first == drawn() and first != drawn(seed=1)
    assert [len(negatives) for negatives in first] == [4, 3, 3]
    assert first[1][0].text.startswith("text ") and "\0" not in first[1][0].text


@pytest.mark.parametrize(
    "name",
    ["qrecc_train_dpr.jsonl", "pubmed_hard_negatives_added.json", "mdmcqa_corpus_qa_train.json",
     "oqa_qq_train.jsonl"],
)  # fmt: skip
def test_the_published_names_are_found(name, tmp_path):
    text = json.dumps(RECORDS[0]) if name.endswith("jsonl") else json.dumps(RECORDS[:1])
    (tmp_path / name).write_text(text)
    assert len(list(berri_folder.read(tmp_path, task="t"))) == 1


def test_several_or_no_file_of_questions_is_refused(tmp_path):
    with pytest.raises(InputError, match="holds no file of questions"):
        list(berri_folder.read(tmp_path, task="t"))
    for name in ("a_train_dpr.jsonl", "b_train_dpr.jsonl"):
        (tmp_path / name).write_text(json.dumps(RECORDS[0]))
    with pytest.raises(InputError, match="a_train_dpr.jsonl, b_train_dpr.jsonl; name one"):
        list(berri_folder.read(tmp_path, task="t"))
    assert len(list(berri_folder.read(tmp_path, task="t", file="a_train_dpr.jsonl"))) == 1


def test_a_malformed_text_is_refused_with_file_record_and_field(folder):
    bad = {"question": "q", "positive_ctxs": [{"text": 7}]}
    (folder / "qa_data.json").write_text(json.dumps([RECORDS[0], bad]))
    with pytest.raises(
        InputError, match=r"qa_data.json: record 2, 'positive_ctxs' 0, needs the field 'text'"
    ):
        list(berri_folder.read(folder, task="t"))
