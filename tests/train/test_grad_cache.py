"""Gradient caching: exactly the paper's algorithm, and the same steps as without."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from tart_jax import distributed, sharding
from tart_jax.models import dual_encoder
from tart_jax.models.dual_encoder import DualEncoderConfig
from tart_jax.train import grad_cache, objective_table, plan
from tart_jax.train import state as train_state
from tart_jax.train.step import make_step
from tests.train.conftest import tiny_bert


def encoder(layers: int, dropout: float) -> DualEncoderConfig:
    """Without layers it is embeddings, their norm and dropout, and compiles in a second."""
    rates = dict.fromkeys(("hidden_dropout_prob", "attention_probs_dropout_prob"), dropout)
    return DualEncoderConfig(tiny_bert(num_hidden_layers=layers, **rates))


PLAIN, DROPPING = encoder(2, 0.0), encoder(2, 0.1)
BARE, BARE_DROPPING = encoder(0, 0.0), encoder(0, 0.1)
OPTIONS = dict(
    temperature=1.0, contrastive_weight=0.5, teaching="kl", teaching_weight=2.0,
    teaching_temperature=2.0, unfollowing_weight=0.5,
)  # fmt: skip
TEXTS, CHUNK, LENGTH = 32, 8, 8


@functools.cache
def params_of(config: DualEncoderConfig):
    """Wide weights, or all pairs would have the same score to six digits."""
    params = dual_encoder.init(config, jax.random.key(1))
    return jax.tree.map(lambda leaf: leaf * 10 if leaf.ndim == 2 else leaf, params)


def flat(tree) -> np.ndarray:
    return np.concatenate([np.ravel(leaf) for leaf in jax.tree.leaves(jax.device_get(tree))])


def close(one, other) -> bool:
    """1e-5 of the largest entry, as in test_step: float32 rounding, where large terms cancel."""
    return np.abs(one - other).max() <= 1e-5 * np.abs(one).max()


# --- the encoder alone


@pytest.fixture(scope="module")
def texts() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Tokens, mask, and what a loss would hand back: a gradient of their embeddings."""
    rng = np.random.default_rng(0)
    tokens = rng.integers(1, 64, (TEXTS, LENGTH)).astype(np.int32)
    mask = np.arange(LENGTH) < rng.integers(3, LENGTH + 1, (TEXTS, 1))
    return tokens, mask, rng.standard_normal((TEXTS, PLAIN.dims)).astype(np.float32)


def pull(config, texts, key, chunk_size: int, devices: int):
    """(embeddings, gradient of the parameters) through `grad_cache.encode`."""
    mesh = distributed.make_mesh({"data": devices}, jax.devices()[:devices])
    placed = [jax.device_put(array, sharding.over_batch(mesh)) for array in texts]
    params = jax.device_put(params_of(config), sharding.replicated(mesh))

    def both(params, tokens, mask, given):
        encode = functools.partial(
            grad_cache.encode, dual_encoder.graphdef(config), tokens=tokens, mask=mask,
            tower="query", key=key, chunk_size=chunk_size,
        )  # fmt: skip
        embeddings, back = jax.vjp(encode, params)
        return embeddings, back(given)[0]

    embeddings, grads = jax.jit(both)(params, *placed)
    return flat(embeddings), flat(grads)


@functools.partial(jax.jit, static_argnums=0)
def one_chunk(config, params, tokens, mask, given, key):
    """(embeddings, gradient of the parameters), neither of which needs the other."""
    encode = functools.partial(
        dual_encoder.encode, dual_encoder.graphdef(config), tokens=tokens, mask=mask,
        tower="query", key=key,
    )  # fmt: skip
    embeddings, back = jax.vjp(encode, params)
    return embeddings, back(given)[0]


def by_hand(config, texts, key, *, second_key=None, forgotten: int | None = None):
    """The paper's two passes, chunk by chunk: encode without a gradient, then again with one.

    The twins: second_key, the dropout of the second pass; forgotten: a chunk left out of it.
    """
    chunks, embeddings, total = TEXTS // CHUNK, np.zeros((TEXTS, PLAIN.dims), np.float32), 0
    for number in range(chunks):
        rows = [array[number::chunks] for array in texts]
        first, second = (
            one_chunk(config, params_of(config), *rows, jax.random.fold_in(one, number))
            for one in (key, key if second_key is None else second_key)
        )
        embeddings[number::chunks] = first[0]
        total = total + flat(second[1]) * (number != forgotten)
    return embeddings.ravel(), total


