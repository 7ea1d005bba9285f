"""Objectives: functions of parameters, a batch and a key. A new objective is a new function."""

from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx
from jax.sharding import Mesh
from jaxtyping import Array, Bool, Float, Int

from tart_jax import sharding
from tart_jax.data.batching import HARD, POSITIVE, RANDOM, UNFOLLOWING
from tart_jax.losses import contrastive, distillation, ranking
from tart_jax.models import cross_encoder, dual_encoder

# name -> (sum, count): dividing comes last, so that accumulation and padding do not skew a mean.
Metrics = dict[str, tuple[jax.Array, jax.Array]]
Objective = Callable[[Any, dict[str, jax.Array], jax.Array | None], tuple[jax.Array, Metrics]]
Batch = Mapping[str, jax.Array]

KINDS = {"random": RANDOM, "hard": HARD, "unfollowing": UNFOLLOWING}


def dual_contrastive(graphdef: nnx.GraphDef, *, temperature: float, mesh: Mesh) -> Objective:
    """TART-dual's loss: each query against all documents of the global batch, of every device.

    The batch is that of `data.batching.Collator`. Without a key there is no dropout.
    """

    def objective(
        params: Any, batch: dict[str, jax.Array], key: jax.Array | None
    ) -> tuple[jax.Array, Metrics]:
        queries, documents = _embed(graphdef, params, batch, key)
        losses, metrics = _contrastive(queries, documents, batch, temperature, mesh)
        return jnp.mean(losses), {"loss": _total(losses)} | metrics

    return objective


def dual_distill(
    graphdef: nnx.GraphDef,
    *,
    temperature: float,
    contrastive_weight: float,
    teaching: str,
    teaching_weight: float,
    teaching_temperature: float,
    mesh: Mesh,
) -> Objective:
    """contrastive_weight * TART-dual's loss + teaching_weight * that of a teacher's scores.

    teaching: "kl" or "margin_mse" (losses.distillation) over each query's own documents that have
    a score; the student's score is the similarity over `temperature`, as in the contrastive loss.
    A query without two such documents (margin_mse: with the positive among them) adds nothing.
    teaching_temperature: of "kl", for student and teacher.
    """

    def objective(
        params: Any, batch: dict[str, jax.Array], key: jax.Array | None
    ) -> tuple[jax.Array, Metrics]:
        queries, documents = _embed(graphdef, params, batch, key)
        b, n = batch["document_kind"].shape
        precise = jax.lax.Precision.HIGHEST  # see contrastive.similarity
        own = jnp.einsum("bd,bnd->bn", queries, documents.reshape(b, n, -1), precision=precise)
        teacher, scored = batch["document_score"], _scored(batch)
        if teaching == "kl":
            taught = distillation.kl_candidates(
                own / temperature, teacher, scored, temperature=teaching_temperature
            )
            counted = jnp.sum(scored, axis=1) > 1
        else:
            relevant = _relevant(batch)
            taught = distillation.margin_mse(own / temperature, teacher, relevant, scored)
            counted = jnp.any(ranking.pairs(relevant, scored), axis=(1, 2))
        losses, metrics = _contrastive(queries, documents, batch, temperature, mesh)
        metrics |= {"loss/contrastive": _total(losses)} | _taught(taught, counted)
        losses = contrastive_weight * losses + teaching_weight * taught
        return jnp.mean(losses), {"loss": _total(losses)} | metrics

    return objective


def cross_pointwise(graphdef: nnx.GraphDef) -> Objective:
    """TART-full's loss: cross-entropy of relevant or not, over the batch's pairs.

    The batch is that of `data.batching.PairCollator`. Every pair weighs 1 / (queries * documents of
    a query), however many are padding: so the mean over micro-batches is that over the whole batch.
    """

    def objective(
        params: Any, batch: dict[str, jax.Array], key: jax.Array | None
    ) -> tuple[jax.Array, Metrics]:
        logits = _pair_logits(graphdef, params, batch, key)
        relevant, valid = _relevant(batch), batch["document_valid"]
        losses = jnp.where(valid, ranking.pointwise(logits, relevant), 0)
        scores = jax.lax.stop_gradient(cross_encoder.scores(logits))
        count = jnp.sum(valid, dtype=jnp.float32)
        right = valid & ((scores > 0) == relevant)
        metrics = {"loss": (jnp.sum(losses), count)} | _own_accuracies(scores, batch)
        metrics["accuracy/pairs"] = (jnp.sum(right, dtype=jnp.float32), count)
        return jnp.mean(losses), metrics

    return objective


def cross_listwise(graphdef: nnx.GraphDef) -> Objective:
    """Softmax cross-entropy over each query's documents; the mean over queries."""

    def losses(scores: Float[Array, "b n"], batch: Batch) -> tuple[Float[Array, " b"], Metrics]:
        return ranking.listwise(scores, _relevant(batch), batch["document_valid"]), {}

    return _of_lists(graphdef, losses)


def cross_pairwise(graphdef: nnx.GraphDef) -> Objective:
    """RankNet's loss over each query's pairs of documents; the mean over queries."""

    def losses(scores: Float[Array, "b n"], batch: Batch) -> tuple[Float[Array, " b"], Metrics]:
        return ranking.pairwise(scores, _relevant(batch), batch["document_valid"]), {}

    return _of_lists(graphdef, losses)


