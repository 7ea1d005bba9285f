"""The training loop, with logging, evaluation and checkpoints beside it."""

import contextlib
import functools
import logging
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import jax
from jax.sharding import Mesh, NamedSharding

from tart_jax import compilation, distributed, io, sharding
from tart_jax.checkpoints import Checkpoints, refuse_other_run
from tart_jax.data.batching import Batch
from tart_jax.models import flops, weights
from tart_jax.models.reader import Reader
from tart_jax.train import dev, dev_answers, models
from tart_jax.train import state as train_state
from tart_jax.train.initial import Model
from tart_jax.train.interruption import Interruption
from tart_jax.train.metrics import LateMetrics, MetricLog
from tart_jax.train.objectives import Metrics
from tart_jax.train.progress import Progress
from tart_jax.train.refresh import Feed, Refresh
from tart_jax.train.state import TrainState
from tart_jax.train.step import Step
from tart_jax.train.trainable import ALL, Trainable
from tart_jax.types import DivergedError

log = logging.getLogger(__name__)

# The score whose best checkpoint becomes the model.
BEST_OF_RANKING, BEST_OF_READING = f"dev/{dev.MEASURE}", f"dev/{dev_answers.MEASURE}"


class Setup(NamedTuple):
    """What stays the same over a run.

    feed: the batches before any mining. score(params): what the dev set says
    of them, named `dev/...` and `best` among them; None without a dev set. identity: see
    `checkpoints.refuse_other_run`. refresh: what mines the negatives anew; None: nothing does.
    trainable: what the step updates. compile_once: a step that compiles again is an error.
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
    trainable: Trainable = ALL
    compile_once: bool = False

    @property
    def best(self) -> str:
        """The score that the best checkpoint has most of."""
        return BEST_OF_READING if isinstance(self.model, Reader) else BEST_OF_RANKING

    @property
    def source(self) -> Feed:
        """What gives the batches now: with the negatives that were mined last."""
        return (self.refresh.feed if self.refresh else None) or self.feed

    def batches(self, start: int) -> Iterator[Batch]:
        """The batches from update `start` on."""
        return self.source.batches(start)

    def refreshed(self, step: int, params: Any) -> Iterator[Batch]:
        """The batches after update `step`, whose negatives are mined now with these params."""
        assert self.refresh is not None
        self.refresh(step, self.trainable.merged(params))
        return self.batches(step)


class Earlier(NamedTuple):
    """What a run had counted: `totals` of Progress, `sums` of LateMetrics since its last line."""

    totals: dict[str, float]
    sums: dict[str, list[float]]


class Cadence(NamedTuple):
    """How often, in updates. The end is logged, evaluated and saved whatever the numbers."""

    steps: int
    log: int
    eval: int
    save: int

    def due(self, step: int, every: int) -> bool:
        return step % every == 0 or step == self.steps


class _Report(NamedTuple):
    """Writes the line of metrics that is due after an update whose metrics were read."""

    lines: MetricLog
    late: LateMetrics
    progress: Progress
    cadence: Cadence

    def __call__(self, read: int | None, *, forget: bool = False) -> None:
        if forget:
            self.progress.forget()
        if read and self.cadence.due(read, self.cadence.log):
            self.lines.write(read, self.late.take() | self.progress.take())


def train(
    setup: Setup,
    checkpoints: Checkpoints,
    state: TrainState,
    earlier: Earlier,
    cadence: Cadence,
    *,
    tensorboard: bool,
    max_loss: float | None = None,
) -> tuple[TrainState, dict[str, float]]:
    """From the step of `state` to the last: (state, totals).

    DivergedError: a loss that is no number or above `max_loss`; checkpoints hold only states from
    before. EndedError: a signal; the last checkpoint is of the step that it names.
    """
    start, main = int(state.step), distributed.is_main_process()
    rows, feed = sharding.over_batch(setup.mesh), setup.batches(start)
    late = LateMetrics(totals=earlier.sums, max_loss=max_loss)
    with (
        MetricLog(setup.workdir, start=start, tensorboard=tensorboard, write=main) as lines,
        Progress(
            start=start, steps=cadence.steps, show=main, earlier=earlier.totals, **_shares(setup)
        ) as progress,
        Interruption() as interruption,
        _naming_queries(setup),
        jax.transfer_guard("disallow"),
    ):  # fmt: skip
        report = _Report(lines, late, progress, cadence)
        for step in range(start + 1, cadence.steps + 1):
            if setup.refresh and setup.refresh.due(step - 1):
                report(late.flush())
                with progress.paused(), jax.transfer_guard("allow"):
                    feed = setup.refreshed(step - 1, state.params)
            with progress.waiting():
                batch = next(feed)
            state, metrics = _updated(setup, state, batch, rows, first=step == start + 1)
            progress.count(batch)
            report(late.push(step, metrics))
            if step == start + 1:
                report(late.flush(), forget=True)  # most of the first step is the compiler's
            score = setup.score if cadence.due(step, cadence.eval) else None
            asked = interruption.asked(step)
            if score or asked or cadence.due(step, cadence.save):
                _evaluate_and_save(setup, checkpoints, step, state, score, report)
            if asked and step < cadence.steps:
                raise interruption.error(step)  # leaving `checkpoints` waits for the file
            progress.show(late.loss)
        return state, progress.totals()


def _shares(setup: Setup) -> dict[str, Any]:
    """What `Progress` has to know of the model and the mesh."""
    encoder = getattr(setup.model.config, "encoder", None)  # a reader's work is not counted
    return {
        "parts": sharding.batch_part(setup.mesh)[1],
        "flops": functools.partial(flops.training, encoder) if encoder else None,
        "devices": setup.mesh.size,
    }


def _updated(
    setup: Setup, state: TrainState, batch: Batch, rows: NamedSharding, *, first: bool
) -> tuple[TrainState, Metrics]:
    """One update, which only the first of a run may have to compile."""
    placed = sharding.to_global(batch, rows)
    if first:
        return setup.step(state, placed, setup.key)
    with compilation.none_expected("a later step", strict=setup.compile_once):
        return setup.step(state, placed, setup.key)


@contextlib.contextmanager
def _naming_queries(setup: Setup) -> Iterator[None]:
    """Says which batch a training diverged at: `diverged.json` names its queries."""
    try:
        yield
    except DivergedError as error:
        part = f"-{jax.process_index()}" if jax.process_count() > 1 else ""
        path = setup.workdir / f"diverged{part}.json"
        queries = setup.source.query_ids(error.step - 1)
        io.write_json(path, {"step": error.step, "query_ids": queries})
        raise DivergedError(f"{error} Its queries are in {path}.", error.step) from error


def _evaluate_and_save(
    setup: Setup,
    checkpoints: Checkpoints,
    step: int,
    state: TrainState,
    score: Callable[[Any], dict[str, float]] | None,
    report: _Report,
) -> None:
    report(report.late.flush())  # nothing is saved before its loss is known to be a number
    with report.progress.paused(), jax.transfer_guard("allow"):
        scores = score(setup.trainable.merged(state.params)) if score else {}
        if scores:  # before it is saved: a resumed run does not evaluate it again
            report.lines.write(step, scores)
        now = Earlier(report.progress.totals(), report.late.totals)
        save(setup, checkpoints, step, state, now, scores)
    if scores:
        report.progress.say(f"step {step}: {setup.best} {scores[setup.best]:.4f}")


def save(
    setup: Setup,
    checkpoints: Checkpoints,
    step: int,
    state: TrainState,
    now: Earlier,
    scores: dict[str, float],
) -> None:
    """A checkpoint after update `step`: the data go on with batch number `step`."""
    mined = {"mined": setup.refresh.used} if setup.refresh else {}
    checkpoints.save(
        step,
        state,
        data_state={"next_batch": step, **now._asdict()} | mined,
        identity=setup.identity,
        metrics=scores or None,
    )


def resume(
    setup: Setup, checkpoints: Checkpoints, state: TrainState, *, allow_other_data: bool
) -> tuple[TrainState, Earlier]:
    """The state and counts of the latest checkpoint, or as given. InputError: another run's."""
    step = checkpoints.latest_step()
    if step is None:
        return state, Earlier({}, {})
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
    earlier = Earlier(data_state["totals"], data_state["sums"])
    return checkpoints.restore(target, step).state, earlier


