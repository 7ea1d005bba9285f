"""Stage `plan`: what a training needs of each device, and what would fit which chip."""

import bisect
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax
from jax.sharding import Mesh
from ml_collections import ConfigDict
from tqdm import tqdm

from tart_jax import config as configs
from tart_jax import distributed, io, sharding
from tart_jax.distributed import FSDP, TENSOR
from tart_jax.hardware import CHIPS, Chip
from tart_jax.tables import Table
from tart_jax.train import live, options, plan, plan_shapes
from tart_jax.train.plan_shapes import Shape
from tart_jax.types import InputError

CHUNK = 64  # queries of a device
CONFIGURED, CHUNKED = "as configured", "chunk_size, score_block"
STEPS = 8  # doublings and halvings of the batch that are tried
MFU = 0.4  # of the peak: what a good training reaches


class Needs(NamedTuple):
    """Bytes on each device, and floating-point operations of a step over all."""

    parameters: int
    optimizer: int
    batch: int
    temporaries: int
    flops: float

    @property
    def total(self) -> int:
        return self.parameters + self.optimizer + self.batch + self.temporaries


def run(config: ConfigDict, workdir: Path | None) -> None:
    """Prints the plan; with a workdir plan.json, too. InputError: what the training refuses."""
    if not 0 < config.room <= 1:
        raise InputError(f"config.room {config.room} is no share of a memory: above 0, at most 1.")
    chips = named(config.chips)
    words = options.parse(config.train_options, {}, "train_options")
    training = configs.load(config.train, [f"--config.{k}={v}" for k, v in words.items()])
    devices = cpus(config.devices)
    mesh = distributed.make_mesh(dict(training.mesh), devices)
    options.check(training, mesh)
    shape, tied = plan_shapes.model(training, config.shape)
    needs = estimate(training, shape, tied, mesh)
    _summary(config, training, needs).show()
    rooms = [config.room * 1e9 * chip.gigabytes for chip in chips]
    ways: dict[str, dict[int, int]] = {}
    for way in tqdm(_ways(training), desc="plan", unit="way", disable=None):
        ways[way] = _searched(training, way, shape, tied, mesh, rooms)
    _fitting(config, training, needs, ways, chips).show()
    if workdir is not None:
        io.write_json(workdir / "plan.json", needs._asdict() | {"total": needs.total, "ways": ways})


def named(words: str) -> list[Chip]:
    """The chips of these names, between commas. InputError: not in the table."""
    if words == "all":
        return list(CHIPS)
    known = {chip.name.lower(): chip for chip in CHIPS}
    names = [word.strip().lower() for word in words.split(",") if word.strip()]
    if unknown := [name for name in names if name not in known]:
        listed = ", ".join(chip.name for chip in CHIPS)
        raise InputError(f"config.chips: {unknown[0]!r} is not known; there are {listed}.")
    return [known[name] for name in names]


def cpus(count: int) -> Sequence[jax.Device]:
    """So many devices that stand for the real ones. InputError: none can be made any more."""
    if count < 1:
        raise InputError(f"config.devices is {count}; it should be 1 or more.")
    try:
        jax.config.update("jax_num_cpu_devices", count)
    except RuntimeError:  # a backend is there already, with the devices that it has
        pass
    devices = jax.devices("cpu")
    if len(devices) < count:
        raise InputError(f"config.devices {count}: this process has only {len(devices)}.")
    return devices[:count]


def estimate(training: ConfigDict, shape: Shape, tied: bool, mesh: Mesh) -> Needs:
    """What a step needs, from abstract shapes."""
    state, step, batch = plan_shapes.abstract(training, shape, tied, mesh)
    key = jax.eval_shape(lambda: jax.random.key(0, impl=training.prng))
    temporaries = live.peak(jax.make_jaxpr(step)(state, batch, key), _size(state, shape, mesh))
    parts = list(plan.parts(state))
    weights = [part for part in parts if part.path.startswith("params/")]
    held, gathered = sum(part.per_device for part in weights), 0
    if mesh.shape.get(FSDP, 1) > 1:  # each layer's weights are made whole where they are used
        gathered = sum(part.total for part in weights) // mesh.shape.get(TENSOR, 1)
    rows = sum(live.bytes_of(value) for value in batch.values()) // sharding.batch_devices(mesh)
    moments = sum(part.per_device for part in parts) - held
    work = plan_shapes.operations(shape, batch)
    return Needs(held, moments, rows, temporaries + gathered, work)


