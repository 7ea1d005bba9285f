"""MonoT5 and UPR over texts: PyTorch's scores in any batch, on any devices, through the stage."""

import json
import logging

import numpy as np
import pytest

from tart_jax import config, distributed, io
from tart_jax.models import seq2seq_scorer
from tart_jax.models.seq2seq_scorer import load
from tart_jax.search import rerank_run, seq2seq
from tart_jax.search.scorer import PairScorer
from tart_jax.search.seq2seq import MonoT5Scorer, UPRScorer
from tart_jax.types import InputError

# Padding changes the order of float32 sums, and PyTorch's is another; scores are of 0.3 to 16.
TOLERANCE = 1e-5
FIELD = "stands in the field "  # of tiny_corpus
SCORERS = {"monot5": MonoT5Scorer, "upr": UPRScorer}


@pytest.fixture(params=["monot5", "upr"])
def kind(request):
    return request.param


@pytest.fixture(scope="module")
def reference(make_seq2seq):
    """A model, and the pairs and scores of PyTorch."""
    folder, arrays = make_seq2seq()
    pairs = [tuple(pair) for pair in json.loads(str(arrays["pairs"]))]
    return load(folder, scan=True), pairs, arrays


def make(kind, model, **options):
    """As the stage makes it, so that all tests share few compilations."""
    mesh = distributed.make_mesh({"data": 8})
    usual = {"max_length": 40, "tokens_per_batch": 512, "mesh": mesh}
    return SCORERS[kind](model, **usual | options)


def close(scores, arrays, kind):
    expected = arrays[kind][: len(scores)]
    np.testing.assert_allclose(scores, expected, rtol=TOLERANCE, atol=TOLERANCE)


def test_texts_get_pytorchs_scores_whatever_the_batches(reference, kind):
    model, pairs, arrays = reference
    pairs = pairs[:7]
    subject = make(kind, model)
    assert isinstance(subject, PairScorer)
    scores = subject.score(pairs)
    assert scores.dtype == np.float32 and scores.shape == (len(pairs),)
    close(scores, arrays, kind)
    close(subject.score(pairs[::-1])[::-1], arrays, kind)
    close(np.concatenate([subject.score([pair]) for pair in pairs]), arrays, kind)
    assert subject.score([]).shape == (0,)


@pytest.mark.parametrize("broken", ["swapped", "mask", "length"])
def test_a_broken_twin_has_other_scores(reference, kind, broken, monkeypatch):
    model, pairs, arrays = reference
    pairs, expected = pairs[:4], arrays[kind][:4]  # in two buckets of lengths
    pad = seq2seq.tokenization.pad
    if broken == "swapped":
        pairs = [pair[::-1] for pair in pairs]
    if broken == "mask":
        monkeypatch.setattr(
            seq2seq.tokenization, "pad", lambda *given: (pad(*given)[0], pad(*given)[1] | True)
        )
    length = 30 if broken == "length" else 40
    scores = make(kind, model, max_length=length).score(pairs)
    assert np.abs(scores - expected).max() > 1000 * TOLERANCE


def test_same_scores_on_one_and_eight_devices(reference, make_seq2seq, kind):
    _, pairs, arrays = reference
    folder, _ = make_seq2seq()
    few = [0, 1]  # of one bucket
    for mesh in (None, distributed.make_mesh({"data": 8})):
        subject = make(kind, load(folder), mesh=mesh)
        scores = subject.score([pairs[place] for place in few])
        np.testing.assert_allclose(scores, arrays[kind][few], rtol=TOLERANCE, atol=TOLERANCE)
        assert {shape[0] % 8 == 0 for shape in subject.shapes} == {mesh is not None}


def test_the_budget_bounds_document_and_question_together(reference):
    subject = make("upr", load(reference[0].source), max_length=128, mesh=None)
    sizes = np.random.default_rng(1).integers(1, 129, (300, 2))
    plan = list(subject._plan([(np.zeros(m, int), np.zeros(t, int)) for m, t in sizes]))
    assert sorted(np.concatenate([where for where, _ in plan])) == list(range(300))
    for where, (rows, length, size) in plan:
        assert len(where) <= rows and rows * (length + size) <= 512
        assert (sizes[where].max(axis=0) <= (length, size)).all()
        assert sizes[where, 1].min() > size - 16  # no question is padded to another bucket's
    shapes = {shape for _, shape in plan}
    assert len({shape[1:] for shape in shapes}) == len(shapes)  # one number of rows a bucket


def test_a_bucket_is_compiled_once(reference):
    model = reference[0]
    one, other = (make("upr", model, tokens_per_batch=900) for _ in range(2))
    before = seq2seq._likelihood._cache_size()
    for size in (1, 9, 4):
        for subject in (one, other):
            subject.score([("q", "a"), ("q " * 12, "a")] * size)
    assert one.compilations == seq2seq._likelihood._cache_size() - before == 2
    assert one.shapes == other.shapes


def test_the_meter_counts_what_encoder_and_decoder_read(reference):
    model, pairs, _ = reference
    for kind, extra in (("monot5", 0), ("upr", 11)):  # 10 letters and spaces, </s>
        subject = make(kind, model)
        subject.score([("q w e r t", "")])
        prompt = {
            "monot5": seq2seq_scorer.monot5_prompts(model.tokenizer, [("q w e r t", "")], 40),
            "upr": seq2seq_scorer.upr_prompts(model.tokenizer, [""], 40),
        }[kind][0]
        assert subject.meter.tokens == len(prompt) + extra
        (shape,) = subject.shapes
        assert subject.meter.slots == shape[0] * sum(shape[1:])


