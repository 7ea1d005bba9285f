"""The contrastive loss of a whole batch, over all devices, a block of queries at a time."""

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax.sharding import Mesh
from jaxtyping import Array, Bool, Float, Int, UInt32

from tart_jax import sharding
from tart_jax.data.batching import KINDS
from tart_jax.losses import contrastive

# name -> of each query (value, 1 where the query has one); values are 0 where it has none.
Values = dict[str, tuple[Float[Array, " b"], Float[Array, " b"]]]


class Documents(NamedTuple):
    """Every document of the batch, laid end to end: each query's n, its positive first.

    kinds: as in `data.batching`. counted: False keeps a document out of the loss, not out of what
    is logged of its kind. weights: see `contrastive.info_nce`; None: 1 for all.
    """

    embeddings: Float[Array, "c d"]
    valid: Bool[Array, " c"]
    kinds: Int[Array, " c"]
    hashes: UInt32[Array, "c 2"]
    counted: Bool[Array, " c"]
    weights: Float[Array, " c"] | None


class Queries(NamedTuple):
    """Queries of the batch; numbers: their places in it."""

    embeddings: Float[Array, "b d"]
    positive_hashes: UInt32[Array, "b p 2"]
    numbers: Int[Array, " b"]


def info_nce(
    queries: Float[Array, "b d"],
    positive_hashes: UInt32[Array, "b p 2"],
    documents: Documents,
    *,
    temperature: float,
    mesh: Mesh,
    block: int,
) -> tuple[Float[Array, " b"], Values]:
    """Each query's `contrastive.info_nce` against the documents of all queries, and its `Values`:

    `loss/KIND` and `accuracy/KIND` against one kind of negative alone, `in_batch` being the
    documents that other queries brought along; `accuracy/all`; `negatives_per_query`, the number of
    documents that the loss pushes away.

    block: queries scored at a time, over all devices; 0: all. Of the scores [b, c] only a block's
    [block, c] exist at a time: the backward pass computes them anew. A query sees all documents at
    once, so its softmax is never put together from parts.
    ValueError: block does not divide b, or not the queries of a device.
    """
    b, rows = len(queries), sharding.over_batch(mesh).spec
    n = len(documents.valid) // b

    # By hand rather than left to the compiler, which would add the gradient of all documents up
    # over the devices once for each block. So a device gathers all documents and adds up over its
    # own queries first: one gather on the way there, the matching reduce-scatter on the way back.
    @functools.partial(jax.shard_map, mesh=mesh, in_specs=rows, out_specs=rows)
    def on_each_device(queries: Queries, documents: Documents) -> tuple[Array, Values]:
        gathered = jax.tree.map(lambda x: jax.lax.all_gather(x, rows[0], tiled=True), documents)
        score = functools.partial(_score, documents=gathered, n=n, temperature=temperature)
        here = len(queries.numbers)
        size, rest = divmod(block * here, b)
        if rest or (size and here % size):
            raise ValueError(f"blocks of {block} do not divide {b} queries, {here} on each device.")
        if size in (0, here):
            return score(queries)
        blocks = jax.tree.map(lambda x: x.reshape(-1, size, *x.shape[1:]), queries)
        found = jax.lax.map(jax.checkpoint(score, prevent_cse=False), blocks)
        return jax.tree.map(jnp.ravel, found)

    return on_each_device(Queries(queries, positive_hashes, jnp.arange(b)), documents)


def _score(
    queries: Queries, documents: Documents, n: int, temperature: float
) -> tuple[Float[Array, " b"], Values]:
    """`info_nce` of some queries against all documents, which are on this device."""
    ours, positive_index = queries.embeddings, queries.numbers * n
    mask = contrastive.candidates(
        documents.valid, documents.hashes, queries.positive_hashes, positive_index
    )
    counted = mask & documents.counted[None, :]
    losses = contrastive.info_nce(
        ours,
        documents.embeddings,
        temperature=temperature,
        positive_index=positive_index,
        mask=counted,
        weights=documents.weights,
    )
    scores = contrastive.similarity(ours, documents.embeddings, temperature=temperature)
    scores = jax.lax.stop_gradient(scores)
    of_others = mask & (jnp.arange(mask.shape[1])[None, :] // n != queries.numbers[:, None])
    ones = jnp.ones(len(losses))
    values = {
        "accuracy/all": contrastive.beats(scores, positive_index, mask),
        "accuracy/in_batch": contrastive.beats(scores, positive_index, of_others),
        "loss/in_batch": contrastive.loss_against(scores, positive_index, of_others),
        "negatives_per_query": (jnp.sum(counted, axis=1) - ones, ones),  # the positive is counted
    }
    # The other kinds stand among a query's own n documents alone.
    own = positive_index[:, None] + jnp.arange(n)[None, :]
    own_scores, own_mask = (jnp.take_along_axis(x, own, axis=1) for x in (scores, mask))
    first = jnp.zeros(len(losses), int)
    for name, kind in KINDS.items():
        marked = own_mask & (documents.kinds[own] == kind)
        values[f"accuracy/{name}"] = contrastive.beats(own_scores, first, marked)
        values[f"loss/{name}"] = contrastive.loss_against(own_scores, first, marked)
    return losses, values
