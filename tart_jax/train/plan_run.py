"""Stage `plan`: what a training needs of each device, and what would fit which chip."""

import bisect
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np
from jax.sharding import Mesh
from ml_collections import ConfigDict
from tqdm import tqdm

from tart_jax import config as configs
from tart_jax import distributed, io, sharding
from tart_jax.distributed import FSDP, TENSOR
from tart_jax.hardware import CHIPS, Chip
from tart_jax.models import cross_encoder, dual_encoder, encoders, flops, pretrained
from tart_jax.models.bert import BertConfig
from tart_jax.models.cross_encoder import CrossEncoderConfig
from tart_jax.models.dual_encoder import DualEncoderConfig
from tart_jax.models.encoders import EncoderConfig
from tart_jax.tables import Table
from tart_jax.train import initial, live, objective_table, options, plan
from tart_jax.train.build import build, load_trainable
from tart_jax.train.state import TrainState
from tart_jax.train.step import Step
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
    _require_known(training)
    shape, tied = encoder(training, config.shape)
    needs = estimate(training, shape, tied, mesh)
    _summary(config, training, needs).show()
    rooms = [config.room * 1e9 * chip.gigabytes for chip in chips]
    ways: dict[str, dict[int, int]] = {}
    for way in tqdm(_ways(training), desc="plan", unit="way", disable=None):
        ways[way] = _searched(training, way, shape, tied, mesh, rooms)
    _fitting(config, training, needs, ways, chips).show()
    if workdir is not None:
        io.write_json(workdir / "plan.json", needs._asdict() | {"total": needs.total, "ways": ways})


def _require_known(training: ConfigDict) -> None:
    if training.model.query_towers:
        raise InputError("plan knows no class towers; plan the training without query_towers.")
    if objective_table.find(training.objective.name).kind == "reader":
        raise InputError(
            f"plan knows dual and cross-encoders; objective {training.objective.name!r} trains a"
            " reader, whose memory only a run can tell (tart-jax train, few steps)."
        )


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


def encoder(training: ConfigDict, shape: str) -> tuple[EncoderConfig, bool]:
    """(the training's encoder, whether its towers are one).

    shape: a config.json; "": as the training's source says.
    """
    want = training.model
    if shape:
        found = encoders.config_from_hf(io.read_json(io.existing(shape, "config.json")))
        tied = True
    else:
        found, tied = pretrained.outline(want.source)
    if want.layers is not None:
        found, _ = encoders.first_layers(found, {}, want.layers)
    return initial.with_dropout(found, want.dropout), tied if want.tied is None else want.tied


def abstract(
    training: ConfigDict, shape: EncoderConfig, tied: bool, mesh: Mesh
) -> tuple[TrainState, Step, plan.Batch]:
    """A training's state, step and batch, without a number in them."""
    want, data = training.model, training.data
    form: dict[str, Any] = dict(dtype=want.dtype, remat=want.remat, scan=want.scan)
    b, n = data.batch_size, 1 + data.num_negatives
    if objective_table.find(training.objective.name).kind == "dual":
        dual = DualEncoderConfig(
            shape, pooling=want.pooling or "mean", projection=want.projection,
            normalize=bool(want.normalize), tied=tied, **form,
        )  # fmt: skip
        graphdef, params = dual_encoder.graphdef(dual), dual_encoder.abstract_params(dual)
        batch = plan.text_batch(
            b, n, query_length=data.query_length, document_length=data.document_length,
            known_positives=data.known_positives, mesh=mesh,
        )  # fmt: skip
    else:
        cross = CrossEncoderConfig(
            shape, num_labels=want.num_labels or 2, dropout=want.dropout, **form
        )
        graphdef, params = cross_encoder.graphdef(cross), cross_encoder.abstract_params(cross)
        batch = plan.pair_batch(b, n, data.pair_length, mesh)
    begun = jax.eval_shape(lambda p: load_trainable(training).begin(p, seed=0), params)
    return *build(training, graphdef, begun, mesh), batch


def estimate(training: ConfigDict, shape: EncoderConfig, tied: bool, mesh: Mesh) -> Needs:
    """What a step needs, from abstract shapes."""
    state, step, batch = abstract(training, shape, tied, mesh)
    key = jax.eval_shape(lambda: jax.random.key(0, impl=training.prng))
    temporaries = live.peak(jax.make_jaxpr(step)(state, batch, key), _size(state, shape, mesh))
    parts = list(plan.parts(state))
    weights = [part for part in parts if part.path.startswith("params/")]
    held, gathered = sum(part.per_device for part in weights), 0
    if mesh.shape.get(FSDP, 1) > 1:  # each layer's weights are made whole where they are used
        gathered = sum(part.total for part in weights) // mesh.shape.get(TENSOR, 1)
    rows = sum(live.bytes_of(value) for value in batch.values()) // sharding.batch_devices(mesh)
    moments = sum(part.per_device for part in parts) - held
    texts = [
        batch[name] for name in ("query_tokens", "document_tokens", "pair_tokens") if name in batch
    ]
    lengths = [np.full(math.prod(text.shape[:-1]), text.shape[-1]) for text in texts]
    work = flops.training(shape, np.concatenate(lengths))
    return Needs(held, moments, rows, temporaries + gathered, work)


def _size(state: Any, shape: EncoderConfig, mesh: Mesh) -> live.Size:
    """An array's bytes on a device: what is as large as a weight is whole, the rest divided."""
    rows, tensor = sharding.batch_devices(mesh), mesh.shape.get(TENSOR, 1)
    weights = {leaf.shape for leaf in jax.tree.leaves(state.params) if len(leaf.shape) > 1}
    if isinstance(shape, BertConfig):
        inner = {shape.intermediate_size, shape.num_attention_heads}
    else:
        inner = {shape.d_ff, shape.num_heads}

    def size(aval: Any) -> int:
        whole, dims = live.bytes_of(aval), getattr(aval, "shape", ())
        if dims in weights:
            return whole // tensor
        spread = rows if dims and dims[0] % rows == 0 else 1
        return whole // (spread * (tensor if inner & set(dims) else 1))

    return size


def _ways(training: ConfigDict) -> list[str]:
    """The ways to save memory, the first as configured."""
    dual = objective_table.find(training.objective.name).kind == "dual"
    remat = [f"remat={name}" for name in ("dots", "layer") if name != training.model.remat]
    return [CONFIGURED, *remat, *([CHUNKED] if dual else [])]


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
    shape: EncoderConfig,
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
        f" configured, at {MFU:.0%} of the bfloat16 peak. {CHUNKED}: {CHUNK} queries a device at a"
        " time, or as divides the batch."
    )
    return Table("Queries of a step that fit", ["device", "ms", *ways], rows, note)
