"""Stage `train`: a pretrained model and examples to a model that follows instructions.

A dual encoder or a cross-encoder, as the objective wants it.
"""

import dataclasses
import functools
import logging
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
from jax.sharding import Mesh
from ml_collections import ConfigDict

from tart_jax import distributed, io, sharding
from tart_jax.checkpoints import Checkpoints
from tart_jax.data import instructions
from tart_jax.data.batching import Sampler
from tart_jax.data.mixture import Mixture, mix, open_sources, parse_weights
from tart_jax.data.pipeline import Batches
from tart_jax.data.reading import ReadingSampler
from tart_jax.models.pretrained import Pretrained
from tart_jax.models.reader import Reader, Writer
from tart_jax.train import (
    dev,
    dev_answers,
    dev_pairs,
    initial,
    loop,
    models,
    objective_table,
    options,
)
from tart_jax.train.build import build, load_trainable, shardings
from tart_jax.train.initial import Model
from tart_jax.train.loop import Cadence, Feed, Setup
from tart_jax.train.refresh import Refresh
from tart_jax.types import InputError

log = logging.getLogger(__name__)


def run(config: ConfigDict, workdir: Path) -> None:
    """Trains, or goes on where `workdir` stopped: checkpoints, logs, `model`, result.json."""
    mesh = distributed.make_mesh(dict(config.mesh))
    options.check(config, mesh)
    mixture = load_mixture(config)
    config = with_steps(config, mixture)
    model = load_model(config, mesh)
    batches, fingerprints = load_batches(config, mixture, model, mesh)
    bare = dataclasses.replace(model, params={})  # the state is to hold the only copy
    score = load_dev(config, bare, mesh)
    refresh = load_refresh(config, mixture, bare, mesh, Path(workdir), fingerprints)
    identity = options.identity(config) | fingerprints | (refresh.identity if refresh else {})
    trainable = load_trainable(config)
    params = trainable.begin(model.params, seed=config.seed)
    state, step = build(config, models.graphdef(model), params, mesh)
    del model, params
    make_key = functools.partial(jax.random.key, config.seed, impl=config.prng)
    key = jax.jit(make_key, out_shardings=sharding.replicated(mesh))()
    feed = _feed(config, batches)
    setup = Setup(
        Path(workdir), mesh, bare, feed, score, step, key, identity, refresh, trainable,
        config.compile_once,
    )  # fmt: skip
    cadence = Cadence(
        config.steps, config.log.every, config.eval.every, config.checkpoint.save_every
    )
    with Checkpoints(
        setup.workdir / "checkpoints", keep_last=config.checkpoint.keep_last, best_metric=setup.best
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
            max_loss=config.divergence.max_loss,
        )
        loop.finish(setup, checkpoints, state, totals)


