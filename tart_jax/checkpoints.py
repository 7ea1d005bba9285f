"""Checkpoints of training: state, position in the data, identity of the run. Only here: Orbax."""

import contextlib
import json
import math
import os
import re
import types
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import orbax.checkpoint as ocp
from orbax.checkpoint import checkpoint_managers

from tart_jax.types import InputError


class Restored(NamedTuple):
    """A checkpoint read back. `identity`: of the run that wrote it, see `refuse_other_run`."""

    step: int
    state: Any
    data_state: dict[str, Any]
    identity: dict[str, Any]


class Checkpoints:
    """A folder of checkpoints: the last `keep_last` of them and the best by `best_metric`.

    Saving is asynchronous: the state is copied before `save` returns, so it may be donated next. A
    checkpoint appears whole or not at all; one cut short by a kill is ignored and cleaned up.
    """

    def __init__(self, directory: str | Path, *, keep_last: int, best_metric: str):
        if keep_last < 1:
            raise InputError(
                f"checkpoint.keep_last is {keep_last}; at least 1 is needed to resume at all."
            )

        def value(metrics: dict[str, float]) -> float:
            return metrics.get(best_metric, -math.inf)

        best = checkpoint_managers.BestN(
            get_metric_fn=value, n=1, keep_checkpoints_without_metrics=False
        )
        kept = checkpoint_managers.AnyPreservationPolicy(
            [checkpoint_managers.LatestN(keep_last), best]
        )
        self.directory = Path(directory).absolute()
        self._manager = ocp.CheckpointManager(
            self.directory,
            options=ocp.CheckpointManagerOptions(
                best_fn=value, preservation_policy=kept, cleanup_tmp_directories=True
            ),
        )

    def save(
        self,
        step: int,
        state: Any,
        *,
        data_state: dict[str, Any],
        identity: Mapping[str, Any],
        metrics: dict[str, float] | None = None,
    ) -> None:
        """Starts saving; a step that is there already is left as it is."""
        if step in self._manager.all_steps():
            return
        position = {"data_state": data_state, "identity": dict(identity)}
        with _os_errors(self.directory):
            self._manager.save(
                step,
                args=ocp.args.Composite(
                    state=ocp.args.StandardSave(state), position=ocp.args.JsonSave(position)
                ),
                metrics=metrics or {},  # Orbax warns at each save where there are none
                force=True,
            )

    def position(self, step: int | None = None) -> tuple[dict[str, Any], dict[str, Any]]:
        """(data_state, identity) of a checkpoint, the latest by default; cheap: no arrays."""
        step = self._existing(step)
        found = self._manager.restore(
            step, args=ocp.args.Composite(position=ocp.args.JsonRestore())
        )
        return found.position["data_state"], found.position["identity"]

    def restore(self, abstract_state: Any, step: int | None = None) -> Restored:
        """A checkpoint, the latest by default, in the shapes and shardings of `abstract_state`."""
        step = self._existing(step)
        # Always with a target: without one, integer keys of dicts come back as strings.
        found = self._manager.restore(
            step,
            args=ocp.args.Composite(
                state=ocp.args.StandardRestore(abstract_state),
                position=ocp.args.JsonRestore(),
            ),
        )
        position = found.position
        return Restored(step, found.state, position["data_state"], position["identity"])

    def latest_step(self) -> int | None:
        return self._manager.latest_step()

    def best_step(self) -> int | None:
        """The step with the highest metric among those that were saved with one."""
        scored = {step: self.metrics(step) for step in self._manager.all_steps()}
        return self._manager.best_step() if any(scored.values()) else None

    def metrics(self, step: int) -> dict[str, float]:
        """What `save` was given; empty without."""
        return dict(self._manager.metrics(step) or {})

    def wait(self) -> None:
        """Until everything saved so far is on disk."""
        with _os_errors(self.directory):
            self._manager.wait_until_finished()

    def __enter__(self) -> "Checkpoints":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: types.TracebackType | None,
    ) -> None:
        with _os_errors(self.directory):
            self._manager.close()

    def _existing(self, step: int | None) -> int:
        step = self.latest_step() if step is None else step
        if step is None or step not in self._manager.all_steps():
            raise InputError(
                f"{self.directory} holds no checkpoint{'' if step is None else f' of step {step}'};"
                f" it has {list(self._manager.all_steps())}."
            )
        return step


@contextlib.contextmanager
def _os_errors(directory: Path) -> Iterator[None]:
    """An OSError where tensorstore raises a ValueError that holds one, as of a full disk."""
    try:
        yield
    except ValueError as error:
        code = re.search(r"os_error_code='(\d+)'", str(error))
        if not code:
            raise
        number = int(code[1])
        raise OSError(number, os.strerror(number), str(directory)) from error


def refuse_other_run(
    saved: Mapping[str, Any],
    current: Mapping[str, Any],
    *,
    directory: str | Path,
    allow_other_data: bool = False,
) -> None:
    """InputError that names the first key in which a checkpoint's run differs from this one.

    An identity is flat: keys like `seed`, `data.sha256`, `model.weights_sha256`, and JSON values.
    allow_other_data: let keys that start with `data.` differ, to go on with more or other data.
    """
    current = json.loads(json.dumps(current))
    for key in sorted(set(saved) | set(current)):
        if allow_other_data and key.startswith("data."):
            continue
        if saved.get(key) != current.get(key):
            raise InputError(
                f"{directory} was trained with {key}={saved.get(key)!r}, this run has"
                f" {current.get(key)!r}; set it back, or choose another --workdir"
                + (", or --config.checkpoint.allow_other_data." if key.startswith("data.") else ".")
            )
