"""Negatives mined anew inside training: what they change, and that a kill changes nothing."""

import runpy
import shutil
import zlib
from pathlib import Path

import jax
import numpy as np
import pytest

from tart_jax import config as configs
from tart_jax import distributed, io
from tart_jax.data import examples
from tart_jax.data.mixture import mix, open_sources
from tart_jax.encode import run as encode
from tart_jax.index import run as index
from tart_jax.mine import run as mine
from tart_jax.mine.miner import Miner
from tart_jax.models import pretrained
from tart_jax.train import run as stage
from tart_jax.train.refresh import Refresh
from tart_jax.types import InputError
from tests.train.conftest import training_examples
from tests.train.test_run import ROOT, Killed, log_lines, options, same, train, weights

MINE = """
import runpy
def get_config(arg=""):
    config = runpy.run_path({file!r})["get_config"]("")
    config.block_size = 12
    config.hard.count = 3
    config.hard.near_duplicate = 1.0
    {more}
    return config
"""


def mine_config(folder: Path, more: str = "pass") -> Path:
    path = folder / f"mine_{zlib.crc32(more.encode())}.py"
    path.write_text(MINE.format(file=str(ROOT / "configs/mine/default.py"), more=more))
    return path


@pytest.fixture(scope="module")
def world(tmp_path_factory, model_directory) -> dict:
    """Options of a run of 4 updates that mines after 2; two tasks that share a corpus."""
    folder = tmp_path_factory.mktemp("refresh")
    found = training_examples()
    records = [examples.to_record(e) | {"task": f"task{i % 2}"} for i, e in enumerate(found)]
    io.write_jsonl(folder / "train.jsonl", records)
    documents = {d.doc_id: d for e in found for d in (*e.positives, *e.negatives)}
    io.write_jsonl(
        folder / "corpus.jsonl", [{"_id": d.doc_id, "text": d.text} for d in documents.values()]
    )
    values = options(model_directory, folder / "train.jsonl", data__hard_ratio=1.0)
    return values | {
        "refresh.every": 2,
        "refresh.mine": str(mine_config(folder)),
        "refresh.corpus": str(folder / "corpus.jsonl"),
        "checkpoint.save_every": 3,
    }


@pytest.fixture(scope="module")
def whole(tmp_path_factory, world) -> Path:
    workdir = tmp_path_factory.mktemp("runs") / "whole"
    train(workdir, world)
    return workdir


def mined(workdir: Path, step: int) -> bytes:
    return (workdir / "refresh" / f"step-{step}" / "mined.jsonl").read_bytes()


def losses(workdir: Path) -> list[tuple[int, float]]:
    return [(line["step"], line["loss"]) for line in log_lines(workdir)]


def test_a_refresh_changes_the_batches_from_its_step_on(whole, world, tmp_path):
    assert [path.name for path in (whole / "refresh").iterdir()] == ["step-2"]
    train(tmp_path / "without", world | {"refresh.every": 0})
    with_it, without = losses(whole), losses(tmp_path / "without")
    assert with_it[:2] == without[:2]
    assert all(a != b for a, b in zip(with_it[2:], without[2:], strict=True))


def test_every_example_keeps_its_place_and_gets_documents_that_do_not_answer_it(whole, world):
    before = {e.query_id: e for e in examples.read(world["data.train"])}
    after = list(examples.read(whole / "refresh" / "step-2" / "mined.jsonl"))
    assert [e.query_id for e in after if e.task == "task1"] == [
        name for name, e in before.items() if e.task == "task1"
    ]
    assert len(after) == len(before) == 32
    for example in after:
        hard = {d.text for d in example.hard_negatives}
        assert len(hard) == 3 and not hard & {d.text for d in example.positives}
        assert example.positives == before[example.query_id].positives


def killed(workdir, values, monkeypatch, when: str) -> Path:
    """A run stopped before, during or after its mining at step 2, or after its third update."""
    real, mine_block, blocks, saved = Refresh.__call__, Miner.mine, [], stage.loop.save

    def refresh(self, step, params):
        if when == "before":
            raise Killed
        real(self, step, params)
        if when == "after":
            raise Killed

    def block(self, task, batch):
        blocks.append(task)
        if when == "during" and len(blocks) > 2:
            raise Killed
        return mine_block(self, task, batch)

    def save(setup, checkpoints, step, *rest):
        saved(setup, checkpoints, step, *rest)
        if when == "later" and step == 3:
            checkpoints.wait()
            raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(Refresh, "__call__", refresh)
        patch.setattr(Miner, "mine", block)
        patch.setattr(stage.loop, "save", save)
        with pytest.raises(Killed):
            train(workdir, values)
    return workdir


@pytest.fixture(scope="module")
def cut(tmp_path_factory, world) -> Path:
    """A run that was killed after its third update, for tests to copy."""
    with pytest.MonkeyPatch.context() as patch:
        return killed(tmp_path_factory.mktemp("runs") / "cut", world, patch, "later")


