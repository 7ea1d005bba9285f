"""Rounds of training and mining: what each starts from, that a kill changes nothing, refusals."""

import shutil
from pathlib import Path

import pytest

from tart_jax import config as configs
from tart_jax import io
from tart_jax.checkpoints import Checkpoints
from tart_jax.data import examples
from tart_jax.models import pretrained
from tart_jax.train import loop, rounds
from tart_jax.types import InputError
from tests.train.conftest import training_examples
from tests.train.test_run import Killed, options


@pytest.fixture(scope="module")
def world(tmp_path_factory, model_directory) -> dict:
    """Options of one round of mining over two tasks, each with a corpus of its own."""
    folder = tmp_path_factory.mktemp("rounds")
    found = training_examples()
    records = [examples.to_record(e) | {"task": f"task{i % 2}"} for i, e in enumerate(found)]
    io.write_jsonl(folder / "train.jsonl", records)
    documents = {d.doc_id: d for e in found for d in (*e.positives, *e.negatives)}
    lines = [{"_id": d.doc_id, "text": d.text} for d in documents.values()]
    for task in ("task0", "task1"):
        io.write_jsonl(folder / f"{task}.jsonl", lines)
    header, rows = "task\tintent\tdomain\tunit\tinstruction_1\n", ("task0", "task1")
    (folder / "table.tsv").write_text(header + "".join(f"{t}\ta\tb\tc\tfind\n" for t in rows))
    values = options(model_directory, "", data__hard_ratio=1.0, checkpoint__save_every=2)
    del values["data.train"]
    return {
        "examples": str(folder / "train.jsonl"),
        "corpus": str(folder / "{task}.jsonl"),
        "instructions": str(folder / "table.tsv"),
        "train_options": tuple(f"{key}={value}" for key, value in values.items()),
        "mine_options": ("hard.count=3", "block_size=12", "hard.near_duplicate=1.0"),
    }


def run(world: dict, workdir: Path, **changes) -> None:
    words = [f"--config.{key}={value}" for key, value in (world | changes).items()]
    rounds.run(configs.load("configs/rounds/default.py", words), workdir)


@pytest.fixture(scope="module")
def whole(tmp_path_factory, world) -> Path:
    workdir = tmp_path_factory.mktemp("runs") / "whole"
    run(world, workdir)
    return workdir


def started_from(workdir: Path, number: int) -> str:
    """The weights that a round's training began with, as its checkpoints have them."""
    folder = workdir / f"round-{number}" / "train" / "checkpoints"
    with Checkpoints(folder, keep_last=2, best_metric=loop.BEST_OF_RANKING) as checkpoints:
        return checkpoints.position()[1]["model.weights_sha256"]


def initial(world: dict) -> str:
    word = next(word for word in world["train_options"] if word.startswith("model.source="))
    return pretrained.load(word.partition("=")[2]).weights_sha256


def test_a_round_trains_on_the_union_of_own_and_mined_negatives(whole, world):
    before = {e.query_id: e for e in examples.read(world["examples"])}
    after = list(examples.read(whole / "round-1" / "mined" / "mined.jsonl"))
    assert len(after) == len(before)
    for example in after:
        own = before[example.query_id]
        hard = {d.doc_id for d in example.hard_negatives}
        assert set(own.hard_negatives) <= set(example.hard_negatives)
        assert example.negatives == tuple(d for d in own.negatives if d.doc_id not in hard)
        assert len(hard) == len(example.hard_negatives) >= 3  # of its own it has one
        assert not {d.text for d in example.positives} & {d.text for d in example.hard_negatives}
    trained_on = io.read_json(whole / "round-1" / "train" / "config.json")["data"]["train"]
    assert trained_on == str(whole / "round-1" / "mined" / "mined.jsonl")


def test_the_last_model_mines_and_every_training_starts_from_the_first(whole, world):
    result = io.read_json(whole / "rounds.json")["rounds"]
    first, second = (each["weights_sha256"] for each in result)
    assert started_from(whole, 0) == started_from(whole, 1) == initial(world) != first != second
    for task in ("task0", "task1"):
        index = io.read_json(whole / "round-1" / "index" / task / "index.json")
        assert index["weights_sha256"] == first
    assert result[0]["mined"] == {} and result[1]["mined"]["queries"] == 32
    assert result[1]["mined_sha256"] == io.sha256(whole / "round-1" / "mined" / "mined.jsonl")


