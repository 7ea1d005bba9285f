"""From a config to what a training runs on: optimizer, state and compiled step."""

from typing import Any

import jax
import optax
from flax import nnx
from jax.sharding import Mesh
from ml_collections import ConfigDict

from tart_jax.models import class_towers, lora
from tart_jax.train import objective_table, optimizer
from tart_jax.train import state as train_state
from tart_jax.train.objectives import Metrics, Objective
from tart_jax.train.state import TrainState
from tart_jax.train.step import Step, make_step
from tart_jax.train.trainable import Trainable
from tart_jax.types import InputError


def build(
    config: ConfigDict, graphdef: nnx.GraphDef, params: Any, mesh: Mesh
) -> tuple[TrainState, Step]:
    """(fresh state on the mesh, the compiled step); of abstract params an abstract state.

    params: those that `load_trainable(config)` begins with.
    """
    adamw, rate = make_optimizer(config)
    rules = config.sharding_rules
    trainable = load_trainable(config)
    state, shardings = train_state.create(
        params, adamw, mesh=mesh, rules=rules, trainable=trainable
    )
    objective = objective_table.build(graphdef, mesh=mesh, **config.objective)
    if config.model.query_towers:
        objective = of_classes(objective)
    step = make_step(
        objective,
        adamw,
        rate,
        accumulation=config.optimizer.accumulation,
        dropout=config.model.dropout > 0,
        mesh=mesh,
        shardings=shardings,
        trainable=trainable,
    )
    return state, step


def of_classes(objective: Objective) -> Objective:
    """The objective of a model with class towers, of which a batch trains one."""

    def chosen(
        params: Any, batch: dict[str, jax.Array], key: jax.Array | None
    ) -> tuple[jax.Array, Metrics]:
        return objective(class_towers.select(params, batch["query_class"][0]), batch, key)

    return chosen


def load_trainable(config: ConfigDict) -> Trainable:
    """What of the parameters is trained. InputError: options that do not fit each other."""
    model = config.model
    unnamed = model.layers is not None or model.from_scratch or model.query_towers
    if config.lora.rank and unnamed:
        raise InputError(
            "config.lora.rank goes with none of config.model.layers, from_scratch, query_towers: an"
            " adapter names what it changes, and these have no name; export them as a model first."
        )
    if config.lora.rank and objective_table.find(config.objective.name).kind == "reader":
        raise InputError("config.lora.rank: a reader is trained whole, it has no adapter.")
    if model.query_towers and config.refresh.every:
        raise InputError(
            "config.refresh mines with one query tower, and config.model.query_towers has several;"
            " mine between trainings (tart-jax rounds)."
        )
    return Trainable(tuple(config.frozen), **config.lora)


def make_optimizer(config: ConfigDict) -> tuple[optax.GradientTransformation, optax.Schedule]:
    """(the optimizer, its learning rate by step)."""
    want = config.optimizer
    rate = optimizer.schedule(
        want.schedule, peak_lr=want.peak_lr, warmup_steps=want.warmup_steps, steps=config.steps,
        end_lr_ratio=want.end_lr_ratio,
    )  # fmt: skip
    adamw = optimizer.build(
        rate, b1=want.b1, b2=want.b2, eps=want.eps, weight_decay=want.weight_decay,
        decay_vectors=want.decay_vectors, clip_norm=want.clip_norm,
        skip=config.divergence.skip,
    )  # fmt: skip
    return adamw, rate


def shardings(config: ConfigDict, mesh: Mesh, params: Any) -> Any:
    """Where the state will hold these (abstract) params."""
    adamw, _ = make_optimizer(config)
    trainable = load_trainable(config)
    params = trainable.begin(params, seed=config.seed)
    _, placed = train_state.create(
        params, adamw, mesh=mesh, rules=config.sharding_rules, trainable=trainable
    )
    return lora.without(placed.params)
