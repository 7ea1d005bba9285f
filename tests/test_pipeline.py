"""train -> encode -> index -> search -> evaluate through the command line, on a tiny world."""

import json

import pytest

from tart_jax import io
from tart_jax.cli import main
from tart_jax.data import examples
from tart_jax.data.examples import TrainingExample
from tart_jax.types import Document


@pytest.fixture(scope="module")
def training(tmp_path_factory, tiny_corpus):
    """Examples over the tiny corpus, and an instruction table."""
    folder = tmp_path_factory.mktemp("training")
    texts = [(line["_id"], line["text"]) for _, line in io.read_jsonl(tiny_corpus / "corpus.jsonl")]
    examples.write(
        folder / "train.jsonl",
        [
            TrainingExample(
                "place", f"t{i}", f"where is {text}", (Document(doc_id, text),),
                (Document(*texts[(i + 3) % 20]),), unfollowing_negatives=(Document(*texts[i - 1]),)
            )
            for i, (doc_id, text) in enumerate(texts)
        ],
    )  # fmt: skip
    header = "task\tintent\tdomain\tunit\tinstruction_1\tinstruction_2\n"
    table = "place\tfind\tfields\tsentence\tfind the place\tsay where it is\n"
    (folder / "instructions.tsv").write_text(header + table)
    return folder


def command(name, workdir, **options):
    return main([name, f"--workdir={workdir}", *(f"--config.{k}={v}" for k, v in options.items())])


@pytest.fixture(scope="module")
def trained(tmp_path_factory, training, tiny_model, tiny_corpus):
    workdir = tmp_path_factory.mktemp("runs") / "train"
    overrides = {
        "model.source": tiny_model,
        "data.train": training / "train.jsonl",
        "data.instructions": training / "instructions.tsv",
        "eval.directory": tiny_corpus,
        "mesh.data": 8,
        "steps": 4,
    }
    words = [f"--config.{key}={value}" for key, value in overrides.items()]
    config = "--config=configs/train/default.py:quicktest"
    assert main(["train", config, f"--workdir={workdir}", *words]) == 0
    return workdir


def test_every_stage_reads_what_the_one_before_wrote(tmp_path, trained, tiny_corpus, capsys):
    model = trained / "model"
    assert command("encode", tmp_path / "e", model=model, corpus=tiny_corpus) == 0
    assert command("index", tmp_path / "i", embeddings=tmp_path / "e") == 0
    asked = {"index": tmp_path / "i", "model": model, "instruction": "find the place"}
    assert command("search", tmp_path / "s", queries=tiny_corpus, **asked) == 0
    qrels = tiny_corpus / "qrels" / "test.tsv"
    assert command("evaluate", tmp_path / "v", run=tmp_path / "s" / "run.trec", qrels=qrels) == 0
    metrics = json.loads((tmp_path / "v" / "metrics.json").read_text())
    assert 0 < metrics["measures"]["Recall@100"]["mean"] <= 1
    for stage in "eisv":
        assert (tmp_path / stage / "config.json").is_file()
        assert (tmp_path / stage / "environment.json").is_file()


def test_bm25_runs_through_the_same_stages(tmp_path, tiny_corpus):
    assert command("index", tmp_path / "i", factory="BM25", corpus=tiny_corpus) == 0
    assert command("search", tmp_path / "s", queries=tiny_corpus, index=tmp_path / "i") == 0
    qrels = tiny_corpus / "qrels" / "test.tsv"
    assert command("evaluate", tmp_path / "v", run=tmp_path / "s" / "run.trec", qrels=qrels) == 0
    metrics = json.loads((tmp_path / "v" / "metrics.json").read_text())
    assert metrics["measures"]["MRR@10"]["mean"] == 1.0  # each query has its document's name in it


def test_training_leaves_its_record(trained):
    assert {"checkpoints", "model", "result.json", "metrics.jsonl", "config.json"} <= {
        path.name for path in trained.iterdir()
    }


def test_embeddings_of_another_model_are_stale(tmp_path, trained, tiny_model, tiny_corpus, capsys):
    assert command("encode", tmp_path / "e", model=tiny_model, corpus=tiny_corpus) == 0
    assert command("index", tmp_path / "i", embeddings=tmp_path / "e") == 0
    asked = {"index": tmp_path / "i", "model": trained / "model", "queries": tiny_corpus}
    capsys.readouterr()
    assert command("search", tmp_path / "s", **asked) == 2
    said = capsys.readouterr().err
    assert "weights" in said and said.count("\n") == 1
    assert not (tmp_path / "s" / "run.trec").exists()


def test_another_instruction_format_than_the_checkpoints_is_refused_unless_forced(
    tmp_path, trained, tiny_corpus, capsys
):
    asked = {"model": trained / "model", "corpus": tiny_corpus, "instruction_order": "query_first"}
    assert command("encode", tmp_path / "e", **asked) == 2
    assert "force_format" in capsys.readouterr().err
    assert command("encode", tmp_path / "e", **asked, force_format=True) == 0
