"""The running k best of a corpus that comes block by block, on all devices of a mesh.

A block holds one tile of rows for each device, in document order. Each device keeps the k best rows
of its own tiles; `merged` joins the devices' lists. Ties go to the earlier document everywhere:
what was kept came before the tile, a tile's candidates stand in its order, lax.top_k takes the
first of equals, and the lists are joined by (score, position).

A tile's rows form groups of neighbours. Only groups whose best score is above the k-th so far can
change the list, and after the first tiles they are few: they alone are gathered and sorted. The k
groups of the highest best scores (of equals the first) suffice for any tile, as each of them holds
a row that goes before every row of the others.
"""

from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec
from jaxtyping import Array, Float, Int, Num

from tart_jax.distributed import DATA

GROUP = 32  # rows
WIDTHS = (0, 16, 64)  # how many groups are looked at, if that is enough; else k
DTYPES = ("float32", "bfloat16", "int8")


class Block(NamedTuple):
    """Rows of a corpus on the devices; a score of int8 rows is multiplied by its row's scale."""

    rows: Num[Array, "c d"]
    scales: Float[Array, " c"] | None


class Best(NamedTuple):
    """The best rows so far of each device, side by side: n devices of k columns each."""

    scores: Float[Array, "b nk"]
    positions: Int[Array, "b nk"]


def put(array: np.ndarray, sharding: NamedSharding) -> Array:
    """An array of the whole mesh; each process gives the parts of its own devices."""
    return jax.make_array_from_callback(array.shape, sharding, lambda index: array[index])


def nothing(rows: int, k: int, mesh: Mesh) -> Best:
    """The lists before the first block, for this many queries."""
    shape, sharding = (rows, k * mesh.size), NamedSharding(mesh, PartitionSpec(None, DATA))
    scores, positions = np.full(shape, -np.inf, np.float32), np.full(shape, -1, np.int32)
    return Best(put(scores, sharding), put(positions, sharding))


@partial(jax.jit, static_argnames="dtype")
def stored(rows: Float[Array, "c d"], *, dtype: str) -> Block:
    """float32 rows as the devices hold them; int8 is symmetric, one scale for each document."""
    if dtype != "int8":
        return Block(rows.astype(dtype), None)
    scales = jnp.abs(rows).max(axis=1) / 127
    safe = jnp.where(scales > 0, scales, 1)[:, None]
    return Block(jnp.round(rows / safe).astype(jnp.int8), scales)


@partial(jax.jit, static_argnames=("mesh", "recall"))
def step(
    best: Best,
    queries: Float[Array, "b d"],
    block: Block,
    begin: Int[Array, ""] | int,
    count: Int[Array, ""] | int,
    *,
    mesh: Mesh,
    recall: float | None,
) -> Best:
    """The lists after a block whose first row is document `begin`; `count` and beyond is padding.

    recall: find a tile's best by lax.approx_max_k (Chern et al., 2022), aiming at this share of
    them; ties are then anyone's. None: exact.
    """
    over_columns, over_rows, whole = (
        PartitionSpec(None, DATA), PartitionSpec(DATA), PartitionSpec()
    )  # fmt: skip

    def local(best: Best, queries: Array, block: Block, begin: Any, count: Any) -> Best:
        first = begin + jax.lax.axis_index(DATA) * block.rows.shape[0]
        scores = _scores(queries, block)
        if recall is None:
            return _best(best, scores, first, count)
        return _approximate(best, scores, first, count, recall)

    return jax.shard_map(
        local,
        mesh=mesh,
        in_specs=(over_columns, whole, over_rows, whole, whole),
        out_specs=over_columns,
    )(best, queries, block, begin, count)


@partial(jax.jit, static_argnames=("k", "mesh"))
def merged(best: Best, *, k: int, mesh: Mesh) -> Best:
    """The k best over all devices, by descending score, ties by position; whole on each device."""
    # Each device's rows are in order, but over several blocks the devices' ranges interleave.
    scores, positions = jax.lax.sort((-best.scores, best.positions), dimension=1, num_keys=2)
    whole = NamedSharding(mesh, PartitionSpec())
    return jax.lax.with_sharding_constraint(Best(-scores[:, :k], positions[:, :k]), whole)


def _scores(queries: Array, block: Block) -> Float[Array, "b t"]:
    if block.rows.dtype == jnp.float32:
        return jnp.einsum("bd,td->bt", queries, block.rows, precision=jax.lax.Precision.HIGHEST)
    # bfloat16 holds every int8. These scores only choose what is scored again in float32.
    low = queries.astype(jnp.bfloat16), block.rows.astype(jnp.bfloat16)
    scores = jnp.einsum("bd,td->bt", *low, preferred_element_type=jnp.float32)
    return scores if block.scales is None else scores * block.scales[None]


def _best(best: Best, scores: Float[Array, "b t"], first: Array, count: Array) -> Best:
    b, groups = scores.shape[0], scores.shape[1] // GROUP
    maxima = scores.reshape(b, groups, GROUP).max(axis=2)
    # Padding within a group repeats the last document: a mask over the scores would cost a pass.
    real = (first + GROUP * jnp.arange(groups) < count)[None]
    maxima = jnp.where(real, jnp.where(maxima == 0, 0.0, maxima), -jnp.inf)
    # Equal to the k-th is too late: that one came before.
    needed = (maxima > best.scores[:, -1:]).sum(axis=1).max()
    most = min(best.scores.shape[1], groups)
    widths = [width for width in WIDTHS if width < most]
    branch = sum((needed > width).astype(jnp.int32) for width in widths)
    ways = [partial(_with_groups, width=width) for width in (*widths, most)]
    return jax.lax.switch(branch, ways, best, scores, maxima, first, count)


def _with_groups(
    best: Best, scores: Array, maxima: Array, first: Array, count: Array, *, width: int
) -> Best:
    """The lists after a tile of which `width` groups hold all that belongs there."""
    if width == 0:
        return best
    b, groups = maxima.shape
    chosen = jnp.sort(jax.lax.top_k(maxima, width)[1], axis=1)[:, :, None]
    candidates = jnp.take_along_axis(scores.reshape(b, groups, GROUP), chosen, axis=1)
    positions = first + chosen * GROUP + jnp.arange(GROUP)[None, None]
    return _joined(best, candidates.reshape(b, -1), positions.reshape(b, -1), count)


def _approximate(
    best: Best, scores: Float[Array, "b t"], first: Array, count: Array, recall: float
) -> Best:
    rows = scores.shape[1]
    real = (first + jnp.arange(rows) < count)[None]
    k = min(best.scores.shape[1], rows)
    found = jax.lax.approx_max_k(jnp.where(real, scores, -jnp.inf), k, recall_target=recall)
    return _joined(best, found[0], first + found[1], count)


def _joined(best: Best, candidates: Array, positions: Array, count: Array) -> Best:
    """The k best of the lists and of candidates that come after them."""
    candidates = jnp.where(positions < count, candidates, -jnp.inf)
    candidates = jnp.where(candidates == 0, 0.0, candidates)  # lax.top_k puts -0 below 0
    scores, where = jax.lax.top_k(
        jnp.concatenate([best.scores, candidates], axis=1), best.scores.shape[1]
    )
    both = jnp.concatenate([best.positions, positions], axis=1)
    return Best(scores, jnp.take_along_axis(both, where, axis=1))
