"""The Python face: load, index, search, rerank, and its errors."""

import numpy as np
import pytest

import tart_jax
from tart_jax import Reranker, Retriever, TwoStage
from tart_jax.models import pretrained_cross
from tart_jax.search.scorer import CrossScorer
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


def test_exact_search_finds_what_faiss_finds(retriever):
    texts = [*TEXTS, "ivy rye", "hop"]
    flat, exact = (
        retriever.index(texts, factory=factory).search("oak", k=6) for factory in ("Flat", "Exact")
    )
    assert [hit.doc_id for hit in exact] == [hit.doc_id for hit in flat]


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


@pytest.fixture(scope="module")
def tiny_cross(tiny_model, tmp_path_factory):
    """The tiny model with a random head, large, so that scores are far apart."""
    model = pretrained_cross.load(tiny_model, new_head=True)
    for name in ("pooler", "classifier"):
        model.params[name]["kernel"] = model.params[name]["kernel"] * 30
    folder = tmp_path_factory.mktemp("cross") / "model"
    parts = {name: getattr(model, name) for name in ("config", "params", "format", "tokenizer")}
    pretrained_cross.export_cross(folder, **parts)
    return pretrained_cross.load(folder)


@pytest.fixture(scope="module")
def reranker(tiny_cross):
    return Reranker.load(tiny_cross.source)


def test_documents_are_ranked_by_the_scores_of_their_pairs(reranker, tiny_cross):
    documents = [*TEXTS, Document("b", "hop tea", "rye"), {"_id": "c", "text": "ivy"}]
    hits = reranker.rank("oak", documents, instruction="find a tree")
    texts = [*TEXTS, "rye hop tea", "ivy"]
    pairs = [("find a tree [SEP] oak", text) for text in texts]
    scores = CrossScorer(tiny_cross, max_length=tiny_cross.format.max_length).score(pairs)
    names = ["0", "1", "2", "3", "b", "c"]
    assert [hit.doc_id for hit in hits] == [names[place] for place in np.argsort(-scores)]
    np.testing.assert_array_equal([hit.score for hit in hits], np.sort(scores)[::-1])
    assert hits == sorted(hits, key=lambda hit: -hit.score)
    assert next(hit for hit in hits if hit.doc_id == "b").document.title == "rye"
    assert reranker.rank("oak", documents, instruction="find a tree", k=2) == hits[:2]
    assert reranker.rank("oak", []) == []


def test_an_instruction_moves_the_rerankers_scores(reranker):
    """The broken twin of a reranker that loses its instruction."""
    plain, told = (reranker.scores("oak", TEXTS, instruction=i) for i in ("", "find a tree"))
    assert np.abs(plain - told).max() > 1e-3  # rounding is 1e-7


def test_equal_documents_keep_their_order(reranker):
    assert [hit.doc_id for hit in reranker.rank("oak", ["elm", "elm", "elm"])] == ["0", "1", "2"]


def test_two_stages_are_the_second_over_the_candidates_of_the_first(retriever, reranker):
    both = TwoStage(retriever, reranker, candidates=3).index(TEXTS)
    found = both.search("fir nut", instruction="find a tree", k=2)
    candidates = [hit.document for hit in retriever.search("fir nut", k=3)]
    assert found == reranker.rank("fir nut", candidates, instruction="find a tree", k=2)
    assert len(both.search("fir nut", k=10)) == 3


def test_the_first_stage_gets_its_own_instruction_and_none_by_default(
    retriever, reranker, monkeypatch
):
    both = TwoStage(retriever, reranker).index(TEXTS)
    seen = []
    search = retriever.search
    monkeypatch.setattr(retriever, "search", lambda *a, **o: (seen.append(o), search(*a, **o))[1])
    both.search("oak", instruction="find a tree")
    both.search("oak", instruction="find a tree", retrieval_instruction="find")
    assert [options["instruction"] for options in seen] == ["", "find"]


def test_a_rerankers_mistakes_are_one_sentence(retriever, reranker):
    with pytest.raises(InputError, match="k >= 1 and a query with text, not k=0"):
        reranker.rank("oak", TEXTS, k=0)
    with pytest.raises(InputError, match="a query with text"):
        reranker.rank(" ", TEXTS)
    with pytest.raises(InputError, match="document 1 should be"):
        reranker.rank("oak", ["x", {"title": "y"}])
    with pytest.raises(InputError, match="candidates 0 is not positive"):
        TwoStage(retriever, reranker, candidates=0)
    with pytest.raises(InputError, match="k >= 1"):
        TwoStage(retriever, reranker).index(TEXTS).search("oak", k=0)


def test_names_that_are_not_there_raise():
    with pytest.raises(AttributeError, match="no attribute 'Retriver'"):
        _ = tart_jax.Retriver