def is_by_hand(config, texts, key, devices: int) -> bool:
    embeddings, grads = pull(config, texts, key, CHUNK, devices)
    wanted, wanted_grads = by_hand(config, texts, key)
    broken = {"second_key": jax.random.key(1)}, {"forgotten": 2}
    assert not any(close(by_hand(config, texts, key, **twin)[1], grads) for twin in broken)
    return close(wanted, embeddings) and close(wanted_grads, grads)


@pytest.mark.parametrize("devices", [1, 8])
def test_with_dropout_it_is_the_two_passes_of_the_paper(texts, key, devices):
    assert is_by_hand(BARE_DROPPING, texts, key, devices)


@pytest.mark.slow
@pytest.mark.parametrize("devices", [1, 2, 4, 8])
def test_with_layers_it_is_the_two_passes_of_the_paper(texts, key, devices):
    assert is_by_hand(DROPPING, texts, key, devices)


def test_chunks_that_do_not_divide_the_texts_are_refused(texts):
    with pytest.raises(ValueError, match="chunks of 5 do not divide 32 texts"):
        pull(PLAIN, texts, None, 5, 1)


def kept(texts, chunk_size: int) -> int:
    """Entries that stand between the two passes, beside the parameters, the texts and the mask."""
    tokens, mask, _ = map(jnp.asarray, texts)

    def residuals(params):
        return jax.vjp(
            lambda params: grad_cache.encode(
                dual_encoder.graphdef(PLAIN), params, tokens, mask, tower="query", key=None,
                chunk_size=chunk_size,
            ),
            params,
        )  # fmt: skip

    embeddings, back = jax.eval_shape(residuals, params_of(PLAIN))
    stored = sum(leaf.size for leaf in jax.tree.leaves((embeddings, back)))
    return stored - flat(params_of(PLAIN)).size


def test_only_the_embeddings_are_kept_between_the_passes(texts):
    embeddings = TEXTS * PLAIN.dims
    # The texts and their mask, and the numbers of the chunks.
    assert kept(texts, CHUNK) <= embeddings + 2 * TEXTS * LENGTH + TEXTS // CHUNK
    assert kept(texts, 0) > 20 * embeddings


def tokens_moved(split) -> bool:
    """Whether devices exchange token ids in the program of chunks that are made by `split`."""
    mesh = distributed.make_mesh({"data": 8})
    tokens = jax.ShapeDtypeStruct((TEXTS, LENGTH), jnp.int32, sharding=sharding.over_batch(mesh))

    def look_up(tokens):
        rows = jax.lax.map(lambda ids: jnp.sin(ids.astype(jnp.float32)), split(tokens))
        return jnp.sum(rows)

    text = jax.jit(look_up).lower(tokens).compile().as_text()
    return any(word in text for word in ("all-gather(", "all-to-all(", "collective-permute("))


