"""Objectives: functions of parameters, a batch and a key. A new objective is a new function.

`unfollowing_weight` w: an unfollowing document counts in the loss as w equal ones; 0 leaves it out.
Metrics of one kind of negative do not weigh: the model against it alone, where a query has one.
"""

import functools
from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx
from jax.sharding import Mesh
from jaxtyping import Array, Bool, Float

from tart_jax.data.batching import KINDS, POSITIVE, UNFOLLOWING
from tart_jax.losses import contrastive, distillation, in_batch, ranking
from tart_jax.models import cross_encoder
from tart_jax.train import grad_cache

# name -> (sum, count): dividing comes last, so that accumulation and padding do not skew a mean.
Metrics = dict[str, tuple[jax.Array, jax.Array]]
Objective = Callable[[Any, dict[str, jax.Array], jax.Array | None], tuple[jax.Array, Metrics]]
Batch = Mapping[str, jax.Array]


def dual_contrastive(
    graphdef: nnx.GraphDef,
    *,
    temperature: float,
    unfollowing_weight: float,
    mesh: Mesh,
    chunk_size: int = 0,
    score_block: int = 0,
) -> Objective:
    """TART-dual's loss: each query against all documents of the global batch, of every device.

    The batch is that of `data.batching.Collator`. Without a key there is no dropout.
    chunk_size: texts encoded at a time, see `grad_cache`. score_block: queries scored at a time,
    see `losses.in_batch`. Both over all devices; 0: all at once.
    """

    def objective(
        params: Any, batch: dict[str, jax.Array], key: jax.Array | None
    ) -> tuple[jax.Array, Metrics]:
        embedded = _embed(graphdef, params, batch, key, chunk_size)
        losses, metrics = _contrastive(
            *embedded, batch, unfollowing_weight,
            temperature=temperature, mesh=mesh, block=score_block,
        )  # fmt: skip
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
    unfollowing_weight: float,
    mesh: Mesh,
    chunk_size: int = 0,
    score_block: int = 0,
) -> Objective:
    """contrastive_weight * TART-dual's loss + teaching_weight * that of a teacher's scores.

    teaching: "kl" or "margin_mse" (losses.distillation) over each query's own documents that have
    a score; the student's score is the similarity over `temperature`, as in the contrastive loss.
    A query without two such documents (margin_mse: with the positive among them) adds nothing.
    teaching_temperature: of "kl", for student and teacher. The rest: see `dual_contrastive`.
    """

    def objective(
        params: Any, batch: dict[str, jax.Array], key: jax.Array | None
    ) -> tuple[jax.Array, Metrics]:
        queries, documents = _embed(graphdef, params, batch, key, chunk_size)
        precise = jax.lax.Precision.HIGHEST  # see contrastive.similarity
        b, n = batch["document_kind"].shape
        own = jnp.einsum("bd,bnd->bn", queries, documents.reshape(b, n, -1), precision=precise)
        kept, weights = _counting(batch, unfollowing_weight)
        teacher, scored = batch["document_score"], _scored(batch) & kept
        if teaching == "kl":
            taught = distillation.kl_candidates(
                own / temperature, teacher, scored, weights, temperature=teaching_temperature
            )
            counted = jnp.sum(scored, axis=1) > 1
        else:
            relevant = _relevant(batch)
            taught = distillation.margin_mse(own / temperature, teacher, relevant, scored, weights)
            counted = _paired(relevant, scored)
        losses, metrics = _contrastive(
            queries, documents, batch, unfollowing_weight,
            temperature=temperature, mesh=mesh, block=score_block,
        )  # fmt: skip
        metrics |= {"loss/contrastive": _total(losses)} | _taught(taught, counted)
        losses = contrastive_weight * losses + teaching_weight * taught
        return jnp.mean(losses), {"loss": _total(losses)} | metrics

    return objective


def cross_pointwise(graphdef: nnx.GraphDef, *, unfollowing_weight: float) -> Objective:
    """TART-full's loss: cross-entropy of relevant or not, over the batch's pairs.

    The batch is that of `data.batching.PairCollator`. Every pair weighs 1 / (queries * documents of
    a query), however many are padding: so the mean over micro-batches is that over the whole batch.
    The logged loss is the (weighted) mean over the pairs that exist.
    """

    def objective(
        params: Any, batch: dict[str, jax.Array], key: jax.Array | None
    ) -> tuple[jax.Array, Metrics]:
        logits = _pair_logits(graphdef, params, batch, key)
        relevant, valid = _relevant(batch), batch["document_valid"]
        each = jnp.where(valid, ranking.pointwise(logits, relevant), 0)
        kept, weights = _counting(batch, unfollowing_weight)
        weights = jnp.where(valid & kept, 1.0 if weights is None else weights, 0.0)
        losses = each * weights
        scores = jax.lax.stop_gradient(cross_encoder.scores(logits))
        right = valid & ((scores > 0) == relevant)
        metrics = {"loss": (jnp.sum(losses), jnp.sum(weights))} | _own_accuracies(scores, batch)
        metrics["accuracy/pairs"] = _over(right, valid)
        for name, kind in {"positive": POSITIVE, **KINDS}.items():
            only = valid & (batch["document_kind"] == kind)
            metrics[f"loss/{name}"] = _over(jnp.where(only, each, 0), only)
        return jnp.mean(losses), metrics

    return objective


def cross_listwise(graphdef: nnx.GraphDef, *, unfollowing_weight: float) -> Objective:
    """Softmax cross-entropy over each query's documents; the mean over queries."""
    return _of_lists(graphdef, ranking.listwise, unfollowing_weight)


