"""Stage `train`: a pretrained model and examples to a dual encoder that follows instructions."""

import dataclasses
import fnmatch
import functools
import logging
import math
from pathlib import Path
from typing import Any

import jax
import optax
from jax.sharding import Mesh
from ml_collections import ConfigDict

from tart_jax import distributed, io, sharding
from tart_jax.checkpoints import Checkpoints
from tart_jax.data import instructions
from tart_jax.data.batching import Collator, Sampler
from tart_jax.data.mixture import Mixture, mix, open_sources, parse_weights
from tart_jax.data.pipeline import Batches
from tart_jax.models import dual_encoder, pretrained
from tart_jax.models.pretrained import Format, Pretrained
from tart_jax.train import dev, loop, objectives, optimizer
from tart_jax.train import state as train_state
from tart_jax.train.loop import Cadence, Setup
from tart_jax.train.state import TrainState
from tart_jax.train.step import Step, make_step
from tart_jax.types import InputError

log = logging.getLogger(__name__)

# What may change between a run and its resumption; files are compared by content, not by path.
FREE = ("mesh.*", "sharding_rules", "checkpoint.*", "log.*", "eval.*", "model.source",
        "model.remat",
        "data.train", "data.instructions", "data.workers", "data.prefetch")  # fmt: skip


def run(config: ConfigDict, workdir: Path) -> None:
    """Trains, or goes on where `workdir` stopped: checkpoints, logs, `model`, result.json."""
    mesh = distributed.make_mesh(config.mesh.to_dict())
    check(config, mesh)
    mixture = load_mixture(config)
    config = with_steps(config, mixture)
    model = load_model(config)
    batches, fingerprints = load_batches(config, mixture, model)
    dev_set = load_dev(config)
    identity = options(config) | fingerprints
    state, step = build(config, model, mesh)
    key = jax.device_put(jax.random.key(config.seed, impl=config.prng), sharding.replicated(mesh))
    feed = functools.partial(
        batches.iterate, workers=config.data.workers, prefetch=config.data.prefetch
    )
    setup = Setup(Path(workdir), mesh, model, feed, dev_set, step, key, identity)
    cadence = Cadence(
        config.steps, config.log.every, config.eval.every, config.checkpoint.save_every
    )
    with Checkpoints(
        setup.workdir / "checkpoints", keep_last=config.checkpoint.keep_last, best_metric=loop.BEST
    ) as checkpoints:
        allowed = config.checkpoint.allow_other_data
        state, earlier = loop.resume(setup, checkpoints, state, allow_other_data=allowed)
        state, totals = loop.train(
            setup,
            checkpoints,
            state,
            earlier,
            cadence,
            tensorboard=config.log.tensorboard,
        )
        loop.finish(setup, checkpoints, state, totals)


def check(config: ConfigDict, mesh: Mesh) -> None:
    """InputError for numbers that do not fit each other, before anything is loaded."""
    parts = mesh.shape[distributed.DATA] * config.optimizer.accumulation
    if config.data.batch_size % parts or config.data.batch_size < 1:
        raise InputError(
            f"data.batch_size {config.data.batch_size} is not a multiple of {parts} (devices of the"
            f" data axis times optimizer.accumulation); try"
            f" {max(1, config.data.batch_size // parts) * parts}."
        )
    if config.model.dropout == 1:
        raise InputError("config.model.dropout is 1, which leaves nothing; 0.1 is usual.")
    if config.epochs < 0:
        raise InputError(
            f"config.epochs is {config.epochs}; it should be 0 (steps decides) or more."
        )
    names = (
        "data.known_positives",
        "steps",
        "log.every",
        "eval.every",
        "checkpoint.save_every",
        "optimizer.accumulation",
    )
    for name in names:
        if (value := _get(config, name)) < 1:
            raise InputError(f"config.{name} is {value}; it should be 1 or more.")
    for name in ("data.hard_ratio", "data.instruction_dropout", "model.dropout"):
        if not 0 <= (value := _get(config, name)) <= 1:
            raise InputError(f"config.{name} is {value}; a probability lies in 0..1.")
    if config.objective.temperature <= 0:
        raise InputError(f"objective.temperature is {config.objective.temperature}; 0.05 is usual.")
    known = ("threefry2x32", "rbg", "unsafe_rbg")
    if config.prng not in known:
        raise InputError(f"config.prng {config.prng!r} is not one of {', '.join(known)}.")


def load_model(config: ConfigDict) -> Pretrained:
    """The initial model, with the run's dropout and the format that it will be trained to read."""
    want = config.model
    model = pretrained.load(
        want.source,
        pooling=want.pooling,
        normalize=want.normalize,
        projection=want.projection,
        tied=want.tied,
        dtype=want.dtype,
        remat=want.remat,
    )
    bert = dataclasses.replace(
        model.config.bert,
        hidden_dropout_prob=want.dropout,
        attention_probs_dropout_prob=want.dropout,
    )
    data = config.data
    longest = max(data.query_length, data.document_length)
    if longest > bert.max_position_embeddings:
        raise InputError(
            f"data.query_length or document_length is {longest}, the model has"
            f" {bert.max_position_embeddings} positions; lower it."
        )
    separator = data.separator
    form = Format(data.instruction_order, separator, data.query_length, data.document_length)
    return dataclasses.replace(
        model, config=dataclasses.replace(model.config, bert=bert), format=form, format_known=True
    )