def finish(
    setup: Setup, checkpoints: Checkpoints, state: TrainState, totals: dict[str, float]
) -> None:
    """Exports the best checkpoint (without evaluations the last) and writes result.json."""
    checkpoints.wait()
    last, best = int(state.step), checkpoints.best_step()
    if best is not None and best != last:
        state = checkpoints.restore(train_state.abstract(state), best).state
    params = sharding.gather(setup.trainable.merged(state.params))
    rank = setup.trainable.rank
    trained = sharding.gather(setup.trainable.split(state.params)[0]) if rank else {}
    if not distributed.is_main_process():
        return
    directory = setup.workdir / "model"
    models.export(directory, setup.model, params)
    if rank:
        alpha = setup.trainable.alpha
        where = setup.workdir / "adapter"
        models.export_adapter(where, setup.model, trained, rank=rank, alpha=alpha)
    scores = {} if best is None else checkpoints.metrics(best)
    result = {
        "steps": last,
        "best_step": best,
        "scores": scores,
        "wall_seconds": round(totals["wall_seconds"], 3),
        "examples_per_second": totals["examples"] / max(totals["train_seconds"], 1e-9),
        "weights_sha256": weights.params_sha256(params),
    }
    io.write_json(setup.workdir / "result.json", result)
    log.info("%d steps in %.0f s; the model is %s.", last, totals["wall_seconds"], directory)
