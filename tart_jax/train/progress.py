"""What a training run shows while it runs: the bar, and the rates that are logged, too."""

import contextlib
import time
import types
from collections.abc import Callable, Iterator

import numpy as np
from tqdm import tqdm

from tart_jax import compilation, hardware
from tart_jax.data.batching import Batch


class Progress:
    """Counts examples, tokens and time, and shows them in a bar in a terminal."""

    def __init__(
        self,
        *,
        start: int,
        steps: int,
        show: bool,
        parts: int = 1,
        earlier: dict[str, float] | None = None,
        flops: Callable[[np.ndarray], float] | None = None,
        devices: int = 1,
    ):
        """show: whether this process may show a bar at all; without a terminal none does.

        earlier: the `totals` of the run that this one continues. flops: what a step needs on texts
        of these numbers of tokens; None: not counted. devices: that share it.
        """
        # disable=None is tqdm's own rule: no bar where stderr is no terminal.
        self._bar = tqdm(
            total=steps, initial=start, unit="step", disable=None if show else True, smoothing=0.1
        )
        self._parts, self._flops_of, self._devices = parts, flops, devices
        self._earlier = earlier or {}
        self._opened = time.perf_counter()
        self._seconds, self._shown = 0.0, dict[str, str]()
        self._examples_before = 0
        self.forget()

    def forget(self) -> None:
        """Starts a new interval and counts the one under way for nothing (it compiled)."""
        self._began = time.perf_counter()
        self._paused = self._waited = 0.0
        self._examples = self._tokens = self._slots = 0
        self._flops, self._compiled = 0.0, compilation.count()

    @contextlib.contextmanager
    def waiting(self) -> Iterator[None]:
        """Time in here is spent waiting for input."""
        began = time.perf_counter()
        yield
        self._waited += time.perf_counter() - began

    @contextlib.contextmanager
    def paused(self) -> Iterator[None]:
        """Time in here (evaluation, checkpoints) counts for no rate."""
        began = time.perf_counter()
        yield
        self._paused += time.perf_counter() - began

    def count(self, batch: Batch) -> None:
        """Counts this process's part of a batch, and the others' as if they were like it."""
        masks = [value for name, value in batch.items() if name.endswith("_mask")]
        self._examples += len(masks[0]) * self._parts
        lengths = np.concatenate([mask.sum(axis=-1).ravel() for mask in masks])
        self._tokens += int(lengths.sum()) * self._parts
        self._slots += sum(mask.size for mask in masks) * self._parts
        if self._flops_of:
            self._flops += self._flops_of(lengths) * self._parts

    def take(self) -> dict[str, float]:
        """Since the last `take`: examples (queries), real tokens and FLOPs per second, shares;
        programs compiled, which should be none but where something ran for the first time.
        """
        seconds = max(self._interval(), 1e-9)
        rates = {
            "examples_per_second": self._examples / seconds,
            "tokens_per_second": self._tokens / seconds,
            "padding_share": 1 - self._tokens / self._slots if self._slots else 0.0,
            "input_wait_share": self._waited / seconds,
            "compilations": compilation.count() - self._compiled,
        }
        if self._flops:
            rates["model_flops_per_second"] = self._flops / seconds
            if peak := hardware.peak(self._devices):
                rates["mfu"] = self._flops / seconds / peak
        self._seconds += seconds
        self._examples_before += self._examples
        self._shown = {
            "examples/s": f"{rates['examples_per_second']:.1f}",
            "tokens/s": f"{rates['tokens_per_second']:,.0f}",
            "padding": f"{rates['padding_share']:.0%}",
            "waiting": f"{rates['input_wait_share']:.0%}",
        } | ({"MFU": f"{rates['mfu']:.1%}"} if "mfu" in rates else {})
        self.forget()
        return rates

    def totals(self) -> dict[str, float]:
        """Of all sessions: wall_seconds; train_seconds without compiling, evaluating and saving,
        and the examples that were trained on in them."""
        now = {
            "wall_seconds": time.perf_counter() - self._opened,
            "train_seconds": self._seconds + self._interval(),
            "examples": self._examples_before + self._examples,
        }
        return {name: value + self._earlier.get(name, 0) for name, value in now.items()}

    def _interval(self) -> float:
        return time.perf_counter() - self._began - self._paused

    def show(self, loss: float) -> None:
        """Moves the bar by one step."""
        self._bar.set_postfix({"loss": f"{loss:.4f}"} | self._shown, refresh=False)
        self._bar.update()

    def say(self, line: str) -> None:
        """A line above the bar; nothing where there is no bar."""
        if not self._bar.disable:
            self._bar.write(line)

    def __enter__(self) -> "Progress":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: types.TracebackType | None,
    ) -> None:
        self._bar.close()
