"""Objectives of cross-encoders and of distillation: what they average, same on all devices."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from tart_jax import distributed, sharding
from tart_jax.data.batching import Collator, PairCollator, Sampler
from tart_jax.losses import distillation, ranking
from tart_jax.models import cross_encoder, dual_encoder, pretrained
from tart_jax.models.cross_encoder import CrossEncoderConfig
from tart_jax.models.dual_encoder import DualEncoderConfig
from tart_jax.train import objective_table, objectives
from tart_jax.train import state as train_state
from tart_jax.train.step import accumulate, make_step
from tests.train.conftest import scored_examples, tiny_bert

CROSS = CrossEncoderConfig(encoder=tiny_bert(), dropout=0.0)
DUAL = DualEncoderConfig(encoder=tiny_bert())
CROSS_NAMES = [name for name, entry in objective_table.OBJECTIVES.items() if entry.kind == "cross"]
OPTIONS = dict(
    temperature=1.0, contrastive_weight=0.5, teaching="kl", teaching_weight=2.0,
    teaching_temperature=2.0,
)  # fmt: skip


# Of the largest entry: float32 rounding. In the losses of lists, gradients of a query's documents
# nearly cancel in an untrained model, which scores them alike: 2 to 5e-6 were seen.
BOUNDS = {name: 1e-6 if name == "cross_pointwise" else 1e-5 for name in CROSS_NAMES}


def rows(examples) -> list:
    sample = Sampler({"pairs": ("find",)}, 2, 0.3, 0.0, "instruction_first", "[SEP]")
    return [sample(e, np.random.default_rng(i)) for i, e in enumerate(examples)]


@pytest.fixture(scope="module")
def tokenizer(model_directory):
    return pretrained.load(model_directory).tokenizer


@pytest.fixture(scope="module")
def pairs(tokenizer) -> dict[str, np.ndarray]:
    """All 32 queries with three documents each, some of them padding, most with a score."""
    collate = PairCollator(tokenizer, num_negatives=2, pair_length=16, start=None)
    batch = collate(rows(scored_examples()))
    batch["document_valid"][:7, 2] = False
    batch["document_kind"][:7, 2] = -1
    return batch


@pytest.fixture(scope="module")
def small(pairs) -> dict[str, np.ndarray]:
    """Eight of them."""
    return {name: value[:8] for name, value in pairs.items()}


@pytest.fixture(scope="module")
def texts(tokenizer) -> dict[str, np.ndarray]:
    """Eight queries for a dual encoder."""
    collate = Collator(
        tokenizer, num_negatives=2, query_length=8, document_length=8, duplicates="id",
        known_positives=1,
    )  # fmt: skip
    return collate(rows(scored_examples(8)))


def params_of(name: str):
    """(params, graphdef); wide weights, or all pairs would have the same score to six digits."""
    if name.startswith("cross"):
        params, graphdef = (
            cross_encoder.init(CROSS, jax.random.key(1)),
            cross_encoder.graphdef(CROSS),
        )
    else:
        params, graphdef = dual_encoder.init(DUAL, jax.random.key(1)), dual_encoder.graphdef(DUAL)
    return jax.tree.map(lambda leaf: leaf * 10 if leaf.ndim == 2 else leaf, params), graphdef


def flat(tree) -> np.ndarray:
    return np.concatenate([np.ravel(leaf) for leaf in jax.tree.leaves(jax.device_get(tree))])


@functools.cache
def compiled(name: str, devices: int, options: tuple):
    mesh = distributed.make_mesh({"data": devices}, jax.devices()[:devices])
    params, graphdef = params_of(name)
    objective = objective_table.build(graphdef, mesh=mesh, name=name, **OPTIONS | dict(options))
    value = jax.jit(jax.value_and_grad(objective, has_aux=True))
    return mesh, jax.device_put(params, sharding.replicated(mesh)), value


def gradients(name: str, devices: int, batch, **changes):
    """(loss, gradients, metrics)"""
    mesh, params, value = compiled(name, devices, tuple(changes.items()))
    placed = sharding.to_global(batch, sharding.over_batch(mesh))
    (loss, metrics), grads = value(params, placed, None)
    return float(loss), flat(grads), jax.device_get(metrics)


def close(one, other, bound: float) -> bool:
    return (
        abs(one[0] - other[0]) <= 1e-6 * abs(one[0])
        and np.abs(one[1] - other[1]).max() <= bound * np.abs(one[1]).max()
    )


@pytest.mark.parametrize("name", CROSS_NAMES)
def test_same_loss_and_gradients_on_one_and_eight_devices(name, small):
    one, bound = gradients(name, 1, small), BOUNDS[name]
    assert close(one, gradients(name, 8, small), bound)
    # The twins: padding that counts, and another document in the positive's place.
    unmasked = small | {"document_valid": np.ones_like(small["document_valid"])}
    swapped = small | {"pair_tokens": small["pair_tokens"][:, ::-1].copy()}
    for broken in (unmasked, swapped):
        assert not close(one, gradients(name, 8, broken), bound)


@pytest.mark.slow
@pytest.mark.parametrize("teaching", objective_table.TEACHINGS)
def test_a_distilled_dual_encoder_is_the_same_on_one_and_eight_devices(teaching, texts):
    one = gradients("dual_distill", 1, texts, teaching=teaching)
    # 1e-5: as in test_step, large terms cancel in the layer norms of a random model.
    assert close(one, gradients("dual_distill", 8, texts, teaching=teaching), 1e-5)
    reversed_scores = texts | {"document_score": -texts["document_score"]}
    assert not close(one, gradients("dual_distill", 8, reversed_scores, teaching=teaching), 1e-5)


def logits_of(pairs):
    params, graphdef = params_of("cross")
    b, n, length = pairs["pair_tokens"].shape
    parts = [pairs[f"pair_{name}"].reshape(b * n, length) for name in ("tokens", "mask", "types")]
    return cross_encoder.logits(graphdef, params, *map(jnp.asarray, parts)).reshape(b, n, 2)


def test_each_cross_objective_is_the_mean_of_its_loss(small):
    logits = logits_of(small)
    scores = cross_encoder.scores(logits)
    relevant = jnp.asarray(small["document_kind"] == 0)
    valid, teacher = jnp.asarray(small["document_valid"]), jnp.asarray(small["document_score"])
    scored = valid & jnp.isfinite(teacher)
    wanted = {
        "cross_listwise": ranking.listwise(scores, relevant, valid).mean(),
        "cross_pairwise": ranking.pairwise(scores, relevant, valid).mean(),
        "cross_margin_mse": distillation.margin_mse(scores, teacher, relevant, scored).mean(),
        "cross_pointwise": jnp.where(valid, ranking.pointwise(logits, relevant), 0).mean(),
    }
    found = {name: gradients(name, 1, small)[0] for name in wanted}
    assert found == pytest.approx({k: float(v) for k, v in wanted.items()}, rel=1e-6)
    assert len({round(value, 6) for value in found.values()}) == 4


def test_the_logged_pointwise_loss_is_the_mean_over_pairs_that_exist(small):
    _, _, metrics = gradients("cross_pointwise", 1, small)
    valid = small["document_valid"]
    losses = ranking.pointwise(logits_of(small), jnp.asarray(small["document_kind"] == 0))
    total, count = metrics["loss"]
    assert count == valid.sum() < valid.size
    assert total / count == pytest.approx(float(np.asarray(losses)[valid].mean()), rel=1e-6)
    right, asked = metrics["accuracy/pairs"]
    guesses = np.asarray(cross_encoder.scores(logits_of(small))) > 0
    assert asked == count and right == (guesses == (small["document_kind"] == 0))[valid].sum()


def in_parts(objective, params, batch, parts: int):
    """(gradients, metrics) of so many micro-batches."""

    def one(params, batch, key):
        (_, metrics), grads = jax.value_and_grad(objective, has_aux=True)(params, batch, None)
        return grads, metrics

    batch = {name: jnp.asarray(value) for name, value in batch.items()}
    together = jax.jit(lambda *args: accumulate(one, *args, parts))
    return together(params, batch, jax.random.key(0))


@pytest.mark.parametrize("name", ["cross_pointwise", "cross_margin_mse"])
def test_accumulated_gradients_are_those_of_the_whole_batch(name, small):
    params, graphdef = params_of(name)
    _, grads, metrics = gradients(name, 1, small)
    # The first 7 queries have two documents, the last three: micro-batches differ in pairs.
    parts, summed = in_parts(
        objective_table.build(graphdef, mesh=None, name=name), params, small, 4
    )
    assert np.abs(grads - flat(parts)).max() <= BOUNDS[name] * np.abs(grads).max()
    assert flat(metrics) == pytest.approx(flat(summed), rel=1e-6)


def test_a_mean_over_existing_pairs_would_not_survive_accumulation(small):
    params, graphdef = params_of("cross")
    right = objectives.cross_pointwise(graphdef)

    def objective(params, batch, key):
        _, metrics = right(params, batch, key)
        return metrics["loss"][0] / metrics["loss"][1], metrics

    _, grads, metrics = gradients("cross_pointwise", 1, small)
    whole = grads * small["document_valid"].size / metrics["loss"][1]
    parts, _ = in_parts(objective, params, small, 4)
    assert np.abs(whole - flat(parts)).max() > 1e-3 * np.abs(whole).max()


def test_accuracies_count_the_kinds_of_a_querys_own_negatives(small):
    _, _, metrics = gradients("cross_listwise", 1, small)
    kinds = small["document_kind"]
    assert metrics["loss"][1] == metrics["accuracy/all"][1] == 8
    assert metrics["accuracy/random"][1] == (kinds == 1).any(1).sum()
    assert metrics["accuracy/hard"][1] == (kinds == 2).any(1).sum() < 8
    assert metrics["accuracy/unfollowing"][1] == 0
    scores = np.asarray(cross_encoder.scores(logits_of(small)))
    others = np.where(small["document_valid"][:, 1:], scores[:, 1:], -np.inf)
    assert metrics["accuracy/all"][0] == (scores[:, 0] > others.max(1)).sum()


@pytest.mark.parametrize("name", ["cross_pointwise", "cross_listwise"])
def test_it_learns_32_queries_to_a_loss_below_a_tenth(name, pairs):
    mesh = distributed.make_mesh({"data": 1}, jax.devices()[:1])
    params, graphdef = params_of(name)
    optimizer = optax.adamw(1e-2)
    state, shardings = train_state.create(params, optimizer, mesh=mesh, rules=())
    step = make_step(
        objective_table.build(graphdef, mesh=mesh, name=name, **OPTIONS), optimizer,
        lambda step: 1e-2, accumulation=1, dropout=False, mesh=mesh, shardings=shardings,
    )  # fmt: skip
    placed = sharding.to_global(pairs, sharding.over_batch(mesh))
    for _ in range(300):
        state, metrics = step(state, placed, jax.random.key(0))
        loss = float(metrics["loss"][0] / metrics["loss"][1])
        if loss < 0.1:
            break
    assert loss < 0.1
    assert float(metrics["accuracy/all"][0]) >= 30


def test_a_student_learns_its_teachers_margins(pairs):
    """MarginMSE alone, towards scores that no label could tell."""
    mesh = distributed.make_mesh({"data": 1}, jax.devices()[:1])
    params, graphdef = params_of("cross_margin_mse")
    optimizer = optax.adamw(1e-2)
    state, shardings = train_state.create(params, optimizer, mesh=mesh, rules=())
    step = make_step(
        objectives.cross_margin_mse(graphdef), optimizer, lambda step: 1e-2,
        accumulation=1, dropout=False, mesh=mesh, shardings=shardings,
    )  # fmt: skip
    placed = sharding.to_global(pairs, sharding.over_batch(mesh))
    losses = []
    for _ in range(200):
        state, metrics = step(state, placed, jax.random.key(0))
        losses.append(float(metrics["loss"][0] / metrics["loss"][1]))
    assert losses[-1] < 0.1 * losses[0]


def mean(metrics, name: str) -> float:
    return float(metrics[name][0] / metrics[name][1])


def test_documents_without_a_score_teach_nothing(texts):
    nothing = texts | {"document_score": np.full_like(texts["document_score"], np.nan)}
    loss, grads, metrics = gradients("dual_distill", 1, nothing, teaching="kl")
    plain, plain_grads, _ = gradients("dual_contrastive", 1, nothing)
    assert loss == pytest.approx(0.5 * plain, rel=1e-6)
    assert np.abs(grads - 0.5 * plain_grads).max() <= 1e-6 * np.abs(plain_grads).max()
    assert metrics["taught"][0] == 0 and metrics["loss/teaching"][1] == 0
    taught, _, metrics = gradients("dual_distill", 1, texts, teaching="kl")
    scored = np.isfinite(texts["document_score"]).sum(1)
    assert metrics["taught"][0] == (scored > 1).sum() > 2 and taught > loss


def test_the_weights_of_distillation_add_up(texts):
    loss, _, metrics = gradients("dual_distill", 1, texts, teaching="kl")
    contrastive, taught = mean(metrics, "loss/contrastive"), metrics["loss/teaching"][0] / 8
    assert loss == pytest.approx(0.5 * contrastive + 2 * taught, rel=1e-6)
    assert contrastive == pytest.approx(gradients("dual_contrastive", 1, texts)[0], rel=1e-6)
    assert min(contrastive, taught) > 0.01


@pytest.mark.slow
@pytest.mark.parametrize("teaching", objective_table.TEACHINGS)
def test_a_teacher_that_is_the_student_teaches_nothing(teaching, texts):
    params, graphdef = params_of("dual")
    b, n, length = texts["document_tokens"].shape
    inputs = {side: [jnp.asarray(texts[f"{side}_{part}"]) for part in ("tokens", "mask")]
              for side in ("query", "document")}  # fmt: skip
    inputs["document"] = [array.reshape(b * n, length) for array in inputs["document"]]
    queries, documents = (
        dual_encoder.encode(graphdef, params, *arrays, tower=side)
        for side, arrays in inputs.items()
    )
    own = np.einsum("bd,bnd->bn", queries, np.asarray(documents).reshape(b, n, -1))

    def taught(score) -> float:
        batch = texts | {"document_score": np.float32(score)}
        return mean(gradients("dual_distill", 1, batch, teaching=teaching)[2], "loss/teaching")

    assert abs(taught(own)) < 1e-5 < 1e-3 < taught(2 * own)


def test_dropout_depends_on_the_key(small):
    dropping = CrossEncoderConfig(encoder=tiny_bert(), dropout=0.5)
    objective = objectives.cross_pointwise(cross_encoder.graphdef(dropping))
    params = cross_encoder.init(dropping, jax.random.key(1))
    batch = {name: jnp.asarray(value) for name, value in small.items()}
    value = jax.jit(lambda key: objective(params, batch, key)[0])
    losses = [float(value(jax.random.key(seed))) for seed in (0, 0, 1)]
    assert losses[0] == losses[1] != losses[2]