@pytest.mark.parametrize(
    "when, save_every, blocks",
    [
        ("later", 3, 0),  # goes on in the middle of a file's batches
        ("during", 1, 2),  # goes on at step 2, and mines the other half
        pytest.param("before", 1, 4, marks=pytest.mark.slow),
        pytest.param("before", 3, 4, marks=pytest.mark.slow),  # there was no checkpoint yet
        pytest.param("after", 1, 0, marks=pytest.mark.slow),
        pytest.param("after", 3, 0, marks=pytest.mark.slow),
    ],
)
def test_a_run_killed_around_a_mining_ends_bit_for_bit_equal(
    whole, world, cut, tmp_path, monkeypatch, when, save_every, blocks
):
    values, mine_block, again = world | {"checkpoint.save_every": save_every}, Miner.mine, []
    if when == "later":
        shutil.copytree(cut, tmp_path / "cut")
    else:
        killed(tmp_path / "cut", values, monkeypatch, when)

    def block(self, task, batch):
        again.append(task)
        return mine_block(self, task, batch)

    monkeypatch.setattr(Miner, "mine", block)
    train(tmp_path / "cut", values)
    assert len(again) == blocks  # what was finished is not mined again
    assert same(weights(whole), weights(tmp_path / "cut"))
    assert losses(whole) == losses(tmp_path / "cut")
    assert mined(whole, 2) == mined(tmp_path / "cut", 2)


@pytest.mark.slow
def test_a_resumed_run_that_forgot_the_mined_file_would_end_elsewhere(
    whole, world, cut, tmp_path, monkeypatch
):
    """The broken twin: batches of the first examples after the resumption."""
    shutil.copytree(cut, tmp_path / "cut")
    monkeypatch.setattr(Refresh, "restore", lambda self, step, saved: None)
    train(tmp_path / "cut", world)
    assert not same(weights(whole), weights(tmp_path / "cut"))


def test_a_mined_file_that_is_gone_or_changed_is_refused(world, cut, tmp_path):
    shutil.copytree(cut, tmp_path / "cut")
    path = tmp_path / "cut" / "refresh" / "step-2" / "mined.jsonl"
    content = path.read_bytes()
    for change, message in ((b" ", "has changed, and the checkpoint of step 3"), (None, "is gone")):
        path.unlink() if change is None else path.write_bytes(content + change)
        with pytest.raises(InputError, match=message):
            train(tmp_path / "cut", world)
    path.write_bytes(content)
    with pytest.raises(InputError, match=r"refresh\.mine\.hard\.count=3, this run has 2"):
        other = mine_config(tmp_path, "config.hard.count = 2")
        train(tmp_path / "cut", world | {"refresh.mine": str(other)})


@pytest.mark.slow
def test_it_mines_what_encode_index_and_mine_would(world, tmp_path):
    """Of the same model: the documents are the same, the scores as near as two meshes are."""
    model = pretrained.load(world["model.source"])
    refresh = Refresh(
        every=2,
        mine=world["refresh.mine"],
        corpus=world["refresh.corpus"],
        mixture=mix(open_sources(world["data.train"]), mixing="proportional"),
        model=model,
        instructions="",
        mesh=distributed.make_mesh({"data": -1, "tensor": 1}),
        workdir=tmp_path,
        feed=lambda mixture: lambda start: iter(()),
        made_from={},
    )
    refresh(2, jax.device_put(model.params))

    def run(stage, name, folder, **values):
        words = [f"--config.{key.replace('__', '.')}={value}" for key, value in values.items()]
        stage.run(configs.load(name, words), tmp_path / folder)

    corpus = world["refresh.corpus"]
    run(encode, "configs/encode/default.py", "e", model=model.source, corpus=corpus)
    run(index, "configs/index/default.py", "i", embeddings=tmp_path / "e")
    of_index = {"index": tmp_path / "i", "retriever__model": model.source}
    run(mine, world["refresh.mine"], "m", examples=world["data.train"], **of_index)
    own, other = (
        [record for _, record in io.read_jsonl(tmp_path / folder / "mined.jsonl")]
        for folder in ("refresh/step-2", "m")
    )
    for here, there in zip(own, other, strict=True):
        for left, right in zip(here.pop("hard_negatives"), there["hard_negatives"], strict=True):
            # Sums of 16 products in another order; scores lie in -1 to 1 times lengths of about 4.
            np.testing.assert_allclose(left.pop("retrieved"), right.pop("retrieved"), rtol=1e-5)
            assert left == right
        for record in (here, there):
            record.pop("hard_negatives", None)
            for field in ("positives", "negatives"):
                for document in record[field]:
                    document.pop("retrieved", None)
        assert here == there


@pytest.mark.parametrize(
    "change, message",
    [
        ({"refresh.every": -1}, "config.refresh.every is -1"),
        ({"refresh.corpus": ""}, "config.refresh.corpus is missing"),
        ({"refresh.corpus": "nowhere/{task}"}, "nowhere/task0"),
        ({"refresh.mine": "configs/index/default.py"}, "is not a key of tart-jax mine"),
        ({"objective.name": "cross_pointwise", "model.new_head": True}, "trains a cross-encoder"),
    ],
)
def test_a_refresh_that_does_not_fit_is_refused_before_anything_is_written(
    world, tmp_path, change, message
):
    with pytest.raises(InputError, match=message):
        train(tmp_path / "r", world | {"data.pair_length": 16} | change)
    assert not (tmp_path / "r").exists()


@pytest.mark.parametrize(
    "line, message",
    [
        ("config.retriever.model = 'other'", "sets retriever.model to 'other'"),
        ("config.max_per_task = 5", "sets max_per_task to 5"),
        ("config.hard.first_rank = 0", "ranks 0 to 100"),
    ],
)
def test_a_mine_config_that_does_not_fit_is_refused_at_once(world, tmp_path, line, message):
    path = mine_config(tmp_path, line)
    assert runpy.run_path(str(path))["get_config"]() is not None
    with pytest.raises(InputError, match=message):
        train(tmp_path / "r", world | {"refresh.mine": str(path)})
    assert not (tmp_path / "r").exists()


def test_a_run_without_a_refresh_has_no_trace_of_one_in_its_identity(world):
    config = configs.load("configs/train/default.py")
    assert not [name for name in stage.options.identity(config) if name.startswith("refresh")]
