"""A reader's objective: the likelihood of each answer, token by token."""

from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float, Int

from tart_jax.models import generate
from tart_jax.train.objectives import Metrics, Objective


def reading(graphdef: nnx.GraphDef, *, label_smoothing: float = 0.0) -> Objective:
    """Cross-entropy of the answers' tokens, each answer's mean, then the mean over answers.

    The batch is that of `data.reading.ReadingCollator`. Metrics: loss, the share of tokens and of
    whole answers that the likeliest tokens give, the answer before each place being known.
    """

    def objective(
        params: Any, batch: dict[str, jax.Array], key: jax.Array | None
    ) -> tuple[jax.Array, Metrics]:
        model = nnx.merge(graphdef, params)
        rngs = None if key is None else nnx.Rngs(dropout=key)
        tokens, mask = batch["answer_tokens"], batch["answer_mask"]
        memory, memory_mask = generate.read(model, batch["input_tokens"], batch["input_mask"], rngs)
        start = jnp.full_like(tokens[:, :1], model.config.decoder_start_token_id)
        targets = jnp.concatenate([start, tokens[:, :-1]], axis=1)
        logits = model.decode(targets, memory, memory_mask, rngs=rngs)
        each = jnp.where(mask, cross_entropy(logits, tokens, label_smoothing), 0.0)
        counts = jnp.maximum(jnp.sum(mask, axis=1), 1)
        losses = jnp.sum(each, axis=1) / counts
        right = (jnp.argmax(logits, axis=-1) == tokens) | ~mask
        rows = jnp.float32(len(losses))
        metrics = {
            "loss": (jnp.sum(losses), rows),
            "accuracy/tokens": (jnp.sum(right & mask).astype(jnp.float32),
                                jnp.sum(mask).astype(jnp.float32)),
            "accuracy/answers": (jnp.sum(jnp.all(right, axis=1)).astype(jnp.float32), rows),
        }  # fmt: skip
        return jnp.mean(losses), metrics

    return objective


def cross_entropy(
    logits: Float[Array, "b t v"], tokens: Int[Array, "b t"], smoothing: float
) -> Float[Array, "b t"]:
    """With one_hot(tokens) smoothed to 1 - s + s/v and s/v, which is never made: the vocabulary is
    what a reader's memory goes to.
    """
    wanted = jnp.take_along_axis(logits, tokens[..., None], axis=-1)[..., 0]
    found = jax.nn.logsumexp(logits, axis=-1) - (1 - smoothing) * wanted
    return found - smoothing * jnp.mean(logits, axis=-1) if smoothing else found
