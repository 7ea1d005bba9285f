"""The contrastive loss: a NumPy reference, masks, and the same on one and on eight devices."""

import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import PartitionSpec as P

from tart_jax import distributed, sharding
from tart_jax.losses import contrastive

B, N, D = 16, 3, 32
C = B * N


@pytest.fixture(scope="module")
def arrays() -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    queries, documents = rng.standard_normal((B, D)), rng.standard_normal((C, D))
    queries /= np.linalg.norm(queries, axis=1, keepdims=True)
    documents /= np.linalg.norm(documents, axis=1, keepdims=True)
    positive = np.arange(B) * N
    mask = rng.random((B, C)) < 0.8
    mask[np.arange(B), positive] = True
    return {
        "queries": queries.astype(np.float32),
        "documents": documents.astype(np.float32),
        "positive_index": positive,
        "mask": mask,
    }


def reference(queries, documents, temperature, positive, mask) -> np.ndarray:
    losses = []
    for i, query in enumerate(queries.astype(np.float64)):
        scores = documents.astype(np.float64) @ query / temperature
        chosen = np.exp(scores[mask[i]])
        losses.append(np.log(chosen.sum()) - scores[positive[i]])
    return np.array(losses)


def call(arrays, **changes):
    return contrastive.info_nce(**({k: jnp.asarray(v) for k, v in arrays.items()} | changes))


def test_loss_equals_a_plain_reference(arrays):
    wanted = reference(
        arrays["queries"], arrays["documents"], 0.05, arrays["positive_index"], arrays["mask"]
    )
    found = call(arrays, temperature=0.05)
    # Scores reach 20, so float32 rounds the loss by some 20 * 6e-8 = 1e-6.
    np.testing.assert_allclose(found, wanted, rtol=5e-6, atol=5e-6)


@pytest.mark.parametrize(
    "broken",
    [
        dict(positive_index=jnp.arange(B) * N + 1, mask=None),  # labels offset
        dict(mask=None),  # mask dropped
        dict(temperature=0.1),
    ],
)
def test_a_broken_loss_is_no_longer_the_reference(arrays, broken):
    wanted = reference(
        arrays["queries"], arrays["documents"], 0.05, arrays["positive_index"], arrays["mask"]
    )
    found = call(arrays, **({"temperature": 0.05} | broken))
    assert np.abs(np.asarray(found) - wanted).max() > 1e-2


def mean_loss(mesh, gather=True):
    """As the objective: queries and documents divided over the devices, documents gathered."""

    def loss(queries, documents, positive_index, mask):
        if gather:
            documents = jax.lax.with_sharding_constraint(documents, sharding.replicated(mesh))
        losses = contrastive.info_nce(
            queries, documents, temperature=0.05, positive_index=positive_index, mask=mask
        )
        return jnp.mean(losses)

    return loss


def per_device_loss(mesh):
    """The broken twin: each device sees its own documents only, the means are averaged."""

    def local(queries, documents, positive_index, mask):
        index = jnp.arange(queries.shape[0]) * N
        rank = jax.lax.axis_index("data")
        columns = jax.lax.dynamic_slice_in_dim(mask, rank * len(documents), len(documents), 1)
        losses = contrastive.info_nce(
            queries, documents, temperature=0.05, positive_index=index, mask=columns
        )
        return jax.lax.pmean(jnp.mean(losses), "data")

    return jax.shard_map(local, mesh=mesh, in_specs=(P("data"),) * 4, out_specs=P())


def on(count, arrays, make=mean_loss):
    mesh = distributed.make_mesh({"data": count}, jax.devices()[:count])
    placed = [jax.device_put(arrays[name], sharding.over_batch(mesh)) for name in arrays]
    value = jax.jit(jax.value_and_grad(make(mesh), argnums=(0, 1)))
    loss, grads = value(*placed)
    return float(loss), [np.asarray(grad) for grad in grads]


def close(one, other) -> bool:
    """1e-6 relative for the loss and 1e-6 of the largest entry for gradients: float32 rounding."""
    (loss_one, grads_one), (loss_other, grads_other) = one, other
    return abs(loss_one - loss_other) <= 1e-6 * abs(loss_one) and all(
        np.abs(a - b).max() <= 1e-6 * np.abs(a).max()
        for a, b in zip(grads_one, grads_other, strict=True)
    )


def test_same_loss_and_gradients_on_one_and_eight_devices(arrays):
    assert close(on(1, arrays), on(8, arrays))


def test_without_the_gather_eight_devices_differ(arrays):
    assert close(on(1, arrays), on(1, arrays, per_device_loss))
    assert not close(on(1, arrays), on(8, arrays, per_device_loss))


def test_with_offset_labels_or_without_the_mask_they_differ(arrays):
    unmasked = arrays | {"mask": np.ones((B, C), bool)}
    assert not close(on(1, arrays), on(8, unmasked))
    offset = unmasked | {"positive_index": arrays["positive_index"] + 1}
    assert not close(on(1, unmasked), on(8, offset))


def gathers_of_documents(make, arrays) -> list[str]:
    """All-gathers whose result is all documents, in the program compiled for eight devices."""
    mesh = distributed.make_mesh({"data": 8})
    placed = [jax.device_put(arrays[name], sharding.over_batch(mesh)) for name in arrays]
    text = jax.jit(make(mesh)).lower(*placed).compile().as_text()
    return re.findall(rf"= f32\[{C},{D}\]\S* all-gather\(", text)


def test_the_compiled_program_gathers_the_documents(arrays):
    assert gathers_of_documents(mean_loss, arrays)
    assert not gathers_of_documents(per_device_loss, arrays)


