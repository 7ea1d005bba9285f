"""The one compiled step: value and gradient, accumulation, update, norms."""

import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import optax
from jax.sharding import Mesh

from tart_jax import sharding
from tart_jax.train.objectives import Metrics, Objective
from tart_jax.train.state import TrainState
from tart_jax.train.trainable import ALL, Trainable, join

Step = Callable[[TrainState, dict[str, jax.Array], jax.Array], tuple[TrainState, Metrics]]


def make_step(
    objective: Objective,
    optimizer: optax.GradientTransformation,
    learning_rate: optax.Schedule,
    *,
    accumulation: int,
    dropout: bool,
    mesh: Mesh,
    shardings: TrainState,
    trainable: Trainable = ALL,
) -> Step:
    """(state, batch, key) -> (next state, metrics); the state handed in is donated.

    learning_rate: only to be logged; `optimizer` has its own. key: the run's key, the same for
    each call; the step folds in its own number.
    accumulation: micro-batches whose mean gradient makes one update. They do not see each other's
    documents, so this is *not* a larger contrastive batch. dropout: False trains without a key.
    trainable: what is updated; there are no gradients of the rest.
    """

    def gradients(
        trained: Any, batch: dict[str, jax.Array], key: jax.Array, *, rest: Any
    ) -> tuple[Any, Metrics]:
        def loss(trained: Any) -> tuple[jax.Array, Metrics]:
            return objective(trainable.merged(join(trained, rest)), batch, key if dropout else None)

        (_, metrics), grads = jax.value_and_grad(loss, has_aux=True)(trained)
        return grads, metrics

    def step(
        state: TrainState, batch: dict[str, jax.Array], key: jax.Array
    ) -> tuple[TrainState, Metrics]:
        key = jax.random.fold_in(key, state.step)
        trained, rest = trainable.split(state.params)
        some = functools.partial(gradients, rest=rest)
        if accumulation == 1:
            grads, metrics = some(trained, batch, key)
        else:
            grads, metrics = accumulate(some, trained, batch, key, accumulation)
        updates, opt_state = optimizer.update(grads, state.opt_state, trained)
        trained = optax.apply_updates(trained, updates)
        one = jnp.float32(1)
        metrics["grad_norm"] = (optax.tree.norm(grads), one)
        if isinstance(opt_state, optax.ApplyIfFiniteState):
            metrics = _where_finite(metrics, opt_state.last_finite)
        metrics["param_norm"] = (optax.tree.norm(trained), one)
        metrics["learning_rate"] = (jnp.asarray(learning_rate(state.step), jnp.float32), one)
        return TrainState(state.step + 1, join(trained, rest), opt_state), metrics

    return jax.jit(step, donate_argnums=0, out_shardings=(shardings, sharding.replicated(mesh)))


def _where_finite(metrics: Metrics, finite: jax.Array) -> Metrics:
    """The metrics, which count nothing in an update that was skipped, and the share of those."""
    kept = {
        name: (jnp.where(finite, total, 0), jnp.where(finite, count, 0))
        for name, (total, count) in metrics.items()
    }
    return kept | {"skipped": (1 - finite.astype(jnp.float32), jnp.float32(1))}


def accumulate(
    gradients: Callable[..., tuple[Any, Metrics]],
    params: Any,
    batch: dict[str, jax.Array],
    key: jax.Array,
    parts: int,
) -> tuple[Any, Metrics]:
    """Mean gradient and summed metrics over `parts` equal micro-batches, one after another."""

    def add(total: Any, part: tuple[jax.Array, dict[str, jax.Array]]) -> tuple[Any, None]:
        index, rows = part
        result = gradients(params, rows, jax.random.fold_in(key, index))
        return jax.tree.map(jnp.add, total, result), None

    micro = jax.tree.map(lambda value: sharding.split_rows(value, parts), batch)
    first = jax.tree.map(lambda value: value[0], micro)
    zeros = jax.tree.map(
        lambda leaf: jnp.zeros(leaf.shape, leaf.dtype),
        jax.eval_shape(gradients, params, first, key),
    )
    (grads, metrics), _ = jax.lax.scan(add, zeros, (jnp.arange(parts), micro))
    return jax.tree.map(lambda leaf: leaf / parts, grads), metrics