@pytest.mark.slow
def test_a_training_that_went_on_from_the_last_round_would_be_seen(
    whole, world, tmp_path, monkeypatch
):
    """The broken twin of the start from the first model."""
    shutil.copytree(whole / "round-0", tmp_path / "round-0")
    of_training = rounds._of_training

    def going_on(examples, config):
        last = {"model.source": tmp_path / "round-0" / "train" / "model"} if examples else {}
        return of_training(examples, config) | last

    monkeypatch.setattr(rounds, "_of_training", going_on)
    run(world, tmp_path)
    assert started_from(tmp_path, 1) != initial(world)


def test_what_is_finished_is_not_done_again_unless_it_was_made_from_something_else(
    whole, world, tmp_path, monkeypatch
):
    content, called = (whole / "rounds.json").read_bytes(), []
    stages = {name: lambda *_, name=name: called.append(name) for name in rounds.STAGES}
    with monkeypatch.context() as patch:
        patch.setattr(rounds, "STAGES", stages)
        run(world, whole)
    assert not called and (whole / "rounds.json").read_bytes() == content
    shutil.copytree(whole, tmp_path / "copy")
    with pytest.raises(InputError, match="seed=0, this run has 1"):
        run(world, tmp_path / "copy", train_options=(*world["train_options"], "seed=1"))


@pytest.mark.parametrize(
    "stage",
    ["mine", *(pytest.param(s, marks=pytest.mark.slow) for s in ("encode", "index", "train"))],
)
def test_rounds_killed_at_any_stage_end_in_the_same_files(
    whole, world, tmp_path, monkeypatch, stage
):
    from tart_jax.mine.miner import Miner

    shutil.copytree(whole / "round-0", tmp_path / "round-0")
    mine_block, save, real, calls = Miner.mine, loop.save, rounds.STAGES[stage], []

    def block(self, task, batch):
        calls.append(task)
        if stage == "mine" and len(calls) > 1:
            raise Killed
        return mine_block(self, task, batch)

    def saved(setup, checkpoints, step, *rest):
        save(setup, checkpoints, step, *rest)
        checkpoints.wait()
        if stage == "train":
            raise Killed

    def second(settings, workdir):
        if stage in ("encode", "index") and workdir.name == "task1":
            raise Killed
        real(settings, workdir)

    with monkeypatch.context() as patch:
        patch.setattr(Miner, "mine", block)
        patch.setattr(loop, "save", saved)
        patch.setitem(rounds.STAGES, stage, second)
        with pytest.raises(Killed):
            run(world, tmp_path)
    assert not (tmp_path / "rounds.json").exists()
    run(world, tmp_path)
    names = ["rounds.json", "round-1/round.json", "round-1/mined/mined.jsonl"]
    names.append("round-1/train/model/model.safetensors")
    for name in names:
        assert (tmp_path / name).read_bytes() == (whole / name).read_bytes(), name


@pytest.mark.parametrize(
    "change, message",
    [
        ({"rounds": 0}, "config.rounds is 0"),
        ({"examples": ""}, "config.examples is missing"),
        ({"corpus": ""}, "config.corpus is missing"),
        ({"corpus": "nowhere/{task}.jsonl"}, "nowhere/task0.jsonl"),
        ({"train_options": ("steps",)}, "'steps' should look like 'some.key=value'"),
        ({"train_options": ("data.train=x",)}, "train_options sets data.train, which"),
        ({"mine_options": ("keep=False",)}, "mine_options sets keep, which"),
        ({"mine_options": ("hard.first_rank=0",)}, "ranks 0 to 100"),
        ({"train_options": ("objective.name=cross_pointwise",)}, "mine with a dual encoder"),
    ],
)
def test_rounds_that_do_not_fit_are_refused_before_anything_is_written(
    world, tmp_path, change, message
):
    with pytest.raises(InputError, match=message):
        run(world, tmp_path / "r", **change)
    assert not (tmp_path / "r").exists()
