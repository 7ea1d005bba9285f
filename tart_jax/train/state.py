"""What a step of training changes: step number, parameters, optimizer state."""

from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import optax
from jax.sharding import Mesh

from tart_jax import sharding
from tart_jax.train.trainable import ALL, Trainable


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class TrainState:
    """step: int32 scalar, updates done so far; params: nested dict of arrays."""

    step: Any
    params: Any
    opt_state: Any


def create(
    params: Any,
    optimizer: optax.GradientTransformation,
    *,
    mesh: Mesh,
    rules: sharding.Rules,
    trainable: Trainable = ALL,
) -> tuple[TrainState, TrainState]:
    """(fresh state on the mesh, its shardings). Donating the state leaves `params` alone.

    trainable: the optimizer has a state of what it trains. Of abstract params
    (jax.ShapeDtypeStruct) it is an abstract state, and nothing is allocated.
    """

    def fresh(params: Any) -> TrainState:
        return TrainState(
            jnp.zeros((), jnp.int32), params, optimizer.init(trainable.split(params)[0])
        )

    shapes = jax.eval_shape(fresh, params)
    shardings = sharding.from_rules(shapes, rules, mesh)
    if any(isinstance(leaf, jax.ShapeDtypeStruct) for leaf in jax.tree.leaves(params)):
        return jax.tree.map(_placed, shapes, shardings), shardings
    # Outputs of jit share no memory with its inputs; device_put might hand back the same array.
    return jax.jit(fresh, out_shardings=shardings)(params), shardings


def abstract(state: TrainState) -> TrainState:
    """Shapes, dtypes and shardings of a state: what a restore needs to know."""
    return jax.tree.map(lambda leaf: _placed(leaf, leaf.sharding), state)


def _placed(leaf: Any, place: jax.sharding.Sharding) -> jax.ShapeDtypeStruct:
    return jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=place)
