"""BM25: its ranking, ties, round trip, and the published figures."""

import numpy as np
import pytest

from tart_jax import io
from tart_jax.data import corpus
from tart_jax.evaluate.measures import evaluate
from tart_jax.index.base import Index
from tart_jax.index.bm25 import BM25Index
from tart_jax.search.retrieve import retrieve
from tart_jax.types import InputError

TEXTS = ["the running dogs", "a cat", "dog dog dog", "cats and dogs", "a cat", ""]


def built(texts=TEXTS):
    index = BM25Index()
    index.add(texts[:2])
    index.add(texts[2:])
    return index


def test_words_are_stemmed_and_stop_words_ignored():
    scores, positions = built().search(["the dogs", "running", "the"], 6)
    assert positions[0].tolist() == [2, 0, 3, -1, -1, -1]
    assert positions[1].tolist() == [0, -1, -1, -1, -1, -1]
    assert (positions[2] == -1).all() and (scores[2] == -np.inf).all()
    assert scores.dtype == np.float32 and positions.dtype == np.int64
    assert isinstance(built(), Index)


def test_ties_are_cut_and_ordered_by_position():
    index = built(["cat"] * 9)
    for k in (1, 4, 9):
        assert index.search(["cat"], k)[1].tolist() == [list(range(k))]


def test_a_stored_index_answers_as_before(tmp_path):
    index = built()
    for _ in range(2):  # the second time over the first
        index.save(tmp_path)
    loaded = BM25Index.load(tmp_path)
    for ours, theirs in zip(loaded.search(["dogs"], 4), index.search(["dogs"], 4), strict=True):
        np.testing.assert_array_equal(ours, theirs)
    assert (loaded.count, loaded.k1, loaded.b) == (6, 1.2, 0.75)


def test_a_corpus_without_a_word_is_refused():
    with pytest.raises(InputError, match="no word to index"):
        built(["", "", "..."]).search(["x"], 1)


def ndcg(folder, index):
    documents = list(corpus.read_documents(folder))
    index.add([document.contents() for document in documents])
    ids = [document.doc_id for document in documents]
    queries = corpus.read_queries(folder)
    qrels = io.read_qrels(folder / "qrels" / "test.tsv")
    queries = [query for query in queries if query.query_id in qrels]
    run = dict(retrieve(None, index, ids, queries, k=100, drop_self=True))
    return evaluate(run, qrels, ["nDCG@10", "Recall@100"]).mean


@pytest.mark.parametrize("name,figure", [("adi", 0.4782), ("cranfield", 0.3755)])
def test_the_figures_of_small_collections_are_reproduced(test_data, name, figure):
    # 2e-4: the figures have four digits, and order equal scores otherwise.
    assert ndcg(test_data / name, BM25Index())["nDCG@10"] == pytest.approx(figure, abs=2e-4)


def test_the_figure_is_missed_with_other_parameters(test_data):
    """The broken twin."""
    other = ndcg(test_data / "cranfield", BM25Index(k1=0.9, b=0.4))["nDCG@10"]
    assert other != pytest.approx(0.3755, abs=2e-4)


@pytest.mark.slow
@pytest.mark.parametrize(
    # The figures break ties by rank, trec_eval by id: nfcorpus has 79 queries with a tie
    # at the cut-off and arguana 32, worth 0.0007 and 0.0019.
    "name,figure,within",
    [
        ("nfcorpus", 0.3187, 0.001),
        ("arguana", 0.4914, 0.002),
        ("vaswani-npl", 0.4361, 2e-4),
        ("cosqa-python", 0.3363, 2e-4),
    ],
)
def test_the_figures_of_large_collections_are_reproduced(test_data, name, figure, within):
    scores = ndcg(test_data / name, BM25Index())
    assert scores["nDCG@10"] == pytest.approx(figure, abs=within)
    if name == "arguana":
        assert scores["Recall@100"] == pytest.approx(0.9665, abs=2e-4)
