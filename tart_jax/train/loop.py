"""The training loop, with logging, evaluation and checkpoints beside it."""

import logging
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import jax
from jax.sharding import Mesh

from tart_jax import distributed, io, sharding
from tart_jax.checkpoints import Checkpoints, refuse_other_run
from tart_jax.data.batching import Batch
from tart_jax.models import weights
from tart_jax.train import dev, models
from tart_jax.train import state as train_state
from tart_jax.train.metrics import LateMetrics, MetricLog
from tart_jax.train.models import Model
from tart_jax.train.progress import Progress
from tart_jax.train.refresh import Feed, Refresh
from tart_jax.train.state import TrainState
from tart_jax.train.step import Step

log = logging.getLogger(__name__)

BEST = f"dev/{dev.MEASURE}"


class Setup(NamedTuple):
    """What stays the same over a run.

    feed(start): this process's batches from update `start` on. score(params): what the dev set says
    of them, named `dev/...` and `BEST` among them; None without a dev set. identity: see
    `checkpoints.refuse_other_run`. refresh: what mines the negatives anew; None: nothing does.
    """

    workdir: Path
    mesh: Mesh
    model: Model
    feed: Feed
    score: Callable[[Any], dict[str, float]] | None
    step: Step
    key: jax.Array
    identity: dict[str, Any]
    refresh: Refresh | None = None

    def batches(self, start: int) -> Iterator[Batch]:
        """The batches from update `start` on, with the negatives that were mined last."""
        mined = self.refresh.feed if self.refresh else None
        return (mined or self.feed)(start)


class Cadence(NamedTuple):
    """How often, in updates. The end is logged, evaluated and saved whatever the numbers."""

    steps: int
    log: int
    eval: int
    save: int

    def due(self, step: int, every: int) -> bool:
        return step % every == 0 or step == self.steps


def train(
    setup: Setup,
    checkpoints: Checkpoints,
    state: TrainState,
    earlier: dict[str, float],
    cadence: Cadence,
    *,
    tensorboard: bool,
) -> tuple[TrainState, dict[str, float]]:
    """From the step of `state` to the last: (state, totals); `earlier` are the totals before.

    DivergedError: a loss that is no number; checkpoints hold only states from before.
    """
    start, main = int(state.step), distributed.is_main_process()
    rows, feed, late = sharding.over_batch(setup.mesh), setup.batches(start), LateMetrics()
    with (
        MetricLog(setup.workdir, start=start, tensorboard=tensorboard, write=main) as lines,
        Progress(
            start=start, steps=cadence.steps, show=main,
            processes=jax.process_count(), earlier=earlier,
        ) as progress,
        jax.transfer_guard("disallow"),
    ):  # fmt: skip

        def report(read: int | None) -> None:
            if read and cadence.due(read, cadence.log):
                lines.write(read, late.take() | progress.take())

        for step in range(start + 1, cadence.steps + 1):
            if setup.refresh and setup.refresh.due(step - 1):
                report(late.flush())
                with progress.paused(), jax.transfer_guard("allow"):
                    setup.refresh(step - 1, state.params)
                feed = setup.batches(step - 1)
            with progress.waiting():
                batch = next(feed)
            state, metrics = setup.step(state, sharding.to_global(batch, rows), setup.key)
            progress.count(batch)
            report(late.push(step, metrics))
            if step == start + 1:
                read = late.flush()
                progress.forget()  # most of the first step is the compiler's
                report(read)
            score = setup.score if cadence.due(step, cadence.eval) else None
            if score or cadence.due(step, cadence.save):
                report(late.flush())  # nothing is saved before its loss is known to be a number
                with progress.paused(), jax.transfer_guard("allow"):
                    _evaluate_and_save(setup, checkpoints, step, state, score, lines, progress)
            progress.show(late.loss)
        return state, progress.totals()


def _evaluate_and_save(
    setup: Setup,
    checkpoints: Checkpoints,
    step: int,
    state: TrainState,
    score: Callable[[Any], dict[str, float]] | None,
    lines: MetricLog,
    progress: Progress,
) -> None:
    scores = score(state.params) if score else {}
    if scores:  # before it is saved: a resumed run does not evaluate it again
        lines.write(step, scores)
    save(setup, checkpoints, step, state, progress.totals(), scores)
    if scores:
        progress.say(f"step {step}: {BEST} {scores[BEST]:.4f}")


def save(
    setup: Setup,
    checkpoints: Checkpoints,
    step: int,
    state: TrainState,
    totals: dict[str, float],
    scores: dict[str, float],
) -> None:
    """A checkpoint after update `step`: the data go on with batch number `step`."""
    mined = {"mined": setup.refresh.used} if setup.refresh else {}
    checkpoints.save(
        step,
        state,
        data_state={"next_batch": step, "totals": totals} | mined,
        identity=setup.identity,
        metrics=scores or None,
    )


def resume(
    setup: Setup, checkpoints: Checkpoints, state: TrainState, *, allow_other_data: bool
) -> tuple[TrainState, dict[str, float]]:
    """(state, totals) of the latest checkpoint, or as given. InputError: another run's."""
    step = checkpoints.latest_step()
    if step is None:
        return state, {}
    data_state, saved = checkpoints.position(step)
    refuse_other_run(
        saved,
        setup.identity,
        directory=checkpoints.directory,
        allow_other_data=allow_other_data,
    )
    if setup.refresh:
        setup.refresh.restore(step, data_state["mined"])
    target = train_state.abstract(state)
    jax.tree.map(lambda leaf: leaf.delete(), state)  # or memory would have to hold both
    log.info("Going on with %s after step %d.", checkpoints.directory, step)
    return checkpoints.restore(target, step).state, data_state["totals"]


def finish(
    setup: Setup, checkpoints: Checkpoints, state: TrainState, totals: dict[str, float]
) -> None:
    """Exports the best checkpoint (without evaluations the last) and writes result.json."""
    checkpoints.wait()
    last, best = int(state.step), checkpoints.best_step()
    if best is not None and best != last:
        state = checkpoints.restore(train_state.abstract(state), best).state
    if not distributed.is_main_process():
        return
    directory = setup.workdir / "model"
    models.export(directory, setup.model, state.params)
    scores = {} if best is None else checkpoints.metrics(best)
    result = {
        "steps": last,
        "best_step": best,
        "scores": scores,
        "wall_seconds": round(totals["wall_seconds"], 3),
        "examples_per_second": totals["examples"] / max(totals["train_seconds"], 1e-9),
        "weights_sha256": weights.params_sha256(state.params),
    }
    io.write_json(setup.workdir / "result.json", result)
    log.info("%d steps in %.0f s; the model is %s.", last, totals["wall_seconds"], directory)
