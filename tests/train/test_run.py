"""The stage: trains, resumes bit for bit, refuses what does not fit, and survives a kill."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file

from tart_jax import config as config_files
from tart_jax import io
from tart_jax.data import examples
from tart_jax.models import pretrained, pretrained_cross
from tart_jax.train import run as stage
from tart_jax.types import DivergedError, EndedError, InputError
from tests.train.conftest import scored_examples

ROOT = Path(__file__).parents[2]


def options(model_directory, train_file, **changes) -> dict:
    values = {
        "model.source": str(model_directory),
        "data.train": str(train_file),
        "steps": 4,
        "data.batch_size": 8,
        "data.num_negatives": 1,
        "data.query_length": 8,
        "data.document_length": 8,
        "optimizer.warmup_steps": 1,
        "optimizer.peak_lr": 1e-3,
        "checkpoint.save_every": 1,
        "log.every": 1,
        "log.tensorboard": False,
    }
    return values | {key.replace("__", "."): value for key, value in changes.items()}


def train(workdir, values: dict) -> None:
    config = config_files.load(str(ROOT / "configs/train/default.py"))
    for key, value in values.items():
        config.update_from_flattened_dict({key: value})
    stage.run(config, workdir)


def weights(workdir) -> dict[str, np.ndarray]:
    return load_file(workdir / "model" / "model.safetensors")


def same(one, other) -> bool:
    return one.keys() == other.keys() and all(np.array_equal(one[k], other[k]) for k in one)


def log_lines(workdir) -> list[dict]:
    return [json.loads(line) for line in (workdir / "metrics.jsonl").read_text().splitlines()]


@pytest.fixture(scope="module")
def basics(model_directory, train_file) -> dict:
    return options(model_directory, train_file)


@pytest.fixture(scope="module")
def finished(tmp_path_factory, basics) -> Path:
    workdir = tmp_path_factory.mktemp("runs") / "a"
    train(workdir, basics)
    return workdir


class Killed(BaseException):
    pass


def train_until(workdir, values, monkeypatch, step: int) -> None:
    """As if killed after the checkpoint of `step`."""
    saved = stage.loop.save

    def save(setup, checkpoints, at, *rest):
        saved(setup, checkpoints, at, *rest)
        if at == step:
            checkpoints.wait()
            raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(stage.loop, "save", save)
        with pytest.raises(Killed):
            train(workdir, values)


def test_a_run_leaves_a_model_logs_and_a_result(finished, basics):
    result = io.read_json(finished / "result.json")
    assert result["steps"] == 4 and result["best_step"] is None
    assert result["examples_per_second"] > 0
    assert [line["step"] for line in log_lines(finished)] == [1, 2, 3, 4]
    names = {"loss", "accuracy/all", "accuracy/random", "grad_norm", "learning_rate"}
    names |= {
        "negatives_per_query",
        "examples_per_second",
        "tokens_per_second",
        "padding_share",
        "input_wait_share",
    }
    assert names <= set(log_lines(finished)[-1])
    model = pretrained.load(finished / "model")
    assert model.format_known and model.format.query_length == 8
    assert model.weights_sha256 == result["weights_sha256"]
    assert model.weights_sha256 != pretrained.load(basics["model.source"]).weights_sha256


def test_four_steps_equal_two_and_two_more_bit_for_bit(finished, basics, tmp_path, monkeypatch):
    train_until(tmp_path / "b", basics, monkeypatch, 2)
    train(tmp_path / "b", basics)
    assert same(weights(finished), weights(tmp_path / "b"))
    wanted, found = (
        [(line["step"], line["loss"]) for line in log_lines(w)] for w in (finished, tmp_path / "b")
    )
    assert wanted == found
    # The twins: another seed, and data that start anew, end elsewhere.
    train(tmp_path / "c", basics | {"seed": 1})
    assert not same(weights(finished), weights(tmp_path / "c"))
    iterate = stage.Batches.iterate
    train_until(tmp_path / "d", basics, monkeypatch, 2)
    monkeypatch.setattr(stage.Batches, "iterate", lambda self, start, **kw: iterate(self, 0, **kw))
    train(tmp_path / "d", basics)
    assert not same(weights(finished), weights(tmp_path / "d"))


def test_a_finished_run_started_again_changes_nothing(finished, basics):
    before = weights(finished)
    train(finished, basics)
    assert same(before, weights(finished))
    assert [line["step"] for line in log_lines(finished)] == [1, 2, 3, 4]


def test_another_run_in_the_same_folder_is_refused_by_the_key(finished, basics, tmp_path):
    before = sorted(str(path) for path in finished.rglob("*"))
    for change, message in (
        ({"seed": 5}, "seed=0, this run has 5"),
        ({"optimizer.peak_lr": 1.0}, "optimizer.peak_lr=0.001, this run has 1.0"),
        ({"steps": 9}, "steps=4, this run has 9"),
    ):
        with pytest.raises(InputError, match=message):
            train(finished, basics | change)
    fewer = tmp_path / "fewer.jsonl"
    fewer.write_text("".join(Path(basics["data.train"]).read_text().splitlines(keepends=True)[:20]))
    with pytest.raises(InputError, match="data.sha256=.*allow_other_data"):
        train(finished, basics | {"data.train": str(fewer)})
    assert before == sorted(str(path) for path in finished.rglob("*"))
    train(finished, basics | {"data.train": str(fewer), "checkpoint.allow_other_data": True})


def beir(folder: Path) -> None:
    """Two tasks of six queries; the right document is the training pair's."""
    pairs = [record for _, record in io.read_jsonl(folder.parent / "train.jsonl")]
    for name, part in (("pairs", pairs[:6]), ("more", pairs[6:12])):
        documents = [d | {"_id": d["doc_id"]} for p in part for d in p["positives"]]
        io.write_jsonl(folder / name / "corpus.jsonl", documents)
        queries = [{"_id": p["query_id"], "text": p["query"]} for p in part]
        io.write_jsonl(folder / name / "queries.jsonl", queries)
        qrels = {p["query_id"]: {p["positives"][0]["doc_id"]: 1} for p in part}
        io.write_qrels(folder / name / "qrels" / "test.tsv", qrels)
    io.write_jsonl(folder / "pooled" / "corpus.jsonl", [{"_id": "x", "text": "no task"}])