def test_an_mt5_that_may_answer_yes_and_no_is_warned_of(make_seq2seq, caplog):
    folder, _ = make_seq2seq(model_type="mt5")
    with caplog.at_level(logging.WARNING):
        make("monot5", load(folder))
        assert "answer 'yes' and 'no'" in caplog.text
        caplog.clear()
        make("upr", load(folder))
    assert caplog.text == ""


@pytest.fixture
def options(make_seq2seq, tiny_corpus, tmp_path):
    rows = [
        f"q{query} Q0 d{(query * 3 + rank * 7) % 20} {rank + 1} {6 - rank} first\n"
        for query in range(8)
        for rank in range(6)
    ]
    folder = tmp_path / "search"
    folder.mkdir()
    (folder / "run.trec").write_text("".join(rows))
    return {
        "run": folder / "run.trec",
        "corpus": tiny_corpus,
        "queries": tiny_corpus,
        "model": make_seq2seq()[0],
        "k": 5,
        "max_length": 40,
    }


def settings(kind, options, file="default"):
    words = [f"--config.{key}={value}" for key, value in ({"kind": kind} | options).items()]
    return config.load(f"configs/rerank/{file}.py:quicktest", words)


def hits(folder):
    return {
        query: {hit.doc_id: hit.score for hit in found}
        for query, found in io.read_run(folder / "run.trec").items()
    }


def test_the_stage_reranks_with_it_and_records_it(options, kind, tiny_corpus, tmp_path):
    rerank_run.run(settings(kind, options), tmp_path / "out")
    found = hits(tmp_path / "out")
    texts = {
        row["_id"]: f"{row['title']} {row['text']}".strip()
        for row in map(json.loads, (tiny_corpus / "corpus.jsonl").read_text().splitlines())
    }
    queries = {
        row["_id"]: row["text"]
        for row in map(json.loads, (tiny_corpus / "queries.jsonl").read_text().splitlines())
    }
    wanted = [(query, doc) for query in found for doc in found[query]]
    assert len(wanted) == 40
    alone = make(kind, load(options["model"])).score([(queries[q], texts[d]) for q, d in wanted])
    got = [found[query][doc] for query, doc in wanted]
    np.testing.assert_allclose(got, alone, atol=1e-4)  # a run has six significant digits
    assert len(set(got)) > 20
    about = io.read_json(tmp_path / "out" / "run.json")
    assert (about["kind"], about["max_length"], about["pairs"]) == (kind, 40, 40)
    assert (about["instruction"], about["order"]) == (None, "instruction_first")
    assert about["separator"] == "[SEP]"
    assert about["weights_sha256"] == load(options["model"]).weights_sha256


def test_the_preset_gives_no_instruction_and_an_asked_one_is_joined(options, kind, tmp_path):
    options["run"].write_text("q0 Q0 d1 1 2 first\nq0 Q0 d2 2 1 first\n")
    options["compute_dtype"] = "float32"
    asked = {"instruction": "tree", "separator": "|"}
    model = load(options["model"])
    for name, change, query in (
        ("preset", {}, "where is the oak"),
        ("asked", asked, "tree | where is the oak"),
    ):
        rerank_run.run(settings(kind, options | change, kind), tmp_path / name)
        texts = {"d1": "elm the elm stands in the field", "d2": "the ash " + FIELD * 2}
        found = hits(tmp_path / name)["q0"]
        alone = make(kind, model).score([(query, texts[doc].strip()) for doc in found])
        np.testing.assert_allclose(list(found.values()), alone, atol=1e-4)
    recorded = [io.read_json(tmp_path / name / "run.json") for name in ("preset", "asked")]
    assert [about["instruction"] for about in recorded] == ["", "tree"]
    assert [about["separator"] for about in recorded] == ["[SEP]", "|"]
    assert hits(tmp_path / "preset") != hits(tmp_path / "asked")


def test_another_kind_is_refused_on_resume(options, tmp_path, monkeypatch):
    with monkeypatch.context() as patched:
        patched.setattr(rerank_run.PartialFile, "append", lambda *_, **__: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            rerank_run.run(settings("upr", options), tmp_path / "out")
    with pytest.raises(InputError, match="of another kind than is given now .'upr', now 'monot5'"):
        rerank_run.run(settings("monot5", options), tmp_path / "out")
    rerank_run.run(settings("upr", options), tmp_path / "out")
    assert (tmp_path / "out" / "run.trec").exists()


@pytest.mark.parametrize(
    "change,said",
    [
        ({"kind": "cross_encoder"}, "holds no classifier"),
        ({"kind": "duot5"}, "'duot5' is not one of cross_encoder, monot5, upr"),
        ({"max_length": 15}, "max_length 15 leaves .* raise it"),
    ],
)
def test_what_does_not_fit_is_refused(options, kind, change, said, tmp_path):
    with pytest.raises(InputError, match=said):
        rerank_run.run(settings(kind, options | change), tmp_path / "out")
    assert not (tmp_path / "out" / "run.trec").exists()


def test_encoders_alone_are_refused(options, kind, make_seq2seq, tiny_cross, tmp_path):
    for model, said in (
        (make_seq2seq(drop="decoder")[0], "is a T5's encoder alone"),
        (tiny_cross.source, "model_type 'bert' is not supported"),
    ):
        with pytest.raises(InputError, match=said):
            rerank_run.run(settings(kind, options | {"model": model}), tmp_path / "out")
