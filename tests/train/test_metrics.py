"""Metrics: one step late, stopped at NaN, one line for a step however often a run was killed."""

import json
import math

import jax.numpy as jnp
import pytest

from tart_jax.train.metrics import LateMetrics, MetricLog
from tart_jax.types import DivergedError


def values(loss: float, count: float = 1.0) -> dict:
    nothing = (jnp.float32(0), jnp.float32(0))
    return {"loss": (jnp.float32(loss), jnp.float32(count)), "none": nothing}


def test_a_step_is_read_when_the_next_is_handed_in():
    late = LateMetrics()
    assert late.push(1, values(2.0)) is None and math.isnan(late.loss)
    assert late.push(2, values(4.0)) == 1 and late.loss == 2.0
    assert late.flush() == 2 and late.loss == 4.0
    assert late.flush() is None


def test_means_weigh_by_count_and_what_counted_nothing_is_left_out():
    late = LateMetrics()
    late.push(1, values(2.0, 1))
    late.push(2, values(9.0, 3))
    late.flush()
    assert late.take() == {"loss": 11 / 4}
    assert late.take() == {}


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_a_loss_that_is_no_number_stops_with_its_step(bad):
    late = LateMetrics()
    late.push(7, values(bad))
    with pytest.raises(DivergedError, match="the loss of step 7 is"):
        late.push(8, values(1.0))


def lines(path) -> list[dict]:
    return [json.loads(line) for line in (path / "metrics.jsonl").read_text().splitlines()]


def test_a_resumed_run_takes_back_lines_after_its_start(tmp_path):
    with MetricLog(tmp_path, start=0, tensorboard=False) as log:
        for step in range(1, 5):
            log.write(step, {"loss": float(step)})
    with (tmp_path / "metrics.jsonl").open("a") as file:
        file.write('{"step": 5, "lo')  # cut short by a kill
    with MetricLog(tmp_path, start=2, tensorboard=False) as log:
        log.write(3, {"loss": 30.0})
    assert lines(tmp_path) == [
        {"step": 1, "loss": 1.0}, {"step": 2, "loss": 2.0}, {"step": 3, "loss": 30.0}
    ]  # fmt: skip


def test_tensorboard_events_are_written_when_asked(tmp_path):
    with MetricLog(tmp_path, start=0, tensorboard=True) as log:
        log.write(1, {"loss": 1.0})
    assert list((tmp_path / "tensorboard").glob("events.*"))


def test_other_processes_write_nothing(tmp_path):
    with MetricLog(tmp_path, start=0, tensorboard=True, write=False) as log:
        log.write(1, {"loss": 1.0})
    assert not list(tmp_path.iterdir())