@pytest.fixture(scope="module")
def dev_folder(train_file) -> Path:
    beir(train_file.parent / "dev")
    return train_file.parent / "dev"


def test_the_best_checkpoint_by_retrieval_becomes_the_model(
    basics, finished, dev_folder, tmp_path, monkeypatch
):
    scores = iter([0.2, 0.9, 0.4, 0.3])
    real = stage.dev.score

    def score(*args):
        assert 0 <= real(*args)["dev/nDCG@10"] <= 1
        return {"dev/nDCG@10": next(scores)}

    monkeypatch.setattr(stage.dev, "score", score)
    values = {"eval.directory": str(dev_folder), "eval.every": 1, "checkpoint.keep_last": 1}
    train(tmp_path / "e", basics | values)
    result = io.read_json(tmp_path / "e" / "result.json")
    assert result["best_step"] == 2 and result["scores"] == {"dev/nDCG@10": 0.9}
    logged = [line for line in log_lines(tmp_path / "e") if "dev/nDCG@10" in line]
    assert [line["step"] for line in logged] == [1, 2, 3, 4]
    assert pretrained.load(tmp_path / "e" / "model").weights_sha256 == result["weights_sha256"]
    assert not same(weights(tmp_path / "e"), weights(finished))  # which holds step 4


def test_a_dev_set_pools_its_tasks_and_asks_with_their_instructions(dev_folder):
    table = {
        name: stage.instructions.InstructionRow(name, "", "", "", (f"find {name}", "other"))
        for name in ("pairs", "more")
    }
    loaded = stage.dev.load(dev_folder, table=table, max_queries=4, max_documents=0)
    assert {name: (len(t.queries), t.instruction) for name, t in loaded.tasks.items()} == {
        "pairs": (4, "find pairs"), "more": (4, "find more")
    }  # fmt: skip
    assert len(loaded.documents) == 12
    few = stage.dev.load(dev_folder, table={}, max_queries=2, max_documents=5)
    judged = {d for t in few.tasks.values() for hits in t.qrels.values() for d in hits}
    assert len(few.documents) == 5 and judged <= {d.doc_id for d in few.documents}
    single = stage.dev.load(dev_folder / "pairs", table={}, max_queries=0, max_documents=0)
    assert list(single.tasks) == ["pairs"] and len(single.documents) == 6
    with pytest.raises(InputError, match="no row for the task 'more'"):
        stage.dev.load(dev_folder, table={"pairs": table["pairs"]}, max_queries=0, max_documents=0)
    with pytest.raises(InputError, match="is no BEIR folder"):
        stage.dev.load(dev_folder / "pooled", table={}, max_queries=0, max_documents=0)


