"""Twenty steps are the same on 1, 2, 4 and 8 devices, however the mesh divides batch and state."""

from typing import NamedTuple

import jax
import numpy as np
import optax
import pytest

from tart_jax import distributed, sharding
from tart_jax.models import dual_encoder
from tart_jax.models.dual_encoder import DualEncoderConfig
from tart_jax.models.t5 import T5Config
from tart_jax.train import objectives
from tart_jax.train import state as train_state
from tart_jax.train.step import make_step
from tart_jax.train.trainable import ALL, Trainable
from tests.train.conftest import tiny_bert

WIDE = dict(num_attention_heads=8, hidden_size=32, intermediate_size=64)  # to be divided by 8
BERT = tiny_bert(hidden_dropout_prob=0.1, attention_probs_dropout_prob=0.1, **WIDE)
T5 = T5Config(
    vocab_size=64, d_model=32, d_kv=4, d_ff=48, num_heads=8, num_layers=2, dropout_rate=0.1
)
STEPS, DOCUMENTS, LENGTH = 20, 2, 8
ONE = {"data": 1}
PURE = [{"data": 8}, {"data": 1, "fsdp": 8}, {"data": 1, "fsdp": 1, "tensor": 8}]
MIXED = {"data": 2, "fsdp": 2, "tensor": 2}
SLOW = [
    {"data": 2}, {"data": 4},
    {"data": 1, "fsdp": 2}, {"data": 1, "fsdp": 4}, {"data": 2, "fsdp": 4},
    {"data": 1, "tensor": 2}, {"data": 1, "tensor": 4}, {"data": 4, "tensor": 2},
]  # fmt: skip


class Result(NamedTuple):
    """Of a training: each step's loss, the first step's gradients, the last parameters."""

    losses: np.ndarray
    gradients: dict[str, np.ndarray]
    params: dict[str, np.ndarray]


def batches(queries: int) -> list[dict[str, np.ndarray]]:
    draw = np.random.default_rng(0)
    rows, documents = (queries, LENGTH), (queries, DOCUMENTS, LENGTH)
    texts = {"query": rows, "document": documents}
    made = []
    for _ in range(STEPS):
        lengths = {k: draw.integers(2, LENGTH + 1, (*v[:-1], 1)) for k, v in texts.items()}
        batch = {f"{k}_tokens": draw.integers(5, 60, v).astype(np.int32) for k, v in texts.items()}
        batch |= {f"{k}_mask": np.arange(LENGTH) < n for k, n in lengths.items()}
        hashes = draw.integers(0, 9, (queries, DOCUMENTS, 2)).astype(np.uint32)  # many are equal
        batch |= {"document_hash": hashes, "positive_hash": hashes[:, :1]}
        kinds = np.tile(np.array([0, 1], np.int8), (queries, 1))
        scores = np.full(kinds.shape, np.nan, np.float32)
        batch |= {"document_valid": kinds >= 0, "document_kind": kinds, "document_score": scores}
        made.append(batch)
    return made


def trained(
    sizes,
    encoder=BERT,
    *,
    queries=8,  # one on each device: with few rows XLA has other ways to divide the work
    dropout=True,
    scan=False,
    change=lambda batch: batch,
    exchange=False,
    trainable=ALL,
    **how,
):
    """exchange: before the last step two devices' parts of each divided array trade places."""
    count = int(np.prod(list(sizes.values())))
    mesh = distributed.make_mesh(sizes, jax.devices()[:count])
    config, optimizer = DualEncoderConfig(encoder=encoder, scan=scan), optax.adamw(1e-3)
    params = trainable.begin(dual_encoder.init(config, jax.random.key(1)), seed=0)
    state, shardings = train_state.create(
        params, optimizer, mesh=mesh, rules=(), trainable=trainable
    )
    objective = objectives.dual_contrastive(
        dual_encoder.graphdef(config), temperature=1.0, unfollowing_weight=1.0, mesh=mesh, **how
    )
    step = make_step(
        objective, optimizer, lambda step: 1e-3,
        accumulation=1, dropout=dropout, mesh=mesh, shardings=shardings, trainable=trainable,
    )  # fmt: skip
    key, losses, gradients = jax.random.key(0), [], {}
    for number, batch in enumerate(batches(queries)):
        if exchange and number == STEPS - 1:
            state = jax.tree.map(exchanged, state)
        placed = sharding.to_global(change(batch), sharding.over_batch(mesh))
        state, metrics = step(state, placed, key)
        total, rows = metrics["loss"]
        losses.append(float(total) / float(rows))
        if not gradients:
            # Adam's means of them: after one step (1 - b1) times the gradients
            gradients = flat(state.opt_state[0].mu)
    return Result(np.array(losses), gradients, flat(state.params))


def exchanged(array: jax.Array) -> jax.Array:
    if array.sharding.is_fully_replicated:
        return array
    parts = [shard.data for shard in array.addressable_shards]
    parts = [jax.device_put(p, s.device) for p, s in zip(
        [*parts[1:], parts[0]], array.addressable_shards, strict=True)]  # fmt: skip
    return jax.make_array_from_single_device_arrays(array.shape, array.sharding, parts)


