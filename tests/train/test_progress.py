"""Rates of training, and silence where nobody watches."""

import numpy as np
import pytest

from tart_jax.train import progress as module
from tart_jax.train.progress import Progress


class Clock:
    """Stands in for the time module: time passes only when it is told to."""

    def __init__(self) -> None:
        self.now = 1000.0

    def perf_counter(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds


@pytest.fixture
def clock(monkeypatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(module, "time", clock)
    return clock


def batch(rows: int, length: int, real: int) -> dict[str, np.ndarray]:
    mask = np.arange(length) < real
    return {"query_mask": np.tile(mask, (rows, 1)), "document_mask": np.tile(mask, (rows, 2, 1))}


def test_rates_count_queries_real_tokens_padding_and_waiting(clock):
    with Progress(start=0, steps=2, show=False) as progress:
        with progress.waiting():
            clock.sleep(0.5)
        with progress.paused():
            clock.sleep(8.0)
        clock.sleep(1.5)
        progress.count(batch(4, 10, 6))
        rates = progress.take()
    assert rates == {
        "examples_per_second": 4 / 2.0,  # the pause is not in it
        "tokens_per_second": 4 * 3 * 6 / 2.0,
        "padding_share": 1 - 6 / 10,
        "input_wait_share": 0.5 / 2.0,
        "compilations": 0,
    }


def test_flops_and_their_share_of_the_peak_are_those_of_the_texts_own_tokens(clock, monkeypatch):
    def needs(lengths: np.ndarray) -> float:
        assert sorted(lengths) == [6] * 12
        return 1e3 * lengths.sum()

    monkeypatch.setattr(module.hardware, "peak", lambda devices: 1e4 * devices)
    with Progress(start=0, steps=2, show=False, flops=needs, devices=8, parts=2) as progress:
        clock.sleep(2.0)
        progress.count(batch(4, 10, 6))
        rates = progress.take()
    assert rates["model_flops_per_second"] == 2 * 72e3 / 2.0
    assert rates["mfu"] == 72e3 / 8e4


def test_totals_go_on_where_an_earlier_session_stopped(clock):
    earlier = {"wall_seconds": 100.0, "train_seconds": 50.0, "examples": 8.0}
    with Progress(start=2, steps=4, show=False, earlier=earlier) as progress:
        clock.sleep(16.0)
        progress.count(batch(4, 10, 6))
        progress.forget()  # the compiler's step
        clock.sleep(2.0)
        progress.count(batch(4, 10, 6))
        totals = progress.totals()
    assert totals == {"wall_seconds": 118.0, "train_seconds": 52.0, "examples": 12.0}


def test_it_is_quiet_where_stderr_is_no_terminal(capfd):
    with Progress(start=0, steps=1, show=True) as progress:
        progress.say("a line")
        progress.show(0.5)
    assert capfd.readouterr() == ("", "")