def cross_margin_mse(graphdef: nnx.GraphDef) -> Objective:
    """A teacher's margins between relevant and other documents; the mean over queries.

    Documents without a teacher's score are left out; a query without a pair of them adds nothing.
    """

    def losses(scores: Float[Array, "b n"], batch: Batch) -> tuple[Float[Array, " b"], Metrics]:
        relevant, scored = _relevant(batch), _scored(batch)
        taught = distillation.margin_mse(scores, batch["document_score"], relevant, scored)
        counted = jnp.any(ranking.pairs(relevant, scored), axis=(1, 2))
        return taught, _taught(taught, counted)

    return _of_lists(graphdef, losses)


def _of_lists(
    graphdef: nnx.GraphDef,
    losses_of: Callable[[Array, Batch], tuple[Array, Metrics]],
) -> Objective:
    """The cross-encoder objective that averages a loss of each query's scores [b n]."""

    def objective(
        params: Any, batch: dict[str, jax.Array], key: jax.Array | None
    ) -> tuple[jax.Array, Metrics]:
        scores = cross_encoder.scores(_pair_logits(graphdef, params, batch, key))
        losses, metrics = losses_of(scores, batch)
        metrics |= {"loss": _total(losses)}
        return jnp.mean(losses), metrics | _own_accuracies(jax.lax.stop_gradient(scores), batch)

    return objective


def _embed(
    graphdef: nnx.GraphDef, params: Any, batch: Batch, key: jax.Array | None
) -> tuple[Float[Array, "b d"], Float[Array, "c d"]]:
    """Embeddings of the queries, and of all their documents, laid end to end."""
    query_key, document_key = (None, None) if key is None else jax.random.split(key)
    tokens, mask = batch["query_tokens"], batch["query_mask"]
    queries = dual_encoder.encode(graphdef, params, tokens, mask, tower="query", key=query_key)
    b, n, length = batch["document_tokens"].shape
    documents = dual_encoder.encode(
        graphdef,
        params,
        batch["document_tokens"].reshape(b * n, length),
        batch["document_mask"].reshape(b * n, length),
        tower="document",
        key=document_key,
    )
    return queries, documents


def _contrastive(
    queries: Float[Array, "b d"],
    documents: Float[Array, "c d"],
    batch: Batch,
    temperature: float,
    mesh: Mesh,
) -> tuple[Float[Array, " b"], Metrics]:
    """Each query's loss, and the accuracies."""
    # The cross-device gather, said rather than left to the compiler: every device holds all
    # documents and scores its own queries. Its gradient is the matching reduce-scatter.
    documents = jax.lax.with_sharding_constraint(documents, sharding.replicated(mesh))
    b, n = batch["document_kind"].shape
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
    scores = contrastive.similarity(queries, documents, temperature=temperature)
    own = jnp.arange(b * n)[None, :] // n == positive_index[:, None] // n
    columns = {"all": mask, "in_batch": mask & ~own}
    for name, kind in KINDS.items():
        columns[name] = mask & own & (batch["document_kind"].reshape(1, b * n) == kind)
    return losses, _accuracies(jax.lax.stop_gradient(scores), positive_index, columns)


def _pair_logits(
    graphdef: nnx.GraphDef, params: Any, batch: Batch, key: jax.Array | None
) -> Float[Array, "b n labels"]:
    b, n, length = batch["pair_tokens"].shape
    parts = [batch[f"pair_{name}"].reshape(b * n, length) for name in ("tokens", "mask", "types")]
    return cross_encoder.logits(graphdef, params, *parts, key=key).reshape(b, n, -1)


def _own_accuracies(scores: Float[Array, "b n"], batch: Batch) -> Metrics:
    """How often the positive wins over all of the query's own documents, and over each kind."""
    columns = {"all": batch["document_valid"]}
    columns |= {name: batch["document_kind"] == kind for name, kind in KINDS.items()}
    return _accuracies(scores, jnp.zeros(len(scores), int), columns)


def _accuracies(
    scores: Float[Array, "b c"],
    positive_index: Int[Array, " b"],
    columns: Mapping[str, Bool[Array, "b c"]],
) -> Metrics:
    """How often the positive wins over each set of columns, where there is one to win over."""
    metrics = {}
    for name, marked in columns.items():
        won, counted = contrastive.beats(scores, positive_index, marked)
        metrics[f"accuracy/{name}"] = (jnp.sum(won), jnp.sum(counted))
    return metrics


def _taught(losses: Float[Array, " b"], counted: Bool[Array, " b"]) -> Metrics:
    """The teacher's loss where it had something to say, and the share of queries where it had."""
    count = jnp.sum(counted, dtype=jnp.float32)
    return {"loss/teaching": (jnp.sum(losses), count), "taught": (count, jnp.float32(len(losses)))}


def _total(losses: Float[Array, " b"]) -> tuple[jax.Array, jax.Array]:
    return jnp.sum(losses), jnp.float32(len(losses))


def _relevant(batch: Batch) -> Bool[Array, "b n"]:
    return batch["document_kind"] == POSITIVE


def _scored(batch: Batch) -> Bool[Array, "b n"]:
    """Documents that have a teacher's score; NaN is none."""
    return batch["document_valid"] & jnp.isfinite(batch["document_score"])