def test_a_loss_that_is_no_number_stops_and_keeps_the_last_checkpoint(basics, tmp_path):
    # The first update has the learning rate 0 and is saved; the second throws the parameters away.
    values = basics | {"optimizer.peak_lr": 1e30, "optimizer.warmup_steps": 4, "steps": 6}
    values |= {"checkpoint.save_every": 1}
    with pytest.raises(DivergedError, match="the loss of step"):
        train(tmp_path / "g", values)
    folders = (tmp_path / "g" / "checkpoints").iterdir()
    kept = [int(folder.name) for folder in folders if folder.name.isdigit()]
    assert kept and max(kept) < 6 and not (tmp_path / "g" / "model").exists()


@pytest.mark.parametrize(
    "change, message",
    [
        ({"data.batch_size": 40}, "32 examples, too few for one batch of 40"),
        ({"data.batch_size": 12}, "not a multiple of 8"),
        ({"data.train": "nowhere/train.jsonl"}, "tart-jax prepare .*--workdir=runs"),
        ({"data.query_length": 99}, "99, the model has 16 positions"),
        ({"prng": "dice"}, "'dice' is not one of"),
        ({"log.every": 0}, "config.log.every is 0"),
        ({"optimizer.accumulation": 0}, "config.optimizer.accumulation is 0"),
        ({"data.hard_ratio": 1.5}, "config.data.hard_ratio is 1.5"),
        ({"data.unfollowing_cap": -1}, "config.data.unfollowing_cap is -1; it should be 0"),
        ({"objective.temperature": 0.0}, "temperature is 0.0"),
        ({"data.batch_size": 24, "objective.chunk_size": 16}, "chunk_size 16 .* 24 .*; try 8, or"),
        ({"mesh.data": 2, "mesh.tensor": 4, "objective.score_block": 1}, "block 1 .*; try 2, or"),
        ({"data.duplicates": "name"}, "'name' is not one of id, text, none"),
        ({"mesh.data": 3}, "does not fit 8 devices"),
    ],
)
def test_bad_options_are_refused_before_anything_is_written(basics, tmp_path, change, message):
    with pytest.raises(InputError, match=message):
        train(tmp_path / "h", basics | change)
    assert not (tmp_path / "h").exists()


@pytest.mark.slow
def test_a_run_may_go_on_in_chunks_and_blocks(basics, tmp_path, monkeypatch):
    values = basics | {"model.dropout": 0.0, "data.batch_size": 16}
    smaller = values | {"objective.chunk_size": 8, "objective.score_block": 8}
    train(tmp_path / "a", values)
    train_until(tmp_path / "b", values, monkeypatch, 2)
    train(tmp_path / "b", smaller)
    train(tmp_path / "c", smaller | {"objective.temperature": 0.06})
    a, b, c = ([line["loss"] for line in log_lines(tmp_path / name)] for name in "abc")
    # Losses, not weights: Adam moves a weight whose gradient is but rounding as far as any other.
    assert b == pytest.approx(a, rel=1e-5) and c != pytest.approx(a, rel=1e-3)


@pytest.mark.parametrize(
    "then", [{"mesh.fsdp": 8}, {"mesh.data": 2, "mesh.fsdp": 2, "mesh.tensor": 2}]
)
def test_a_run_may_go_on_on_another_mesh(basics, dev_folder, tmp_path, monkeypatch, then):
    values = basics | {"eval.directory": str(dev_folder), "eval.every": 2}
    train(tmp_path / "a", values)
    train_until(tmp_path / "b", values, monkeypatch, 2)
    train(tmp_path / "b", values | {"mesh.data": 1} | then)
    train(tmp_path / "c", values | {"objective.temperature": 0.06})
    a, b, c = ([line for line in log_lines(tmp_path / name) if "loss" in line] for name in "abc")
    a, b, c = ([line["loss"] for line in lines] for lines in (a, b, c))
    assert b == pytest.approx(a, rel=1e-5) and c != pytest.approx(a, rel=1e-3)
    scores = [
        [line for line in log_lines(tmp_path / name) if "dev/nDCG@10" in line] for name in "ab"
    ]
    assert scores[0] == scores[1]