def load_model(config: ConfigDict, mesh: Mesh | None = None) -> Model:
    """The initial model, with the run's dropout and the format that it will be trained to read.

    mesh: a cross-encoder's weights go there as they are read; None: all stay on the host.
    """
    data, kind = config.data, objective_table.find(config.objective.name).kind
    placed = None if mesh is None else functools.partial(shardings, config, mesh)
    model = initial.load(kind, **config.model, shardings=placed, seed=config.seed)
    return models.reading(
        model,
        order=data.instruction_order,
        separator=data.separator,
        query_length=data.query_length,
        document_length=data.document_length,
        pair_length=data.pair_length,
        start_token=data.start_token,
        title_separator=data.title_separator,
        special_tokens=data.special_tokens,
        passages=data.passages,
        fusion=data.fusion,
        answer_length=data.answer_length,
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
    config: ConfigDict, mixture: Mixture, model: Model, mesh: Mesh
) -> tuple[Batches, dict[str, Any]]:
    """(batches, fingerprints of what they and the model are made from)."""
    data = config.data
    part, parts = sharding.batch_part(mesh)
    table = instructions.read_table(data.instructions) if data.instructions else {}
    if table:
        instructions.require_tasks(table, mixture.uninstructed, data.instructions)
    objective_table.require_scores(config.objective.name, mixture)
    sampler = Sampler(
        table={task: row.instructions for task, row in table.items()},
        num_negatives=data.num_negatives,
        hard_ratio=data.hard_ratio,
        instruction_dropout=data.instruction_dropout,
        order=data.instruction_order,
        separator=models.separator(model),
        unfollowing_cap=data.unfollowing_cap,
    )
    sample: Any = sampler
    if isinstance(model, Reader):
        if data.instructions:
            raise InputError("config.data.instructions: a reader reads none; leave it out.")
        sample = ReadingSampler(data.passages)
    collator = models.collator(
        model,
        num_negatives=data.num_negatives,
        duplicates=data.duplicates,
        known_positives=data.known_positives,
    )
    batches = Batches(
        mixture,
        sample,
        collator,
        batch_size=data.batch_size,
        seed=config.seed,
        homogeneous=data.homogeneous,
        process_index=part,
        process_count=parts,
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


def _feed(config: ConfigDict, batches: Batches) -> Feed:
    data = config.data
    iterate = functools.partial(batches.iterate, workers=data.workers, prefetch=data.prefetch)
    return Feed(iterate, batches.query_ids)


def load_refresh(
    config: ConfigDict,
    mixture: Mixture,
    model: Model,
    mesh: Mesh,
    workdir: Path,
    fingerprints: dict[str, Any],
) -> Refresh | None:
    """What mines the negatives anew in training; None without. InputError: it does not fit."""
    if not config.refresh.every:
        return None

    def feed(mined: Mixture) -> Feed:
        return _feed(config, load_batches(config, mined, model, mesh)[0])

    return Refresh(
        **config.refresh,
        mixture=mixture,
        model=model,
        instructions=config.data.instructions,
        mesh=mesh,
        workdir=workdir,
        feed=feed,
        made_from=fingerprints,
    )


def load_dev(
    config: ConfigDict, model: Model, mesh: Mesh
) -> Callable[[Any], dict[str, float]] | None:
    """What scores parameters on the dev set of `eval`; None without one."""
    want = config.eval
    if isinstance(model, Reader):
        return _load_answers(want, model)
    if want.examples and (want.directory or isinstance(model, Pretrained)):
        raise InputError(
            f"config.eval.examples is {want.examples!r}: a dual encoder is not evaluated on"
            " examples, and a cross-encoder without config.eval.directory."
        )
    table = instructions.read_table(want.instructions) if want.instructions else {}
    join = functools.partial(
        instructions.join, order=config.data.instruction_order, separator=models.separator(model)
    )
    if want.examples and not isinstance(model, Pretrained):
        pools = dev_pairs.from_examples(
            want.examples, table=table, max_queries=want.max_queries, join=join
        )
        return lambda params: dev_pairs.score(pools, model, params, mesh)
    if not want.directory:
        return None
    dev_set = dev.load(
        want.directory,
        table=table,
        max_queries=want.max_queries,
        max_documents=want.max_documents,
    )
    if isinstance(model, Pretrained):
        return lambda params: dev.score(dev_set, model, params, mesh)
    reranked = dev_pairs.from_beir(dev_set, candidates=want.candidates, join=join)
    return lambda params: dev_pairs.score(reranked, model, params, mesh)


def _load_answers(want: ConfigDict, model: Reader) -> Callable[[Any], dict[str, float]] | None:
    if want.directory:
        raise InputError(
            f"config.eval.directory is {want.directory!r}, but a reader ranks nothing; name"
            " examples with answers by config.eval.examples."
        )
    if not want.examples:
        return None
    examples = dev_answers.load(want.examples, max_queries=want.max_queries)
    writer = Writer(model)
    return lambda params: dev_answers.score(examples, writer, params)
