"""The options of a training run: what fits together, and what a resumed run must share."""

import fnmatch
from collections.abc import Mapping, Sequence
from typing import Any

from jax.sharding import Mesh
from ml_collections import ConfigDict

from tart_jax import sharding
from tart_jax.train import objective_table
from tart_jax.types import InputError

# What may change between a run and its resumption; files are compared by content, not by path.
FREE = ("mesh.*", "sharding_rules", "checkpoint.*", "log.*", "eval.*", "divergence.max_loss",
        "model.source", "model.remat", "objective.chunk_size", "objective.score_block",
        "compile_once", "data.train", "data.instructions", "data.workers", "data.prefetch",
        "refresh.*")  # fmt: skip


def check(config: ConfigDict, mesh: Mesh) -> None:
    """InputError for numbers that do not fit each other, before anything is loaded."""
    objective_table.check(**config.objective)
    names = (
        "data.known_positives",
        "eval.candidates",
        "steps",
        "log.every",
        "eval.every",
        "checkpoint.save_every",
        "optimizer.accumulation",
    )
    for name in names:
        if (value := _get(config, name)) < 1:
            raise InputError(f"config.{name} is {value}; it should be 1 or more.")
    devices = sharding.batch_devices(mesh)
    parts = devices * config.optimizer.accumulation
    if config.data.batch_size % parts or config.data.batch_size < 1:
        raise InputError(
            f"data.batch_size {config.data.batch_size} is not a multiple of {parts} (devices of the"
            f" data and fsdp axes times optimizer.accumulation); try"
            f" {max(1, config.data.batch_size // parts) * parts}."
        )
    queries = config.data.batch_size // config.optimizer.accumulation
    for name in ("chunk_size", "score_block"):
        _check_part(name, config.objective[name], queries, devices)
    if config.model.dropout == 1:
        raise InputError("config.model.dropout is 1, which leaves nothing; 0.1 is usual.")
    if config.epochs < 0:
        raise InputError(
            f"config.epochs is {config.epochs}; it should be 0 (steps decides) or more."
        )
    if config.divergence.skip < 0:
        raise InputError(f"config.divergence.skip is {config.divergence.skip}; 0 skips none.")
    if config.refresh.every < 0:
        raise InputError(f"config.refresh.every is {config.refresh.every}; 0 is never.")
    for name in ("data.hard_ratio", "data.instruction_dropout", "model.dropout"):
        if not 0 <= (value := _get(config, name)) <= 1:
            raise InputError(f"config.{name} is {value}; a probability lies in 0..1.")
    if (cap := config.data.unfollowing_cap) is not None and cap < 0:
        raise InputError(
            f"config.data.unfollowing_cap is {cap}; it should be 0 (none) or more, or None (any)."
        )
    known = ("threefry2x32", "rbg", "unsafe_rbg")
    if config.prng not in known:
        raise InputError(f"config.prng {config.prng!r} is not one of {', '.join(known)}.")


def parse(words: Sequence[str], decided: Mapping[str, object], key: str) -> dict[str, object]:
    """("steps=4", ...) by key. InputError: not of that form, or a key that the command decides."""
    options: dict[str, object] = {}
    for word in words:
        name, equals, value = word.partition("=")
        if not equals:
            raise InputError(f"config.{key}: {word!r} should look like 'some.key=value'.")
        if name in decided:
            raise InputError(f"config.{key} sets {name}, which this command decides; leave it out.")
        options[name] = value
    return options


def _check_part(name: str, part: int, queries: int, devices: int) -> None:
    """InputError: a micro-batch cannot be taken `part` queries at a time; 0 is all of them."""
    if part and (queries % part or part % devices):
        sizes = [n for n in range(devices, queries + 1, devices) if queries % n == 0]
        raise InputError(
            f"config.objective.{name} {part} should divide the {queries} queries of a micro-batch"
            f" and be a multiple of the {devices} devices of the data and fsdp axes; try"
            f" {max((n for n in sizes if n <= part), default=devices)}, or 0 for all at once."
        )


def identity(config: ConfigDict) -> dict[str, Any]:
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