def _size(state: Any, shape: Shape, mesh: Mesh) -> live.Size:
    """An array's bytes on a device: what is as large as a weight is whole, the rest divided."""
    rows, tensor = sharding.batch_devices(mesh), mesh.shape.get(TENSOR, 1)
    weights = {leaf.shape for leaf in jax.tree.leaves(state.params) if len(leaf.shape) > 1}
    inner = plan_shapes.inner(shape)

    def size(aval: Any) -> int:
        whole, dims = live.bytes_of(aval), getattr(aval, "shape", ())
        if dims in weights:
            return whole // tensor
        spread = rows if dims and dims[0] % rows == 0 else 1
        return whole // (spread * (tensor if inner & set(dims) else 1))

    return size


def _ways(training: ConfigDict) -> list[str]:
    """The ways to save memory, the first as configured."""
    kind = plan_shapes.kind(training)
    if kind == "reader":  # it has neither
        return [CONFIGURED]
    remat = [f"remat={name}" for name in ("dots", "layer") if name != training.model.remat]
    return [CONFIGURED, *remat, *([CHUNKED] if kind == "dual" else [])]


def _changed(training: ConfigDict, way: str, mesh: Mesh, queries: int) -> ConfigDict | None:
    """The training with so many queries in that way; None: its options do not allow it."""
    changes: dict[str, Any] = {"data.batch_size": queries}
    if way.startswith("remat="):
        changes["model.remat"] = way.partition("=")[2]
    if way == CHUNKED:
        micro = queries // training.optimizer.accumulation
        part = math.gcd(micro, CHUNK * sharding.batch_devices(mesh))
        changes |= {"objective.chunk_size": part, "objective.score_block": part}
    other = training.copy_and_resolve_references()
    other.update_from_flattened_dict(changes)
    try:
        options.check(other, mesh)
    except InputError:
        return None
    return other


def _searched(
    training: ConfigDict,
    way: str,
    shape: Shape,
    tied: bool,
    mesh: Mesh,
    rooms: Sequence[float],
) -> dict[int, int]:
    """queries -> bytes of a device, of batches 2**k times that asked for: as many as it takes to
    find the largest that fits each room."""
    asked = training.data.batch_size
    sizes = [asked >> k for k in range(STEPS, 0, -1) if asked % (1 << k) == 0]
    sizes += [asked << k for k in range(STEPS + 1)]
    batches = {n: other for n in sizes if (other := _changed(training, way, mesh, n)) is not None}
    known: dict[int, int] = {}

    def needed(queries: int) -> int:
        if queries not in known:
            known[queries] = estimate(batches[queries], shape, tied, mesh).total
        return known[queries]

    needed(asked)
    for room in rooms:
        bisect.bisect_right(list(batches), room, key=needed)
    return known


def _summary(config: ConfigDict, training: ConfigDict, needs: Needs) -> Table:
    rows = [
        [name.replace("_", " "), f"{value / 1e9:.2f} GB"]
        for name, value in needs._asdict().items()
        if name != "flops"
    ]
    rows += [["in all", f"{needs.total / 1e9:.2f} GB"]]
    rows += [["FLOPs of a step, all devices", f"{needs.flops:.3g}"]]
    note = "Temporaries are estimated from the jaxpr; texts count with their full length."
    title = f"{config.train}: {training.data.batch_size:,} queries on {config.devices} devices"
    return Table(title, ["of each device", ""], rows, note)


def _fitting(
    config: ConfigDict,
    training: ConfigDict,
    needs: Needs,
    ways: dict[str, dict[int, int]],
    chips: Sequence[Chip],
) -> Table:
    """The largest batch of each way on each chip."""
    asked = training.data.batch_size

    def most(chip: Chip, known: dict[int, int]) -> str:
        room = config.room * chip.gigabytes * 1e9
        count = max((queries for queries, total in known.items() if total <= room), default=0)
        more = "+" if count == asked << STEPS else ""
        return f"{count:,}{more}" + ("" if count >= asked else " (!)")

    rows = [
        [
            f"{chip.name}, {chip.gigabytes:.0f} GB",
            f"{1e3 * needs.flops / (MFU * chip.flops * config.devices):.1f}",
            *(most(chip, known) for known in ways.values()),
        ]
        for chip in chips
    ]
    used = [f"{known[asked] / 1e9:.2f}" for known in ways.values()]
    rows.append([f"GB of each device at {asked:,}", "", *used])
    note = (
        f"Largest of {asked:,} times a power of two, on {config.devices} devices together, with"
        f" {config.room:.0%} of each memory. (!): fewer than asked for. ms: of a step as"
        f" configured, at {MFU:.0%} of the bfloat16 peak."
    )
    if CHUNKED in ways:
        note += f" {CHUNKED}: {CHUNK} queries a device at a time, or as divides the batch."
    return Table("Queries of a step that fit", ["device", "ms", *ways], rows, note)
