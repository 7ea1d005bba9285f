"""The loss of a whole batch in blocks of queries: as the whole score matrix has it, never held."""

import functools
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tart_jax import distributed, sharding
from tart_jax.data.batching import HARD, KINDS, UNFOLLOWING
from tart_jax.losses import contrastive, in_batch
from tart_jax.train import plan

B, N, D, P = 16, 3, 8, 2
TEMPERATURE = 0.1


def make(b: int, n: int, d: int, p: int) -> dict:
    """Queries whose documents others know as positives, too; all kinds, padding, weights."""
    rng = np.random.default_rng(0)
    kinds = rng.integers(1, 4, (b, n)).astype(np.int8)
    kinds[:, 0] = 0
    kinds[::5, -1] = -1
    hashes = rng.integers(0, b, (b, n, 2)).astype(np.uint32) // [1, b]  # one in b is equal
    positives = np.concatenate([hashes[:, :1], rng.integers(0, b, (b, p - 1, 2)) // [1, b]], 1)
    vectors = rng.standard_normal((b + b * n, d)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    flat = kinds.reshape(-1)
    return {
        "queries": vectors[:b],
        "positive_hashes": positives.astype(np.uint32),
        "embeddings": vectors[b:],
        "valid": flat >= 0,
        "kinds": flat,
        "hashes": hashes.reshape(-1, 2).astype(np.uint32),
        "counted": (flat != HARD) | (np.arange(b * n) % 7 > 0),
        "weights": np.where(flat == UNFOLLOWING, 0.5, 1.0).astype(np.float32),
    }


@pytest.fixture(scope="module")
def arrays() -> dict:
    return make(B, N, D, P)


def batch_loss(mesh, block: int):
    def loss(queries, embeddings, positive_hashes, **labels):
        documents = in_batch.Documents(embeddings, **labels)
        losses, values = in_batch.info_nce(
            queries, positive_hashes, documents, temperature=TEMPERATURE, mesh=mesh, block=block
        )
        return jnp.mean(losses), (losses, values)

    return loss


def lower(arrays, devices: int, block: int, make=batch_loss):
    mesh = distributed.make_mesh({"data": devices}, jax.devices()[:devices])
    placed = sharding.to_global(arrays, sharding.over_batch(mesh))
    value = jax.jit(jax.value_and_grad(make(mesh, block), argnums=(0, 1), has_aux=True))
    queries, embeddings = placed.pop("queries"), placed.pop("embeddings")
    return value.lower(queries, embeddings, **placed), (queries, embeddings, placed)


def on(arrays, devices: int, block: int):
    """(losses, values, gradients) as host arrays."""
    lowered, (queries, embeddings, rest) = lower(arrays, devices, block)
    (_, (losses, values)), grads = lowered.compile()(queries, embeddings, **rest)
    return jax.device_get((losses, values, grads))


@pytest.fixture(scope="module")
def found(arrays) -> dict:
    """By (devices, block)."""
    return {case: on(arrays, *case) for case in ((1, 0), (4, 8))}


@pytest.fixture(scope="module")
def whole(found):
    return found[1, 0]


def close(one, other) -> bool:
    """1e-6 of each array's largest entry: float32 rounding, of sums in another order."""
    pairs = zip(jax.tree.leaves(one), jax.tree.leaves(other), strict=True)
    return all(np.abs(a - b).max() <= 1e-6 * np.abs(a).max() for a, b in pairs)


def plain(arrays, *, offset: int = B // 4, stopped: int | None = None):
    """(losses, gradients) of four blocks by a Python loop over `contrastive`'s functions.

    The twins: offset, how many places later a block's positives stand than those of the block
    before it; stopped: a block whose gradient is forgotten.
    """
    size = B // 4
    rest = {name: jnp.asarray(value) for name, value in arrays.items()}

    def loss(queries, embeddings):
        parts = []
        for number in range(4):
            rows = slice(number * size, (number + 1) * size)
            index = (jnp.arange(size) + number * offset) * N
            known = rest["positive_hashes"][rows]
            mask = contrastive.candidates(rest["valid"], rest["hashes"], known, index)
            part = contrastive.info_nce(
                queries[rows], embeddings, temperature=TEMPERATURE, positive_index=index,
                mask=mask & rest["counted"][None], weights=rest["weights"],
            )  # fmt: skip
            parts.append(jax.lax.stop_gradient(part) if number == stopped else part)
        return jnp.mean(jnp.concatenate(parts)), jnp.concatenate(parts)

    value = jax.jit(jax.value_and_grad(loss, argnums=(0, 1), has_aux=True))
    (_, losses), grads = value(rest["queries"], rest["embeddings"])
    return jax.device_get((losses, grads))


def test_blocks_have_the_losses_and_gradients_of_a_plain_loop(arrays, found):
    wanted = plain(arrays)
    broken = [plain(arrays, offset=0), plain(arrays, stopped=2)]
    for losses, values, grads in found.values():
        assert close((losses, grads), wanted)
        assert not any(close((losses, grads), other) for other in broken)
        assert close(values, found[1, 0][1])


@pytest.mark.slow
@pytest.mark.parametrize("devices", [1, 2, 4, 8])
@pytest.mark.parametrize("block", [0, 8, 16, 32])
def test_blocks_equal_the_whole_on_any_number_of_devices(devices, block):
    arrays = make(32, N, D, P)
    found, wanted = on(arrays, devices, block), on(arrays, 1, 0)
    assert close(found, wanted)
    # Neither a block nor another device changes a bit of what is logged of accuracies and counts.
    for name, (value, counted) in wanted[1].items():
        if not name.startswith("loss/"):
            np.testing.assert_array_equal(found[1][name], (value, counted))
    swapped = arrays | {"embeddings": np.roll(arrays["embeddings"], N, axis=0)}
    assert not close(on(swapped, devices, block), wanted)


def test_what_is_logged_is_told_from_the_whole_score_matrix(arrays, whole):
    losses, values, _ = whole
    queries, embeddings = arrays["queries"].astype(np.float64), arrays["embeddings"]
    scores, positive = queries @ embeddings.T / TEMPERATURE, np.arange(B) * N
    known = (arrays["hashes"][None, None] == arrays["positive_hashes"][:, :, None]).all(-1).any(1)
    is_own = np.arange(B * N)[None] // N == np.arange(B)[:, None]
    is_positive = np.arange(B * N)[None] == positive[:, None]
    mask = arrays["valid"] & ~known & ~is_positive
    columns = {"all": mask, "in_batch": mask & ~is_own}
    for name, kind in KINDS.items():
        columns[name] = mask & is_own & (arrays["kinds"] == kind)
    for name, marked in columns.items():
        best = np.where(marked, scores, -np.inf).max(1)
        won = marked.any(1) & (scores[np.arange(B), positive] > best)
        assert (values[f"accuracy/{name}"] == np.stack([won, marked.any(1)])).all()
        if name != "all":
            beside = np.exp(scores - scores[np.arange(B), positive][:, None])
            alone = np.log1p(np.where(marked, beside, 0).sum(1))
            # Scores reach 10, which float32 rounds by 1e-6.
            np.testing.assert_allclose(values[f"loss/{name}"][0], alone, rtol=5e-6, atol=5e-6)
            assert (values[f"loss/{name}"][1] == marked.any(1)).all()
    counts = (mask & arrays["counted"]).sum(1)
    assert (values["negatives_per_query"][0] == counts).all() and len(set(counts)) > 1
    assert (counts < mask.sum(1)).any() and (mask.sum(1) < B * N - 1).any()
    weights = np.where(mask & arrays["counted"], arrays["weights"], 0) + is_positive
    beside = np.exp(scores - scores[np.arange(B), positive][:, None])
    np.testing.assert_allclose(losses, np.log((weights * beside).sum(1)), rtol=5e-6, atol=5e-6)


def test_the_program_of_blocks_holds_no_matrix_of_all_queries_and_documents():
    b, n = 64, 2
    arrays = make(b, n, 4, 2)

    def largest(block: int) -> int:
        lowered, _ = lower(arrays, 1, block)
        return max(int(np.prod(shape)) for shape in plan.shapes(lowered.compile()))

    assert largest(8) <= 8 * b * n * 2  # a block's hashes, two positives each
    assert largest(0) >= b * b * n


def between_devices(lowered) -> list[tuple[bool, str, str]]:
    """(whether it stands in a loop, operation, shape) of what devices exchange in two dimensions"""
    found, entry = [], False
    for line in lowered.compile().as_text().splitlines():
        if line and not line.startswith(" "):
            entry = line.startswith("ENTRY")
        elif match := re.search(r"= .*?f32\[(\d+,\d+)\].*? (all-\w+|reduce-scatter)\(", line):
            found.append((not entry, match[2], match[1]))
    return found


def left_to_the_compiler(mesh, block):
    """The twin: blocks of the global arrays, each with an equal share of each device's queries."""

    def loss(queries, embeddings, positive_hashes, **labels):
        documents = in_batch.Documents(embeddings, **labels)
        documents = jax.lax.with_sharding_constraint(documents, sharding.replicated(mesh))
        everyone = in_batch.Queries(queries, positive_hashes, jnp.arange(B))
        blocks = jax.tree.map(lambda x: sharding.split_rows(x, B // block), everyone)
        score = functools.partial(
            in_batch._score, documents=documents, n=N, temperature=TEMPERATURE
        )
        losses, values = jax.lax.map(jax.checkpoint(score), blocks)
        return jnp.mean(losses), (losses, values)

    return loss


def test_documents_are_gathered_once_and_their_gradients_added_up_once(arrays):
    exchanged = between_devices(lower(arrays, 8, 8)[0])
    assert exchanged == [
        (False, "all-gather", f"{B * N},{D}"),
        (False, "reduce-scatter", f"{B * N // 8},{D}"),
    ]
    left = between_devices(lower(arrays, 8, 8, left_to_the_compiler)[0])
    assert any(in_loop and shape == f"{B * N},{D}" for in_loop, _, shape in left)


@pytest.mark.parametrize("devices, block", [(1, 5), (8, 4), (8, 24)])
def test_blocks_that_do_not_divide_the_queries_of_a_device_are_refused(arrays, devices, block):
    with pytest.raises(ValueError, match=f"blocks of {block} do not divide 16 queries"):
        lower(arrays, devices, block)
