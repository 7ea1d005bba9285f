"""Objectives: functions of parameters, a batch and a key. A new objective is a new function."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx
from jax.sharding import Mesh
from jaxtyping import Array, Bool, Float, Int8

from tart_jax import sharding
from tart_jax.data.batching import HARD, RANDOM, UNFOLLOWING
from tart_jax.losses import contrastive
from tart_jax.models import dual_encoder

# name -> (sum, count): dividing comes last, so that accumulation and padding do not skew a mean.
Metrics = dict[str, tuple[jax.Array, jax.Array]]
Objective = Callable[[Any, dict[str, jax.Array], jax.Array | None], tuple[jax.Array, Metrics]]

KINDS = {"random": RANDOM, "hard": HARD, "unfollowing": UNFOLLOWING}


def dual_contrastive(graphdef: nnx.GraphDef, *, temperature: float, mesh: Mesh) -> Objective:
    """TART-dual's loss: each query against all documents of the global batch, of every device.

    The batch is that of `data.batching.Collator`. Without a key there is no dropout.
    """

    def objective(
        params: Any, batch: dict[str, jax.Array], key: jax.Array | None
    ) -> tuple[jax.Array, Metrics]:
        query_key, document_key = (None, None) if key is None else jax.random.split(key)
        queries = dual_encoder.encode(
            graphdef,
            params,
            batch["query_tokens"],
            batch["query_mask"],
            tower="query",
            key=query_key,
        )
        b, n, length = batch["document_tokens"].shape
        documents = dual_encoder.encode(
            graphdef,
            params,
            batch["document_tokens"].reshape(b * n, length),
            batch["document_mask"].reshape(b * n, length),
            tower="document",
            key=document_key,
        )
        # The cross-device gather, said rather than left to the compiler: every device holds all
        # documents and scores its own queries. Its gradient is the matching reduce-scatter.
        documents = jax.lax.with_sharding_constraint(documents, sharding.replicated(mesh))
        positive_index = jnp.arange(b) * n
        mask = contrastive.candidates(
            batch["document_valid"].reshape(b * n),
            batch["document_hash"].reshape(b * n, 2),
            batch["positive_hash"],
            positive_index,
        )
        losses = contrastive.info_nce(
            queries, documents, temperature=temperature, positive_index=positive_index, mask=mask
        )
        scores = jax.lax.stop_gradient(
            contrastive.similarity(queries, documents, temperature=temperature)
        )
        metrics = {"loss": (jnp.sum(losses), jnp.float32(b))}
        metrics |= _accuracies(scores, mask, batch["document_kind"])
        return jnp.mean(losses), metrics

    return objective


def _accuracies(
    scores: Float[Array, "b c"], mask: Bool[Array, "b c"], kinds: Int8[Array, "b n"]
) -> Metrics:
    """How often the positive wins: over all candidates, other queries' ones, own ones by kind."""
    b, n = kinds.shape
    own = jnp.arange(b * n)[None, :] // n == jnp.arange(b)[:, None]
    columns = {"all": mask, "in_batch": mask & ~own}
    for name, kind in KINDS.items():
        columns[name] = mask & own & (kinds.reshape(1, b * n) == kind)
    metrics = {}
    for name, marked in columns.items():
        won, counted = contrastive.beats(scores, jnp.arange(b) * n, marked)
        metrics[f"accuracy/{name}"] = (jnp.sum(won), jnp.sum(counted))
    return metrics
