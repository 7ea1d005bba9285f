"""MS MARCO's triples of texts and of ids."""

import pytest

from tart_jax.data.examples import TrainingExample
from tart_jax.data.exchange import msmarco
from tart_jax.data.exchange.records import Read, Rejected, content_id
from tart_jax.types import Document, InputError


def test_triples_of_texts_are_grouped_by_query(tmp_path):
    path = tmp_path / "t.tsv"
    path.write_text("oak\ta tree\ta bird\noak\ta tree\ta cat\nelm\t \tx\n")

    def document(text):
        return Document(content_id("", text), text)

    example = TrainingExample(
        "t", content_id("", "oak"), "oak", (document("a tree"),), (),
        (document("a bird"), document("a cat")),
    )  # fmt: skip
    assert list(msmarco.read(path, task="t")) == [
        Read(example, 2),
        Rejected(f"{path}: line 3", "a document is empty"),
    ]


@pytest.fixture
def by_id(tmp_path):
    (tmp_path / "t.tsv").write_text("7\t10\t12\n7\t10\t11\n8\t12\t10\n")
    (tmp_path / "collection.tsv").write_bytes(b"10\ta tree\r of wood\n11\ta bird\n12\ta cat\n")
    (tmp_path / "queries.tsv").write_text("8\telm\n7\toak\n")
    return {
        "path": tmp_path / "t.tsv",
        "corpus": str(tmp_path / "collection.tsv"),
        "queries": str(tmp_path / "queries.tsv"),
    }


def test_triples_of_ids_find_their_texts(by_id):
    tree, bird, cat = (Document("10", "a tree\r of wood"), Document("11", "a bird"),
                       Document("12", "a cat"))  # fmt: skip
    assert list(msmarco.read(**by_id, task="t")) == [
        Read(TrainingExample("t", "7", "oak", (tree,), (), (cat, bird)), 2),
        Read(TrainingExample("t", "8", "elm", (cat,), (), (tree,))),
    ]


@pytest.mark.parametrize(
    "line,said",
    [
        ("7\t10", r"t.tsv: line 4 should be query id, positive id and negative id"),
        ("7\t10\t99", r"t.tsv: line 4: the passage '99' is not in .*collection.tsv"),
        ("9\t10\t11", r"t.tsv: line 4: the query '9' is not in .*queries.tsv"),
    ],
)
def test_unknown_ids_and_wrong_columns_are_refused_with_their_line(line, said, by_id):
    with by_id["path"].open("a") as file:
        file.write(line + "\n")
    with pytest.raises(InputError, match=said):
        list(msmarco.read(**by_id, task="t"))


def test_one_of_the_two_files_alone_is_refused(by_id):
    with pytest.raises(InputError, match="need both"):
        list(msmarco.read(by_id["path"], task="t", corpus=by_id["corpus"]))