def test_a_task_missing_from_the_instruction_table_is_refused(basics, tmp_path):
    table = tmp_path / "table.tsv"
    table.write_text("task\tintent\tdomain\tunit\tinstruction_1\nother\t\t\t\tfind\n")
    with pytest.raises(InputError, match="no row for the task 'pairs'"):
        train(tmp_path / "i", basics | {"data.instructions": str(table)})


@pytest.fixture(scope="module")
def scored_file(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("scored") / "train.jsonl"
    examples.write(path, scored_examples())
    return path


@pytest.fixture(scope="module")
def cross(basics, scored_file) -> dict:
    return basics | {
        "objective.name": "cross_pointwise",
        "model.new_head": True,
        "model.dropout": 0.1,
        "data.train": str(scored_file),
        "data.pair_length": 16,
        "optimizer.accumulation": 2,
        "data.batch_size": 16,
        "eval.examples": str(scored_file),
        "eval.every": 2,
    }


@pytest.fixture(scope="module")
def finished_cross(tmp_path_factory, cross) -> Path:
    workdir = tmp_path_factory.mktemp("runs") / "cross"
    train(workdir, cross)
    return workdir


def test_a_cross_encoder_leaves_a_model_logs_and_its_best_reranking(finished_cross):
    result = io.read_json(finished_cross / "result.json")
    assert result["steps"] == 4 and result["best_step"] in (2, 4)
    assert set(result["scores"]) == {
        "dev/nDCG@10", "dev/MRR", "dev/accuracy", "dev/nDCG@10/pairs"
    }  # fmt: skip
    lines = [line for line in log_lines(finished_cross) if "loss" in line]
    names = {"loss", "accuracy/all", "accuracy/pairs", "accuracy/random", "accuracy/hard"}
    assert names | {"tokens_per_second", "padding_share", "grad_norm"} <= set(lines[-1])
    assert [line["step"] for line in lines] == [1, 2, 3, 4]
    model = pretrained_cross.load(finished_cross / "model")
    assert model.format_known and model.format.max_length == 16 and model.config.num_labels == 2
    assert model.weights_sha256 == result["weights_sha256"]


@pytest.mark.slow
def test_a_cross_encoder_resumes_bit_for_bit(cross, tmp_path, monkeypatch):
    values = cross | {"eval.examples": ""}  # so that the last checkpoint becomes the model
    train(tmp_path / "a", values)
    train_until(tmp_path / "b", values, monkeypatch, 2)
    train(tmp_path / "b", values)
    assert same(weights(tmp_path / "a"), weights(tmp_path / "b"))
    wanted, found = (
        [(line["step"], line["loss"]) for line in log_lines(tmp_path / name)] for name in "ab"
    )
    assert wanted == found
    # The twin: data that start anew end elsewhere.
    iterate = stage.Batches.iterate
    train_until(tmp_path / "d", values, monkeypatch, 2)
    monkeypatch.setattr(stage.Batches, "iterate", lambda self, start, **kw: iterate(self, 0, **kw))
    train(tmp_path / "d", values)
    assert not same(weights(tmp_path / "a"), weights(tmp_path / "d"))


def test_a_saved_evaluation_is_in_the_log_although_the_run_was_killed(cross, tmp_path, monkeypatch):
    train_until(tmp_path / "k", cross, monkeypatch, 2)
    assert [(line["step"], "dev/MRR" in line) for line in log_lines(tmp_path / "k")] == [
        (1, False), (2, False), (2, True)
    ]  # fmt: skip


@pytest.mark.slow
def test_a_cross_encoder_with_one_logit_learns_margins_and_reranks_bm25(
    cross, dev_folder, tmp_path
):
    values = cross | {"objective.name": "cross_margin_mse", "model.num_labels": 1}
    values |= {"eval.examples": "", "eval.directory": str(dev_folder), "eval.candidates": 3}
    train(tmp_path / "m", values | {"steps": 2})
    names = {"dev/nDCG@10", "dev/nDCG@10/pairs", "dev/nDCG@10/more", "dev/MRR", "dev/accuracy"}
    assert set(io.read_json(tmp_path / "m" / "result.json")["scores"]) == names
    assert {"taught", "loss/teaching"} <= set(log_lines(tmp_path / "m")[0])
    assert pretrained_cross.load(tmp_path / "m" / "model").config.num_labels == 1


@pytest.mark.slow
def test_a_dual_encoder_is_distilled_from_scores(basics, scored_file, tmp_path):
    values = basics | {"objective.name": "dual_distill", "data.train": str(scored_file), "steps": 2}
    train(tmp_path / "n", values)
    line = log_lines(tmp_path / "n")[-1]
    assert {"loss/teaching", "loss/contrastive", "taught", "accuracy/in_batch"} <= set(line)
    assert 0 < line["taught"] <= 1
    assert pretrained.load(tmp_path / "n" / "model").format.query_length == 8


@pytest.mark.parametrize(
    "change, message",
    [
        ({"objective.name": "cross"}, "objective.name 'cross' is not one of"),
        ({"objective.name": "dual_distill"}, "learns from a teacher's scores"),
        ({"objective.name": "cross_margin_mse", "model.new_head": True}, "teacher's scores"),
        ({"objective.name": "cross_pointwise"}, "holds no classifier|no cross-encoder|not of a cr"),
        ({"model.new_head": True}, "config.model.new_head is True"),
        ({"eval.examples": "dev.jsonl"}, "a dual encoder is not evaluated on examples"),
    ],
)
def test_an_objective_that_does_not_fit_is_refused_before_anything_is_written(
    basics, tmp_path, change, message
):
    with pytest.raises(InputError, match=message):
        train(tmp_path / "o", basics | {"data.pair_length": 16} | change)
    assert not (tmp_path / "o").exists()


PROGRAM = """
import json, sys
from pathlib import Path
import jax
jax.config.update("jax_num_cpu_devices", 2)
from tart_jax import config as config_files
from tart_jax.train.run import run
config = config_files.load(sys.argv[1])
config.update_from_flattened_dict(json.loads(sys.argv[3]))
run(config, Path(sys.argv[2]))
"""


@pytest.mark.slow
def test_a_run_killed_at_any_moment_and_resumed_ends_bit_for_bit_equal(basics, tmp_path):
    values = json.dumps(basics | {"steps": 60, "model.dropout": 0.1})
    file = str(ROOT / "configs/train/default.py")

    def start(workdir) -> subprocess.Popen:
        command = [sys.executable, "-c", PROGRAM, file, str(workdir), values]
        return subprocess.Popen(command, cwd=ROOT, env=os.environ | {"JAX_PLATFORMS": "cpu"})

    assert start(tmp_path / "whole").wait() == 0
    generator, kills = random.Random(), 0
    process = start(tmp_path / "killed")
    while kills < 2:
        found = [p for p in (tmp_path / "killed" / "checkpoints").glob("*") if p.name.isdigit()]
        if found and process.poll() is None:
            time.sleep(generator.uniform(0, 0.4))
            process.send_signal(signal.SIGKILL)
            process.wait()
            kills += 1
            process = start(tmp_path / "killed") if kills < 2 else process
            time.sleep(3 if kills < 2 else 0)  # the second start needs some time to go on
        assert process.poll() in (None, -signal.SIGKILL), "ended before it could be killed"
        time.sleep(0.02)
    assert start(tmp_path / "killed").wait() == 0
    assert same(weights(tmp_path / "whole"), weights(tmp_path / "killed"))
    steps = [[line["step"] for line in log_lines(tmp_path / name)] for name in ("whole", "killed")]
    assert steps[0] == steps[1] == list(range(1, 61))


def test_only_the_first_step_is_compiled_and_another_shape_ends_a_strict_run(
    basics, tmp_path, monkeypatch
):
    train(tmp_path / "a", basics | {"compile_once": True})
    assert [line["compilations"] for line in log_lines(tmp_path / "a")][1:] == [0, 0, 0]
    iterate = stage.Batches.iterate

    def longer(self, start, **how):
        for number, batch in enumerate(iterate(self, start, **how)):
            late = {"query_tokens", "query_mask"} if number == 2 else set()
            yield {k: np.pad(v, [(0, 0), (0, 3)]) if k in late else v for k, v in batch.items()}

    monkeypatch.setattr(stage.Batches, "iterate", longer)
    with pytest.raises(EndedError, match="a later step: 1 programs were compiled"):
        train(tmp_path / "b", basics | {"compile_once": True})
    train(tmp_path / "c", basics)
