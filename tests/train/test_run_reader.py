"""A reader in whole runs: it learns, is resumed bit for bit, is read with, and is scored."""

import jax
import numpy as np
import pytest
from safetensors.numpy import load_file

from tart_jax import cli, io
from tart_jax.data import examples
from tart_jax.data.examples import TrainingExample
from tart_jax.data.reading import NOTHING
from tart_jax.models import reader
from tart_jax.train import dev_answers
from tart_jax.types import Document, InputError
from tests.models.test_reader import make_bart
from tests.train.test_run import log_lines, options, train, train_until

NAMES = list("abcdefghij")
ANSWERS = ("tall", "short")


def example(n, gold):
    """Whether a letter's passage says tall or short; the letter alone does not tell."""
    name, answer = NAMES[n % 10], ANSWERS[(n // 10 + n) % 2]
    passage = Document(f"{n}-0", f"{name} {answer}") if gold else Document(NOTHING, "-")
    return TrainingExample("nq", f"q{n}", f"{name} ?", (passage,), answers=(answer,))


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    folder = tmp_path_factory.mktemp("reader")
    model = make_bart(folder / "bart")
    for name in ("gold", "none"):
        examples.write(folder / f"{name}.jsonl", (example(n, name == "gold") for n in range(40)))
    gold = [{"id": f"q{n}", "input": f"{NAMES[n % 10]} ?", "output": [
        {"answer": ANSWERS[(n // 10 + n) % 2], "provenance": [{"wikipedia_id": str(n)}]}]}
        for n in range(40)]  # fmt: skip
    io.write_jsonl(folder / "gold-kilt.jsonl", gold)
    return folder, model


def values(world, name):
    folder, model = world
    return options(
        model, folder / f"{name}.jsonl", objective__name="reading", data__pair_length=16,
        data__answer_length=6, data__passages=1, optimizer__peak_lr=5e-3, steps=150,
        checkpoint__save_every=200, log__every=10, model__dropout=0.0,
    )  # fmt: skip


def scores(world, model, name, tmp_path):
    folder = world[0]
    words = [f"--config.model={model}", f"--config.examples={folder / f'{name}.jsonl'}"]
    assert cli.main(["read", *words, f"--workdir={tmp_path / 'read'}"]) == 0
    command = ["evaluate", "--config=configs/evaluate/kilt.py",
               f"--config.run={tmp_path / 'read' / 'predictions.jsonl'}",
               f"--config.qrels={folder / 'gold-kilt.jsonl'}", f"--workdir={tmp_path / 'scores'}",
               "--config.measures=('em','KILT-em','Rprec')"]  # fmt: skip
    assert cli.main(command) == 0
    found = io.read_json(tmp_path / "scores" / "metrics.json")["measures"]
    return {name: value["mean"] for name, value in found.items()}


@pytest.mark.slow
def test_what_only_the_passage_tells_is_learned_from_passages_alone(world, tmp_path):
    train(tmp_path / "gold", values(world, "gold"))
    train(tmp_path / "none", values(world, "none"))
    assert log_lines(tmp_path / "gold")[-1]["loss"] < 0.1
    with_passages = scores(world, tmp_path / "gold" / "model", "gold", tmp_path / "g")
    assert with_passages["em"] > 0.9 and with_passages["KILT-em"] == with_passages["em"]
    without = scores(world, tmp_path / "none" / "model", "none", tmp_path / "n")
    assert without["em"] < 0.75 and without["KILT-em"] == 0 == without["Rprec"]


def test_the_checkpoint_with_the_best_answers_becomes_the_model(world, tmp_path, monkeypatch):
    """Here one is taken that a later, worse one follows: the scores are as these steps have it."""
    found = iter([{"dev/f1": 0.2, "dev/em": 0.1}, {"dev/f1": 0.4, "dev/em": 0.0},
                  {"dev/f1": 0.3, "dev/em": 0.2}])  # fmt: skip
    scored = []

    def score(dev, writer, params):
        real = dev_answers_score(dev, writer, params)
        assert set(real) == {"dev/f1", "dev/em"} and 0 <= real["dev/f1"] <= 1
        scored.append(jax.tree.map(np.array, params))
        return next(found)

    dev_answers_score = dev_answers.score
    monkeypatch.setattr(dev_answers, "score", score)
    changes = {"steps": 3, "eval.every": 1, "eval.examples": str(world[0] / "gold.jsonl")}
    train(tmp_path, values(world, "gold") | changes)
    assert [line["dev/f1"] for line in log_lines(tmp_path) if "dev/f1" in line] == [0.2, 0.4, 0.3]
    table = load_file(tmp_path / "model" / "model.safetensors")["model.shared.weight"]
    np.testing.assert_array_equal(table, scored[1]["table"]["embedding"])
    assert not np.array_equal(table, scored[2]["table"]["embedding"])


def test_answers_are_scored_as_kilt_does(world):
    dev = dev_answers.load(world[0] / "gold.jsonl", max_queries=35)
    assert len(dev) == 35  # no whole number of blocks

    class Said(reader.Writer):
        def __init__(self):
            self.format, self.params = reader.ReaderFormat(passages=1), None

        def __call__(self, rows):
            assert len(rows) == dev_answers.ROWS and self.params == "these"
            return ["a tall one" if row.passages[0].endswith("tall") else "Short." for row in rows]

    tall = sum(example.answers == ("tall",) for example in dev)
    found = dev_answers.score(dev, Said(), "these")
    assert found["dev/em"] == pytest.approx((35 - tall) / 35)
    assert found["dev/f1"] == pytest.approx((35 - tall + tall * 2 / 3) / 35)


def test_dev_examples_without_answers_are_refused(tmp_path):
    lacking = TrainingExample("nq", "q", "who?", (Document("d", "x"),))
    examples.write(tmp_path / "dev.jsonl", [lacking])
    with pytest.raises(InputError, match="'q' of 'nq' has no answer to compare with"):
        dev_answers.load(tmp_path / "dev.jsonl", max_queries=0)


def test_fusion_trains_and_a_killed_run_goes_on_bit_for_bit(world, tmp_path, monkeypatch):
    fused = values(world, "gold") | {
        "steps": 4, "checkpoint.save_every": 2, "model.dropout": 0.1, "log.every": 1,
        "data.fusion": True, "data.passages": 2,
    }  # fmt: skip
    train(tmp_path / "whole", fused)
    train_until(tmp_path / "killed", fused, monkeypatch, 2)
    train(tmp_path / "killed", fused)
    first, second = (
        load_file(tmp_path / name / "model" / "model.safetensors") for name in ("whole", "killed")
    )
    assert all(np.array_equal(first[key], second[key]) for key in first)
    names = {"loss", "accuracy/tokens", "accuracy/answers", "examples_per_second"}
    assert names <= set(log_lines(tmp_path / "whole")[-1])


def test_a_killed_reading_goes_on_and_gives_the_same(world, tmp_path, monkeypatch):
    from tart_jax.models import reader
    from tart_jax.search import read_run

    folder, model = world
    words = [f"--config.model={model}", f"--config.examples={folder / 'gold.jsonl'}",
             "--config.block_size=8"]  # fmt: skip
    assert cli.main(["read", *words, f"--workdir={tmp_path / 'once'}"]) == 0
    real, count = reader.Writer.__call__, []

    def dies(self, rows):
        count.append(1)
        if len(count) == 3:
            raise KeyboardInterrupt
        return real(self, rows)

    monkeypatch.setattr(reader.Writer, "__call__", dies)
    with pytest.raises(KeyboardInterrupt):
        read_run.run(read_config(words), tmp_path / "killed")
    assert not (tmp_path / "killed" / "predictions.jsonl").exists()
    count.append(1)  # never 3 again
    read_run.run(read_config(words), tmp_path / "killed")
    assert len(count) == 3 + 1 + 3
    first, second = (
        (tmp_path / name / "predictions.jsonl").read_bytes() for name in ("once", "killed")
    )
    assert first == second and len(first.splitlines()) == 40


def read_config(words):
    from tart_jax import config

    return config.load("configs/read/default.py", words)


@pytest.mark.parametrize(
    "changes, said",
    [
        ({"model.tied": False}, "trains a reader"),
        ({"lora.rank": 2}, "a reader is trained whole"),
        ({"eval.directory": "x"}, "a reader ranks nothing"),
        ({"model.scan": True}, "a reader has neither"),
        ({"data.instructions": "bank:kilt"}, "a reader reads none"),
    ],
)
def test_what_does_not_go_with_a_reader_is_told(world, tmp_path, changes, said):
    with pytest.raises(InputError, match=said):
        train(tmp_path / "a", values(world, "gold") | changes)


def test_an_example_without_an_answer_is_told(world, tmp_path):
    bare = TrainingExample("nq", "q", "a ?", (Document("1-0", "a tall"),))
    examples.write(tmp_path / "bare.jsonl", [bare] * 8)
    with pytest.raises(InputError, match="'q' of 'nq' has no answer"):
        train(tmp_path / "a", values(world, "gold") | {"data.train": str(tmp_path / "bare.jsonl")})
