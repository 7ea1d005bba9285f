"""Queries to hits: order, instructions, blocks, the query itself."""

import numpy as np
import pytest

from tart_jax.data.instructions import join
from tart_jax.encode.encoder import Encoder
from tart_jax.index.bm25 import BM25Index
from tart_jax.index.faiss_index import FaissIndex
from tart_jax.models import pretrained
from tart_jax.search.retrieve import rank, retrieve
from tart_jax.types import InputError, Query, ScoredDocument

TEXTS = ["oak", "elm", "oak", "fir tree", "ash"]
IDS = ["q1", "e", "o2", "f", "a"]
QUERIES = [Query("q1", "oak", "find trees"), Query("q2", "ash", ""), Query("q3", "elm")]


@pytest.fixture(scope="module")
def encoder(tiny_model):
    model = pretrained.load(tiny_model)
    return Encoder(model, tower="query", max_length=32, tokens_per_batch=256)


@pytest.fixture(scope="module")
def index(encoder):
    index = FaissIndex("Flat", encoder.dims)
    index.add(encoder.encode(TEXTS))
    return index


def found(encoder, index, **options):
    options = {"k": 3, "instruction": ""} | options
    return dict(retrieve(encoder, index, IDS, QUERIES, **options))


def test_hits_are_those_of_the_largest_products(encoder, index):
    hits = found(encoder, index, k=5)
    products = encoder.encode([query.text for query in QUERIES]) @ encoder.encode(TEXTS).T
    for query, row in zip(QUERIES, products, strict=True):
        expected = [IDS[position] for position in np.lexsort((np.arange(5), -row))]
        assert [hit.doc_id for hit in hits[query.query_id]] == expected
    assert isinstance(hits["q1"][0], ScoredDocument)


def test_equal_scores_are_ordered_as_the_documents(encoder, index):
    first, second = found(encoder, index, k=2)["q1"]
    assert (first.doc_id, second.doc_id) == ("q1", "o2") and first.score == second.score


def test_the_query_itself_is_left_out_and_k_remain(encoder, index):
    kept = found(encoder, index, k=2)["q1"]
    dropped = found(encoder, index, k=2, drop_self=True)["q1"]
    assert [hit.doc_id for hit in kept] == ["q1", "o2"]
    assert len(dropped) == 2 and dropped[0].doc_id == "o2"


def test_blocks_change_nothing(encoder, index):
    whole = found(encoder, index)
    split = found(encoder, index, block_size=2)
    assert [[hit.doc_id for hit in hits] for hits in whole.values()] == [
        [hit.doc_id for hit in hits] for hits in split.values()
    ]


def test_instructions_come_from_the_query_or_for_all(encoder, index, monkeypatch):
    seen = []
    real = encoder.encode
    monkeypatch.setattr(encoder, "encode", lambda texts: (seen.append(texts), real(texts))[1])
    found(encoder, index, instruction=None, separator="[SEP]")
    found(encoder, index, instruction="find birds", order="query_first", separator="|")
    found(encoder, index, instruction="")
    assert seen == [
        ["find trees [SEP] oak", "ash", "elm"],
        ["oak | find birds", "ash | find birds", "elm | find birds"],
        ["oak", "ash", "elm"],
    ]
    assert seen[0][0] == join("oak", "find trees", order="instruction_first", separator="[SEP]")


def test_an_instruction_moves_the_scores(encoder, index):
    """The broken twin of a search that loses its instruction."""
    plain = [hit.score for hit in found(encoder, index)["q1"]]
    told = [hit.score for hit in found(encoder, index, instruction="find birds")["q1"]]
    assert not np.allclose(plain, told, atol=1e-4)


def test_k_beyond_the_corpus_gives_the_whole_corpus(encoder, index):
    assert {len(hits) for hits in found(encoder, index, k=50).values()} == {5}


def test_bm25_reads_the_query_without_its_instruction():
    index = BM25Index()
    index.add(TEXTS)
    hits = dict(retrieve(None, index, IDS, QUERIES, k=3))
    assert [hit.doc_id for hit in hits["q1"]] == ["q1", "o2"]
    assert [hit.doc_id for hit in hits["q2"]] == ["a"]


def test_positions_come_with_the_hits(encoder, index):
    for _, hits in rank(encoder, index, IDS, QUERIES, k=5, instruction=""):
        assert [IDS[hit.position] for hit in hits] == [hit.doc_id for hit in hits]


def test_no_documents_asked_for_and_no_encoder_are_refused(encoder, index):
    with pytest.raises(InputError, match="k 0 is not positive"):
        found(encoder, index, k=0)
    with pytest.raises(ValueError, match="needs an encoder"):
        found(None, index)