def flat(tree) -> dict[str, np.ndarray]:
    leaves = jax.tree_util.tree_leaves_with_path(jax.device_get(tree))
    return {jax.tree_util.keystr(path): leaf for path, leaf in leaves}


def far(one: Result, other: Result) -> float:
    """The largest relative distance: of losses, of gradients and of parameters (see `close`)."""
    losses = np.abs(one.losses - other.losses) / np.abs(one.losses)
    # The key's bias adds the same to all scores of a query: its gradient is rounding alone.
    names = [name for name in one.gradients if "['key']['bias']" not in name]
    largest = max(np.abs(one.gradients[name]).max() for name in names)
    gradients = [np.abs(one.gradients[n] - other.gradients[n]).max() / largest for n in names]
    norm = np.linalg.norm
    ours = np.concatenate([one.params[name].ravel() for name in names])
    theirs = np.concatenate([other.params[name].ravel() for name in names])
    return max(losses.max(), *gradients, norm(ours - theirs) / norm(ours))


def close(one: Result, other: Result) -> bool:
    """1e-5: float32 sums in another order, over twenty steps.

    Of each loss, of the largest gradient, and of the parameters' norm: Adam divides a gradient by
    its own size, so that one that is nearly 0 is decided by rounding.
    """
    return far(one, other) <= 1e-5


@pytest.fixture(scope="module")
def one() -> Result:
    return trained(ONE)


def unmasked(batch):
    return batch | {"document_hash": np.zeros_like(batch["document_hash"])}


def test_twenty_steps_on_eight_devices_in_three_ways_are_those_on_one(one):
    assert close(one, trained(MIXED))
    assert one.losses[-1] < one.losses[0]


@pytest.mark.slow
@pytest.mark.parametrize("sizes", [*PURE, *SLOW], ids=str)
def test_twenty_steps_on_any_mesh_are_those_on_one_device(one, sizes):
    assert close(one, trained(sizes))


@pytest.mark.slow
@pytest.mark.parametrize("sizes", PURE, ids=str)
def test_other_rows_or_parts_on_the_wrong_device_give_other_steps(one, sizes):
    """The twins."""
    assert not close(one, trained(sizes, change=unmasked))
    if sizes != PURE[0]:  # which divides no parameter
        assert not close(one, trained(sizes, exchange=True))


@pytest.mark.slow
@pytest.mark.parametrize("sizes", [ONE, *PURE, MIXED], ids=str)
@pytest.mark.parametrize("how", [{"chunk_size": 8}, {"score_block": 8}], ids=str)
def test_chunks_and_blocks_train_as_the_whole_on_any_mesh(sizes, how):
    """Without dropout, which draws by chunk."""
    whole = trained(ONE, dropout=False, queries=16)
    found = trained(sizes, dropout=False, queries=16, **how)
    assert close(whole, found)
    twin = trained(sizes, dropout=False, queries=16, change=unmasked, **how)
    assert not close(whole, twin)


@pytest.mark.slow
@pytest.mark.parametrize("sizes", [*PURE, MIXED], ids=str)
@pytest.mark.parametrize("scan", [False, True])
def test_a_t5_trains_the_same_on_any_mesh(sizes, scan):
    assert close(trained(ONE, T5, scan=scan), trained(sizes, T5, scan=scan))


@pytest.mark.slow
@pytest.mark.parametrize("queries", [4, 16, 32])
def test_other_numbers_of_queries_train_the_same_on_three_axes(queries):
    assert close(trained(ONE, queries=queries), trained(MIXED, queries=queries))


@pytest.mark.parametrize("sizes, divided", [*zip(PURE, (0, 9, 11), strict=True)], ids=str)
def test_the_moments_lie_where_their_parameters_do(sizes, divided):
    config, mesh = DualEncoderConfig(encoder=BERT), distributed.make_mesh(sizes)
    params = jax.eval_shape(lambda: dual_encoder.init(config, jax.random.key(1)))
    state, _ = train_state.create(params, optax.adamw(1e-3), mesh=mesh, rules=())
    places = [
        [leaf.sharding.spec for leaf in jax.tree.leaves(tree)]
        for tree in (state.params, state.opt_state[0].mu, state.opt_state[0].nu)
    ]
    assert places[0] == places[1] == places[2]
    assert sum(any(spec) for spec in places[0]) == divided


@pytest.mark.slow
@pytest.mark.parametrize("sizes", [*PURE, MIXED], ids=str)
def test_loras_factors_train_the_same_on_any_mesh(sizes):
    lora = Trainable(rank=4, targets=("attention/(query|output)/kernel",))
    found = trained(sizes, trainable=lora)
    assert close(trained(ONE, trainable=lora), found)
    assert sum("lora" in name for name in found.gradients) == len(found.gradients)