def cross_pairwise(graphdef: nnx.GraphDef, *, unfollowing_weight: float) -> Objective:
    """RankNet's loss over each query's pairs of documents; the mean over queries."""
    return _of_lists(graphdef, ranking.pairwise, unfollowing_weight)


def cross_margin_mse(graphdef: nnx.GraphDef, *, unfollowing_weight: float) -> Objective:
    """A teacher's margins between relevant and other documents; the mean over queries.

    Documents without a teacher's score are left out; a query without a pair of them adds nothing.
    """
    return _of_lists(graphdef, distillation.margin_mse, unfollowing_weight, taught=True)


def _of_lists(
    graphdef: nnx.GraphDef,
    losses_of: Callable[..., Float[Array, " b"]],
    unfollowing_weight: float,
    *,
    taught: bool = False,
) -> Objective:
    """The cross-encoder objective that averages a loss of each query's scores [b n].

    losses_of: (scores, a teacher's if `taught`, relevant, valid, weights) -> [b].
    """

    def objective(
        params: Any, batch: dict[str, jax.Array], key: jax.Array | None
    ) -> tuple[jax.Array, Metrics]:
        scores = cross_encoder.scores(_pair_logits(graphdef, params, batch, key))
        relevant, valid = _relevant(batch), _scored(batch) if taught else batch["document_valid"]
        teacher = (batch["document_score"],) if taught else ()
        kept, weights = _counting(batch, unfollowing_weight)
        losses = losses_of(scores, *teacher, relevant, valid & kept, weights)
        found = jax.lax.stop_gradient(scores)
        metrics = {"loss": _total(losses)} | _own_accuracies(found, batch)
        if taught:
            metrics |= _taught(losses, _paired(relevant, valid & kept))
        for name, kind in KINDS.items():
            only = valid & (relevant | (batch["document_kind"] == kind))
            against = losses_of(found, *teacher, relevant, only)
            metrics[f"loss/{name}"] = _over(against, _paired(relevant, only))
        return jnp.mean(losses), metrics

    return objective


def _embed(
    graphdef: nnx.GraphDef, params: Any, batch: Batch, key: jax.Array | None, chunk_size: int
) -> tuple[Float[Array, "b d"], Float[Array, "c d"]]:
    """Embeddings of the queries, and of all their documents, laid end to end."""
    query_key, document_key = (None, None) if key is None else jax.random.split(key)
    encode = functools.partial(grad_cache.encode, graphdef, params, chunk_size=chunk_size)
    queries = encode(batch["query_tokens"], batch["query_mask"], tower="query", key=query_key)
    tokens, mask = _end_to_end(batch["document_tokens"]), _end_to_end(batch["document_mask"])
    return queries, encode(tokens, mask, tower="document", key=document_key)


def _contrastive(
    queries: Float[Array, "b d"],
    documents: Float[Array, "c d"],
    batch: Batch,
    unfollowing_weight: float,
    **options: Any,
) -> tuple[Float[Array, " b"], Metrics]:
    """Each query's loss, and the losses and accuracies of each kind of negative."""
    labels = [batch[f"document_{name}"] for name in ("valid", "kind", "hash")]
    labels = jax.tree.map(_end_to_end, [*labels, *_counting(batch, unfollowing_weight)])
    everything = in_batch.Documents(documents, *labels)
    losses, values = in_batch.info_nce(queries, batch["positive_hash"], everything, **options)
    return losses, {name: _over(*value) for name, value in values.items()}


def _end_to_end(value: Array) -> Array:
    """[b, n, ...] to [c, ...]"""
    return value.reshape(-1, *value.shape[2:])


def _counting(
    batch: Batch, unfollowing_weight: float
) -> tuple[Bool[Array, "b n"], Float[Array, "b n"] | None]:
    """(which documents count, how many times each; None is once). Weight 0 masks, as padding is:
    the losses take its logarithm.
    """
    unfollowing = batch["document_kind"] == UNFOLLOWING
    kept = ~unfollowing if unfollowing_weight == 0 else jnp.ones_like(unfollowing)
    if unfollowing_weight in (0, 1):
        return kept, None
    return kept, jnp.where(unfollowing, unfollowing_weight, 1.0)


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
    first = jnp.zeros(len(scores), int)
    return {
        f"accuracy/{name}": _over(*contrastive.beats(scores, first, marked))
        for name, marked in columns.items()
    }


def _taught(losses: Float[Array, " b"], counted: Bool[Array, " b"]) -> Metrics:
    """The teacher's loss where it had something to say, and the share of queries where it had."""
    total, count = _over(losses, counted)
    return {"loss/teaching": (total, count), "taught": (count, jnp.float32(len(losses)))}


def _over(values: Array, counted: Array) -> tuple[jax.Array, jax.Array]:
    return jnp.sum(values, dtype=jnp.float32), jnp.sum(counted, dtype=jnp.float32)


def _paired(relevant: Bool[Array, "b n"], valid: Bool[Array, "b n"]) -> Bool[Array, " b"]:
    return jnp.any(ranking.pairs(relevant, valid), axis=(1, 2))


def _total(losses: Float[Array, " b"]) -> tuple[jax.Array, jax.Array]:
    return jnp.sum(losses), jnp.float32(len(losses))


def _relevant(batch: Batch) -> Bool[Array, "b n"]:
    return batch["document_kind"] == POSITIVE


def _scored(batch: Batch) -> Bool[Array, "b n"]:
    """Documents that have a teacher's score; NaN is none."""
    return batch["document_valid"] & jnp.isfinite(batch["document_score"])
