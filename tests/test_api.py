"""The Python face: load, index, search, and its errors."""

import numpy as np
import pytest

import tart_jax
from tart_jax import Retriever
from tart_jax.types import Document, InputError

TEXTS = ["oak and elm", "fir", "yew bay fig", "nut"]


@pytest.fixture(scope="module")
def retriever(tiny_model):
    return Retriever.load(tiny_model)


def test_the_nearest_document_comes_first(retriever):
    retriever.index(TEXTS)
    for place, text in enumerate(TEXTS):
        hits = retriever.search(text, k=2)
        assert hits[0].doc_id == str(place) and hits[0].document.text == text
        assert hits[0].score == pytest.approx(1, abs=1e-5)  # the tiny model normalises
        assert hits[0].score >= hits[1].score


def test_the_instruction_changes_the_query_and_not_the_documents(retriever):
    plain, instructed = (
        retriever.encode_queries(["oak"], instruction=i) for i in ("", "find a tree")
    )
    assert np.abs(plain - instructed).max() > 1e-3
    joined = retriever.encode_queries(["find a tree [SEP] oak"])
    np.testing.assert_array_equal(instructed, joined)
    np.testing.assert_array_equal(retriever.encode_documents(["oak"]), plain)


def test_documents_may_be_texts_records_mappings_or_a_corpus(retriever, tiny_corpus):
    retriever.index([Document("a", "oak"), {"_id": "b", "text": "fir", "title": "tree"}, "elm"])
    found = {hit.doc_id for hit in retriever.search("oak", k=10)}
    assert found == {"a", "b", "2"}
    assert len(retriever.index(tiny_corpus).search("oak", k=30)) == 20


def test_many_queries_give_what_each_gives_alone(retriever):
    retriever.index(TEXTS)
    together = retriever.search_many(["oak", "fir nut"], k=3)
    assert [hit.doc_id for hit in together[1]] == [
        hit.doc_id for hit in retriever.search("fir nut", k=3)
    ]


def test_mistakes_are_one_sentence(tiny_model):
    fresh = Retriever.load(tiny_model)
    with pytest.raises(InputError, match="nothing is indexed"):
        fresh.search("oak")
    with pytest.raises(InputError, match="no document"):
        fresh.index([])
    with pytest.raises(InputError, match="repeat the id"):
        fresh.index([Document("a", "x"), Document("a", "y")])
    with pytest.raises(InputError, match="document 1 should be"):
        fresh.index(["x", {"title": "y"}])
    fresh.index(TEXTS)
    with pytest.raises(InputError, match="repeat the id"):
        fresh.index([Document("a", "x"), Document("a", "y")])
    assert fresh.search(TEXTS[1], k=1)[0].document.text == TEXTS[1]  # the earlier index stands
    with pytest.raises(InputError, match="k >= 1"):
        fresh.search("oak", k=0)


def test_names_that_are_not_there_raise():
    with pytest.raises(AttributeError, match="no attribute 'Retriver'"):
        _ = tart_jax.Retriver