def hashes(*numbers: int) -> jnp.ndarray:
    return jnp.stack([jnp.asarray(numbers, jnp.uint32), jnp.zeros(len(numbers), jnp.uint32)], -1)


def test_documents_equal_to_any_known_positive_are_no_candidates():
    # Two queries with two documents each; query 0 knows the positives 1 and 4, query 1 only 3.
    found = contrastive.candidates(
        jnp.ones(4, bool),
        hashes(1, 2, 3, 4),
        jnp.stack([hashes(1, 4), hashes(3, 3)]),
        jnp.array([0, 2]),
    )
    assert found.tolist() == [[True, True, True, False], [True, True, True, True]]


def test_a_copy_of_the_own_positive_is_masked_but_never_the_own_place():
    found = contrastive.candidates(
        jnp.ones(4, bool), hashes(1, 2, 1, 2), hashes(1, 1)[:, None], jnp.array([0, 2])
    )
    assert found.tolist() == [[True, True, False, True], [False, True, True, True]]


def test_half_a_hash_in_common_is_no_duplicate():
    swapped = hashes(1, 2)[:, ::-1]
    found = contrastive.candidates(jnp.ones(2, bool), swapped, hashes(1)[:, None], jnp.array([0]))
    assert found.tolist() == [[True, True]]


def test_padding_is_no_candidate_and_masking_can_be_switched_off():
    valid = jnp.array([True, False, True, True])
    never = jnp.ones((2, 1, 2), jnp.uint32)
    found = contrastive.candidates(valid, jnp.zeros((4, 2), jnp.uint32), never, jnp.array([0, 2]))
    assert found.tolist() == [[True, False, True, True]] * 2


def test_masked_documents_do_not_change_the_loss(arrays):
    mask = np.ones((B, C), bool)
    mask[:, -1] = False
    rest = arrays | {"mask": mask}
    garbage = arrays["documents"].copy()
    garbage[-1] = 1e6
    before = call(rest, temperature=0.05)
    after = call(rest | {"documents": garbage}, temperature=0.05)
    np.testing.assert_array_equal(before, after)
    assert np.isfinite(before).all()
    every = rest | {"mask": np.ones((B, C), bool)}
    assert (call(every | {"documents": garbage}, temperature=0.05) != before).any()


def test_a_weight_counts_a_document_so_many_times(arrays):
    one = jnp.eye(2)[:1]
    found = contrastive.info_nce(
        one, jnp.eye(2), temperature=1.0, positive_index=jnp.array([0]),
        weights=jnp.array([1.0, 3.0]),
    )  # fmt: skip
    assert float(found[0]) == pytest.approx(np.log(np.e + 3) - 1, rel=1e-6)  # e^1 and 3 times e^0
    twice = np.arange(C) % N == 1
    weighed = call(arrays, temperature=0.05, weights=jnp.where(jnp.asarray(twice), 2.0, 1.0))
    doubled = arrays | {
        "documents": np.concatenate([arrays["documents"], arrays["documents"][twice]]),
        "mask": np.concatenate([arrays["mask"], arrays["mask"][:, twice]], axis=1),
    }
    # As the reference above: float32 rounds a loss by some 1e-6.
    np.testing.assert_allclose(weighed, call(doubled, temperature=0.05), rtol=5e-6, atol=5e-6)
    assert np.abs(np.asarray(call(arrays, temperature=0.05)) - weighed).max() > 1e-2


def test_weights_of_one_change_no_bit(arrays):
    ones = call(arrays, temperature=0.05, weights=jnp.ones(C))
    np.testing.assert_array_equal(ones, call(arrays, temperature=0.05))
    more = jnp.where(jnp.arange(C) % N == 0, 1.0, 1.1)  # 1 for the positives
    assert (ones != call(arrays, temperature=0.05, weights=more)).all()


def test_the_loss_against_some_columns_is_that_of_the_others_masked(arrays):
    positive = jnp.asarray(arrays["positive_index"])
    scores = contrastive.similarity(
        jnp.asarray(arrays["queries"]), jnp.asarray(arrays["documents"]), temperature=0.05
    )
    marked = arrays["mask"] & (np.arange(C) % N == 1)
    marked[0] = False
    found, counted = contrastive.loss_against(scores, positive, jnp.asarray(marked))
    own = np.arange(C)[None, :] == arrays["positive_index"][:, None]
    wanted = call(arrays | {"mask": marked | own}, temperature=0.05)
    np.testing.assert_allclose(found, wanted, rtol=5e-6, atol=5e-6)
    assert counted.tolist() == marked.any(1).tolist() and float(found[0]) == 0
    every, _ = contrastive.loss_against(scores, positive, jnp.asarray(arrays["mask"]))
    np.testing.assert_allclose(every, call(arrays, temperature=0.05), rtol=5e-6, atol=5e-6)
    assert np.abs(np.asarray(every) - wanted).max() > 1e-2


def test_accuracy_counts_queries_that_have_such_a_negative():
    scores = jnp.array([[3.0, 1.0, 2.0], [1.0, 5.0, 0.0]])
    columns = jnp.array([[True, True, False], [False, False, False]])
    won, counted = contrastive.beats(scores, jnp.array([0, 0]), columns)
    assert won.tolist() == [1.0, 0.0] and counted.tolist() == [1.0, 0.0]
    won, counted = contrastive.beats(scores, jnp.array([0, 0]), jnp.ones((2, 3), bool))
    assert won.tolist() == [1.0, 0.0] and counted.tolist() == [1.0, 1.0]