def load_mixture(config: ConfigDict) -> Mixture:
    """The training data: which tasks, how much of each; said once in the log."""
    data = config.data
    mixture = mix(
        open_sources(data.train),
        mixing=data.mixing,
        temperature=data.mixing_temperature,
        weights=parse_weights(data.weights),
        cap=data.cap,
        limit=data.limit,
        held_out=data.held_out,
        seed=config.seed,
    )
    for part in mixture.components if distributed.is_main_process() else ():
        log.info("%s: %s examples, %.1f%%", part.task, f"{len(part.examples):,}", 100 * part.share)
    return mixture


def with_steps(config: ConfigDict, mixture: Mixture) -> ConfigDict:
    """The config with `steps` worked out where it asks for `epochs`."""
    if config.epochs:
        config = config.copy_and_resolve_references()
        config.steps = math.ceil(config.epochs * mixture.epoch / config.data.batch_size)
    return config


def load_batches(
    config: ConfigDict, mixture: Mixture, model: Pretrained
) -> tuple[Batches, dict[str, Any]]:
    """(batches, fingerprints of what they and the model are made from)."""
    data = config.data
    table = instructions.read_table(data.instructions) if data.instructions else {}
    if table:
        instructions.require_tasks(table, mixture.uninstructed, data.instructions)
    separator = model.tokenizer.separator if data.separator is None else data.separator
    sampler = Sampler(
        table={task: row.instructions for task, row in table.items()},
        num_negatives=data.num_negatives,
        hard_ratio=data.hard_ratio,
        instruction_dropout=data.instruction_dropout,
        order=data.instruction_order,
        separator=separator,
    )
    collator = Collator(
        model.tokenizer,
        num_negatives=data.num_negatives,
        query_length=data.query_length,
        document_length=data.document_length,
        duplicates=data.duplicates,
        known_positives=data.known_positives,
    )
    batches = Batches(
        mixture,
        sampler,
        collator,
        batch_size=data.batch_size,
        seed=config.seed,
        homogeneous=data.homogeneous,
        process_index=jax.process_index(),
        process_count=jax.process_count(),
    )
    fingerprints = {
        "model.weights_sha256": model.weights_sha256,
        "model.tokenizer": model.tokenizer.fingerprint(),
        "data.sha256": mixture.fingerprint,
        "data.instructions_sha256": _sha256(data.instructions),
    }
    return batches, fingerprints


def _sha256(table: str) -> str:
    return io.sha256(instructions.locate(table)) if table else ""


def load_dev(config: ConfigDict) -> dev.DevSet | None:
    """What `eval.directory` holds; None without one."""
    if not config.eval.directory:
        return None
    path = config.eval.instructions
    return dev.load(
        config.eval.directory,
        table=instructions.read_table(path) if path else {},
        max_queries=config.eval.max_queries,
        max_documents=config.eval.max_documents,
    )


def build(config: ConfigDict, model: Pretrained, mesh: Mesh) -> tuple[TrainState, Step]:
    """(fresh state on the mesh, the compiled step)."""
    want = config.optimizer
    rate = optimizer.schedule(
        want.schedule,
        peak_lr=want.peak_lr,
        warmup_steps=want.warmup_steps,
        steps=config.steps,
        end_lr_ratio=want.end_lr_ratio,
    )
    adamw: optax.GradientTransformation = optimizer.build(
        rate,
        b1=want.b1,
        b2=want.b2,
        eps=want.eps,
        weight_decay=want.weight_decay,
        decay_vectors=want.decay_vectors,
        clip_norm=want.clip_norm,
    )
    state, shardings = train_state.create(
        model.params, adamw, mesh=mesh, rules=config.sharding_rules
    )
    objective = objectives.dual_contrastive(
        dual_encoder.graphdef(model.config), temperature=config.objective.temperature, mesh=mesh
    )
    step = make_step(
        objective,
        adamw,
        rate,
        accumulation=want.accumulation,
        dropout=config.model.dropout > 0,
        mesh=mesh,
        shardings=shardings,
    )
    return state, step


def options(config: ConfigDict) -> dict[str, Any]:
    """Flat: every option that a resumed run must share with its beginning."""
    flat: dict[str, Any] = {}
    for name, value in config.to_dict().items():
        for key, leaf in value.items() if isinstance(value, dict) else ((None, value),):
            flat[f"{name}.{key}" if key else name] = leaf
    return {
        key: value
        for key, value in flat.items()
        if not any(fnmatch.fnmatch(key, free) for free in FREE)
    }


def _get(config: ConfigDict, name: str) -> Any:
    for part in name.split("."):
        config = config[part]
    return config
