"""Training metrics: read one step late, stopped at NaN, averaged, logged."""

import json
import math
import os
import sys
import types
from pathlib import Path
from typing import Any

import jax

from tart_jax import io
from tart_jax.train.objectives import Metrics
from tart_jax.types import DivergedError

FILE = "metrics.jsonl"


class LateMetrics:
    """Reads a step's metrics when the next step is under way, so that the device never waits.

    Sums what it reads until `take`: means over the interval are sums over counts.
    """

    def __init__(
        self, *, totals: dict[str, list[float]] | None = None, max_loss: float | None = None
    ) -> None:
        """totals: the sums and counts of a run that this one continues in mid-interval.

        max_loss: DivergedError where a loss is more, as where it is no finite number.
        """
        self._pending: tuple[int, Metrics] | None = None
        self.totals = dict(totals or {})
        self._max_loss = sys.float_info.max if max_loss is None else max_loss
        self.loss = math.nan  # of the last step that was read

    def push(self, step: int, metrics: Metrics) -> int | None:
        """Hands in a step's metrics; reads those of the step before and returns its number."""
        read = self.flush()
        self._pending = (step, metrics)
        return read

    def flush(self) -> int | None:
        """Reads what is pending, waiting for its step; then every step handed in is known good."""
        pending, self._pending = self._pending, None
        if pending is None:
            return None
        self._read(*pending)
        return pending[0]

    def take(self) -> dict[str, float]:
        """Means since the last `take`; a metric that counted nothing is left out."""
        totals, self.totals = self.totals, {}
        return {name: total / count for name, (total, count) in totals.items() if count}

    def _read(self, step: int, metrics: Metrics) -> None:
        values = {
            name: [float(total), float(count)]
            for name, (total, count) in jax.device_get(metrics).items()
        }
        total, count = values["loss"]
        self.loss = total / count if count else math.nan  # a skipped update has none
        # A finite loss may have had a gradient that was not: then the parameters after it are no
        # numbers, and must not be saved.
        norm = values.get("param_norm", [0.0])[0]
        if not math.isfinite(norm) or (count and not self.loss <= self._max_loss):
            raise DivergedError(
                f"the loss of step {step} is {self.loss}, the norm of the parameters {norm};"
                " training stopped, the last checkpoint is from before. Lower"
                " --config.optimizer.peak_lr, set optimizer.clip_norm, or allow"
                " --config.divergence.skip.",
                step,
            )
        for name, (total, count) in values.items():
            sums = self.totals.setdefault(name, [0.0, 0.0])
            sums[0] += total
            sums[1] += count


class MetricLog:
    """`metrics.jsonl` and TensorBoard events of a run; on resuming, later lines are taken back."""

    def __init__(self, directory: str | Path, *, start: int, tensorboard: bool, write: bool = True):
        """start: the step resumed from; write: False on all processes but the first."""
        self.path = Path(directory) / FILE
        self._tensorboard: Any = None
        self._file = None
        if not write:
            return
        kept = _lines_until(self.path, start)
        with io.writing(self.path) as aside:
            aside.write_text("".join(kept), "utf-8")
        self._file = self.path.open("a", encoding="utf-8")
        if tensorboard:
            from tensorboardX import SummaryWriter  # here: slow to import

            folder = str(Path(directory) / "tensorboard")
            self._tensorboard = SummaryWriter(folder, purge_step=start + 1)

    def write(self, step: int, values: dict[str, float]) -> None:
        if not self._file:
            return
        self._file.write(json.dumps({"step": step} | values) + "\n")
        self._file.flush()
        if self._tensorboard:
            for name, value in values.items():
                self._tensorboard.add_scalar(name, value, step)

    def __enter__(self) -> "MetricLog":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: types.TracebackType | None,
    ) -> None:
        if self._file:
            self._file.close()
        if self._tensorboard:
            self._tensorboard.close()


def _lines_until(path: Path, step: int) -> list[str]:
    """The whole lines up to `step`: a killed run leaves later ones, and perhaps half of one."""
    kept: list[str] = []
    if not os.path.exists(path):
        return kept
    for line in path.read_text("utf-8").splitlines(keepends=True):
        try:
            if json.loads(line)["step"] > step:
                break
        except ValueError:
            break
        kept.append(line)
    return kept
