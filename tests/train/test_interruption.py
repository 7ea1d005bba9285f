"""Runs that are asked to end, and runs whose loss goes wrong: what is saved, and what is said."""

import os
import signal
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tart_jax import distributed, io
from tart_jax.train import run as stage
from tart_jax.train import state as train_state
from tart_jax.train.interruption import Interruption
from tart_jax.train.optimizer import build
from tart_jax.train.step import make_step
from tart_jax.types import DivergedError, EndedError, InputError
from tests.train.test_run import log_lines, options, same, train, weights


def values(model_directory, train_file, **changes):
    """No checkpoint is due before the end, and a line of metrics every other update."""
    return options(model_directory, train_file, checkpoint__save_every=100, log__every=2, **changes)


def at_batch(monkeypatch, number, act):
    """Calls `act` while batch `number` is fetched."""
    iterate = stage.Batches.iterate

    def acting(self, start, **options):
        for place, batch in enumerate(iterate(self, start, **options), start):
            if place == number:
                act(batch)
            yield batch

    monkeypatch.setattr(stage.Batches, "iterate", acting)


@pytest.mark.parametrize("name,status", [("SIGTERM", 143), ("SIGINT", 130)])
def test_a_signal_saves_and_the_run_goes_on_bit_for_bit(
    model_directory, train_file, tmp_path, monkeypatch, name, status
):
    chosen = values(model_directory, train_file)
    before = signal.getsignal(signal.SIGTERM)
    train(tmp_path / "whole", chosen)
    with monkeypatch.context() as patch:
        at_batch(patch, 2, lambda _: os.kill(os.getpid(), getattr(signal, name)))
        with pytest.raises(EndedError, match=f"{name} ended the training after step 3") as caught:
            train(tmp_path / "cut", chosen)
    assert caught.value.status == status
    assert signal.getsignal(signal.SIGTERM) == before
    assert not (tmp_path / "cut" / "model").exists()
    train(tmp_path / "cut", chosen)
    assert same(weights(tmp_path / "whole"), weights(tmp_path / "cut"))
    whole, cut = (
        [(r["step"], r["loss"]) for r in log_lines(tmp_path / n)] for n in ("whole", "cut")
    )
    assert whole == cut and [step for step, _ in whole] == [2, 4]


def test_a_second_interrupt_does_not_wait_for_the_step():
    with Interruption() as interruption:
        os.kill(os.getpid(), signal.SIGINT)
        assert interruption.asked(1)
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGINT)


def test_a_loss_above_its_limit_stops_and_names_the_queries(model_directory, train_file, tmp_path):
    chosen = values(model_directory, train_file, divergence__max_loss=1e-6)
    with pytest.raises(DivergedError, match=r"the loss of step 1 is .*diverged\.json"):
        train(tmp_path / "a", chosen)
    told = io.read_json(tmp_path / "a" / "diverged.json")
    asked = {record["query_id"] for _, record in io.read_jsonl(train_file)}
    assert told["step"] == 1 and len(told["query_ids"]) == 8 and set(told["query_ids"]) <= asked
    assert not list((tmp_path / "a" / "checkpoints").glob("[0-9]*"))
    train(tmp_path / "a", chosen | {"divergence.max_loss": 1e6})  # the same run goes on


def test_a_negative_number_of_skips_is_refused(model_directory, train_file, tmp_path):
    with pytest.raises(InputError, match="config.divergence.skip is -1"):
        train(tmp_path, values(model_directory, train_file, divergence__skip=-1))


def losses_of(skip, batches):
    """(parameters, metrics of each update) of a plain regression whose loss may be no number."""
    mesh = distributed.make_mesh({"data": 8})
    optimizer = build(
        lambda _: 0.1, b1=0.9, b2=0.98, eps=1e-6, weight_decay=0.0, decay_vectors=True,
        clip_norm=1.0, skip=skip,
    )  # fmt: skip

    def objective(params, batch, key):
        loss = jnp.sum((params["w"] - batch["x"]) ** 2)
        return loss, {"loss": (loss, jnp.float32(1))}

    params = {"w": jnp.ones(3)}
    state, shardings = train_state.create(params, optimizer, mesh=mesh, rules=())
    step = make_step(
        objective, optimizer, lambda _: 0.1, accumulation=1, dropout=False, mesh=mesh,
        shardings=shardings,
    )  # fmt: skip
    found = []
    for x in batches:
        state, metrics = step(state, {"x": jnp.float32(x)}, jax.random.key(0))
        found.append(jax.device_get(metrics))
    return np.asarray(state.params["w"]), found


def test_an_update_without_a_finite_gradient_is_skipped_and_counted():
    clean, _ = losses_of(2, [0.5, 0.25])
    skipped, metrics = losses_of(2, [0.5, np.nan, np.inf, 0.25])
    np.testing.assert_array_equal(clean, skipped)
    assert [m["skipped"][0] for m in metrics] == [0, 1, 1, 0]
    assert metrics[1]["loss"] == (0, 0) and metrics[3]["loss"][1] == 1
    more, metrics = losses_of(2, [0.5, np.nan, np.nan, np.nan])  # one more than is allowed
    assert np.isnan(more).all() and np.isnan(metrics[-1]["param_norm"][0])
    assert np.isnan(losses_of(0, [0.5, np.nan, 0.25])[0]).all()


FULL = """
import resource, signal, sys
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)  # a write then fails, as on a full disk
from tart_jax.train import loop
saved = loop.save
def save(setup, checkpoints, step, *rest):
    if step == 3:
        checkpoints.wait()
        resource.setrlimit(resource.RLIMIT_FSIZE, (4096, -1))
    saved(setup, checkpoints, step, *rest)
loop.save = save
from tart_jax.cli import main
sys.exit(main())
"""


@pytest.mark.slow
def test_a_disk_that_takes_no_more_ends_the_run_and_leaves_the_last_checkpoint(
    model_directory, train_file, tmp_path
):
    chosen = options(model_directory, train_file)
    words = [f"--config.{key}={value}" for key, value in chosen.items()]
    command = ["train", "--config=configs/train/default.py", f"--workdir={tmp_path / 'a'}", *words]
    ended = subprocess.run(
        [sys.executable, "-c", FULL, *command], capture_output=True, text=True, timeout=300,
        env=os.environ | {"JAX_NUM_CPU_DEVICES": "8"},  # as here: other sums have other last bits
    )  # fmt: skip
    assert ended.returncode == 1, ended.stderr
    # Orbax's threads say a lot before it.
    assert ended.stderr.splitlines()[-1].startswith("tart-jax: File too large: ")
    train(tmp_path / "a", chosen)
    train(tmp_path / "whole", chosen)
    assert same(weights(tmp_path / "a"), weights(tmp_path / "whole"))
