"""A run that is asked to end: it saves where it is, and the same command goes on from there."""

import os
import signal
import threading
import types
from typing import Any

import jax
from jax.experimental import multihost_utils

from tart_jax.types import EndedError


class Interruption:
    """Hears SIGTERM (a scheduler's notice before it takes the machine) and Ctrl-C.

    In several processes JAX's preemption service hears SIGTERM on any of them and names a step that
    all of them reach; Ctrl-C then ends each process at once, as without this.
    """

    def __init__(self) -> None:
        self._signal: signal.Signals | None = None
        self._before: dict[signal.Signals, Any] = {}

    def __enter__(self) -> "Interruption":
        # Handlers belong to the main thread; in others (a notebook's, a server's) Python refuses.
        if jax.process_count() == 1 and threading.current_thread() is threading.main_thread():
            for number in (signal.SIGTERM, signal.SIGINT):
                self._before[number] = signal.signal(number, self._hear)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: types.TracebackType | None,
    ) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _hear(self, number: int, frame: types.FrameType | None) -> None:
        if self._signal is not None and number == signal.SIGINT:
            raise KeyboardInterrupt  # a second Ctrl-C does not wait for the step
        self._signal = signal.Signals(number)
        # Past Python's buffers: the signal may have come in the middle of another line.
        os.write(2, b"\ntart-jax: saving after this step; a second Ctrl-C does not wait for it.\n")

    def asked(self, step: int) -> bool:
        """Whether to save after update `step` and end; to be called after every update."""
        if jax.process_count() > 1:
            return bool(multihost_utils.reached_preemption_sync_point(step))
        return self._signal is not None

    def error(self, step: int) -> EndedError:
        number = self._signal or signal.SIGTERM
        return EndedError(
            f"{number.name} ended the training after step {step}, which is saved; the same command"
            " goes on from there.",
            status=128 + number,
        )
