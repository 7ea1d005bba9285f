"""What retrievers find for training queries: indexes, runs, fusion."""

import numpy as np
import pytest

from tart_jax import config, io
from tart_jax.index import run as index_stage
from tart_jax.mine.candidates import FusedFinder, IndexFinder, QuerySide, RunFinder
from tart_jax.models import pretrained
from tart_jax.types import InputError, Query, ScoredDocument

RUN = "q1 Q0 a 1 2.5 t\n\nq1 Q0 b 2 3.5 t\nq2 Q0 c 1 1 t\n\nq3 Q0 d 1 1 t\n"


def test_a_run_gives_each_querys_lines_best_first(tmp_path):
    (tmp_path / "x.trec").write_text(RUN)
    finder = RunFinder(str(tmp_path / "{task}.trec"))
    queries = [Query("q3", ""), Query("q1", ""), Query("absent", "")]
    found = finder("x", queries, 10)
    assert [[hit.doc_id for hit in hits] for hits in found] == [["d"], ["b", "a"], []]
    assert [len(hits) for hits in finder("x", queries, 1)] == [1, 1, 0]


@pytest.mark.parametrize(
    "text,named",
    [
        ("q1 Q0 a 1 2 t\nq2 Q0 a 1 2 t\nq1 Q0 b 2 1 t\n", "line 3: query 'q1' comes twice"),
        ("q1 Q0 a 1 2 t\nq1 Q0 b\n", "line 2 should be 'query Q0 document rank score tag'"),
    ],
)
def test_a_run_gone_wrong_is_refused(tmp_path, text, named):
    (tmp_path / "x.trec").write_text(text)
    with pytest.raises(InputError, match=named):
        RunFinder(str(tmp_path / "x.trec"))("x", [Query("q1", "")], 10)


def test_fusion_adds_reciprocal_ranks():
    one = [ScoredDocument("a", 9.0), ScoredDocument("b", 8.0)]
    two = [ScoredDocument("b", 0.2), ScoredDocument("c", 0.1)]
    fused = FusedFinder([lambda *_: [one], lambda *_: [two]], constant=60.0)
    (hits,) = fused("t", [Query("q", "")], 2)
    assert [hit.doc_id for hit in hits] == ["b", "a"]
    np.testing.assert_allclose([hit.score for hit in hits], [1 / 62 + 1 / 61, 1 / 61])


@pytest.fixture
def embedded(tiny_model, tmp_path):
    from tart_jax.encode import run as encode_stage

    rows = [{"_id": f"{task}/{n}", "text": f"{task} {n} words"} for task in "ab" for n in range(6)]
    io.write_jsonl(tmp_path / "corpus.jsonl", rows)
    words = [f"--config.model={tiny_model}", f"--config.corpus={tmp_path / 'corpus.jsonl'}"]
    encode_stage.run(config.load("configs/encode/default.py", words), tmp_path / "e")
    for task in "ab":
        words = [f"--config.embeddings={tmp_path / 'e'}", f"--config.prefix={task}/"]
        index_stage.run(config.load("configs/index/default.py", words), tmp_path / "i" / task)
    return tmp_path


def side(folder):
    from tart_jax.encode.encoder import Encoder

    model = pretrained.load(folder)
    return QuerySide(
        model, Encoder(model, tower="query", max_length=32), "instruction_first", "[SEP]"
    )


def test_each_task_searches_its_own_index_with_its_instruction(embedded, tiny_model, monkeypatch):
    queries = side(tiny_model)
    finder = IndexFinder(str(embedded / "i" / "{task}"), queries)
    encoded = []
    encode = queries.encoder.encode
    monkeypatch.setattr(
        queries.encoder, "encode", lambda texts: encoded.append(texts) or encode(texts)
    )
    asked = [Query("q", "b 3 words"), Query("r", "a", "find this")]
    first, second = finder("a", asked, 4), finder("b", asked, 40)
    assert encoded == [["b 3 words", "find this [SEP] a"]]  # once for both indexes
    assert all(hit.doc_id.startswith("a/") for hits in first for hit in hits)
    assert [len(hits) for hits in first + second] == [4, 4, 6, 6]
    assert second[0][0].doc_id == "b/3"
    finder("a", asked[:1], 4)
    assert encoded[1:] == [["b 3 words"]]


def test_an_exact_index_finds_what_a_flat_one_does(embedded, tiny_model):
    words = [
        f"--config.embeddings={embedded / 'e'}",
        "--config.prefix=b/",
        "--config.factory=Exact",
    ]
    index_stage.run(config.load("configs/index/default.py", words), embedded / "exact" / "b")
    asked = [Query("q", "b 3 words"), Query("r", "a", "find this")]
    flat, exact = (
        IndexFinder(str(embedded / folder / "{task}"), side(tiny_model))("b", asked, 6)
        for folder in ("i", "exact")
    )
    for ours, theirs in zip(exact, flat, strict=True):
        assert [hit.doc_id for hit in ours] == [hit.doc_id for hit in theirs]


def test_an_index_of_another_model_is_refused(embedded, tiny_model, tmp_path):
    with pytest.raises(InputError, match="name the model that made them"):
        IndexFinder(str(embedded / "i" / "a"), None)("a", [Query("q", "x")], 1)
    other = side(tiny_model)
    other.model.weights_sha256 = "f" * 64
    with pytest.raises(InputError, match="stale embeddings"):
        IndexFinder(str(embedded / "i" / "a"), other)("a", [Query("q", "x")], 1)