def test_a_chunk_takes_an_equal_share_of_each_devices_texts():
    assert not tokens_moved(lambda tokens: sharding.split_rows(tokens, 4))
    assert tokens_moved(lambda tokens: tokens.reshape(4, TEXTS // 4, LENGTH))  # runs of rows
    rows = jnp.arange(24).reshape(12, 2)
    parts = sharding.split_rows(rows, 4)
    assert parts[1, :, 0].tolist() == [2, 10, 18]
    assert (sharding.join_rows(parts) == rows).all()


# --- whole steps


def batch_of(b: int, n: int) -> dict[str, np.ndarray]:
    """All kinds of documents with a teacher's scores, some padding, some known to two queries."""
    rng = np.random.default_rng(0)
    kinds = rng.integers(1, 4, (b, n)).astype(np.int8)
    kinds[:, 0] = 0
    kinds[::5, -1] = -1
    hashes = (rng.integers(0, 2 * b, (b, n, 2)) // [1, 2 * b]).astype(np.uint32)
    tokens = rng.integers(1, 64, (b, 1 + n, LENGTH)).astype(np.int32)
    mask = np.arange(LENGTH) < rng.integers(3, LENGTH + 1, (b, 1 + n, 1))
    return {
        "query_tokens": tokens[:, 0],
        "query_mask": mask[:, 0],
        "document_tokens": tokens[:, 1:],
        "document_mask": mask[:, 1:],
        "document_hash": hashes,
        "positive_hash": hashes[:, :1],
        "document_valid": kinds >= 0,
        "document_kind": kinds,
        "document_score": rng.standard_normal((b, n)).astype(np.float32),
    }


@functools.cache
def compiled(name, devices, accumulation, chunk_size, score_block, config):
    """(mesh, fresh state, step). Plain SGD: Adam divides a gradient by its own size, and so makes
    much of what is but rounding.
    """
    mesh = distributed.make_mesh({"data": devices}, jax.devices()[:devices])
    optimizer = optax.sgd(0.05)
    state, shardings = train_state.create(params_of(config), optimizer, mesh=mesh, rules=())
    objective = objective_table.build(
        dual_encoder.graphdef(config), mesh=mesh, name=name, chunk_size=chunk_size,
        score_block=score_block, **OPTIONS,
    )  # fmt: skip
    step = make_step(
        objective, optimizer, lambda step: 0.05, accumulation=accumulation,
        dropout=config is DROPPING, mesh=mesh, shardings=shardings,
    )  # fmt: skip
    return mesh, state, step


def steps(
    name="dual_contrastive", devices=1, accumulation=1, chunk_size=0, score_block=0,
    config=PLAIN, seed=0, batch=None,
):  # fmt: skip
    """(change of the parameters, all that was logged) in three steps."""
    mesh, fresh, step = compiled(name, devices, accumulation, chunk_size, score_block, config)
    state = jax.tree.map(jnp.copy, fresh)
    placed = sharding.to_global(batch or batch_of(TEXTS, 2), sharding.over_batch(mesh))
    found = []
    for _ in range(3):
        state, metrics = step(state, placed, jax.random.key(seed))
        found.append([float(metrics[name][0]) for name in sorted(metrics)])
    return flat(state.params) - flat(fresh.params), np.array(found)


def same(one, other) -> bool:
    """Changes of parameters as `close`; what was logged to 1e-5 of itself."""
    return close(one[0], other[0]) and np.allclose(one[1], other[1], rtol=1e-5, atol=1e-5)


def test_three_cached_steps_are_three_plain_ones():
    plain = steps(config=BARE)
    assert same(plain, steps(config=BARE, devices=4, chunk_size=8, score_block=8))
    batch = batch_of(TEXTS, 2)
    batch["document_tokens"][-1] = batch["document_tokens"][0]  # of one chunk
    assert not same(plain, steps(config=BARE, batch=batch))


@pytest.mark.slow
@pytest.mark.parametrize("name", ["dual_contrastive", "dual_distill"])
@pytest.mark.parametrize("accumulation", [1, 2])
@pytest.mark.parametrize(
    "devices, chunk_size, score_block",
    [*((devices, 8, 16) for devices in (1, 2, 4, 8)), (2, 8, 0), (2, 0, 8)],
)
def test_steps_are_the_same_cached_and_in_blocks(
    name, accumulation, devices, chunk_size, score_block
):
    plain = steps(name, accumulation=accumulation)
    found = steps(name, devices, accumulation, chunk_size, score_block)
    assert same(plain, found)
    assert not same(steps(name, accumulation=3 - accumulation), found)


@pytest.mark.slow
@pytest.mark.parametrize("accumulation", [1, 2])
def test_cached_steps_with_dropout_depend_on_the_key_alone(accumulation):
    how = dict(accumulation=accumulation, chunk_size=8, score_block=8, config=DROPPING)
    first, again, eight = steps(**how), steps(**how), steps(devices=8, **how)
    assert (first[0] == again[0]).all() and (first[1] == again[1]).all()
    assert same(first, eight)
    assert not same(first, steps(seed=1, **how))
    assert not same(first, steps(**how | {"config": PLAIN}))


@pytest.mark.slow
def test_the_step_of_4096_pairs_holds_no_matrix_of_queries_and_documents():
    def program(pairs: int, score_block: int):
        mesh = distributed.make_mesh({"data": 1}, jax.devices()[:1])
        optimizer = optax.adamw(1e-3)
        params = dual_encoder.abstract_params(DROPPING)
        state, shardings = train_state.create(params, optimizer, mesh=mesh, rules=())
        objective = objective_table.build(
            dual_encoder.graphdef(DROPPING), mesh=mesh, name="dual_contrastive", chunk_size=256,
            score_block=score_block, **OPTIONS,
        )  # fmt: skip
        step = make_step(
            objective, optimizer, lambda step: 1e-3, accumulation=1, dropout=True, mesh=mesh,
            shardings=shardings,
        )  # fmt: skip
        batch = plan.text_batch(
            pairs, 2, query_length=LENGTH, document_length=LENGTH, known_positives=2, mesh=mesh
        )
        return plan.compile_step(step, state, batch, prng="threefry2x32", mesh=mesh)

    half, blocks, whole = program(2048, 256), program(4096, 256), program(4096, 0)
    assert plan.grown(blocks, half, 4096**2) == []
    assert (4096, 2 * 4096) in plan.grown(whole, half, 4096**2)
    need, need_half, need_whole = (
        plan.memory(each)["temporaries"] for each in (blocks, half, whole)
    )
    assert need <= 2 * need_half
    assert need_whole - need > 4 * 4096 * 2 * 4096 and need_whole > 3 * need_half
