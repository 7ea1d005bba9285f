"""The whole T5 against PyTorch's: teacher-forced logits, its cache, precision and dropout."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from tart_jax.models import names_t5, t5_decoder
from tart_jax.models.t5 import T5Config

# float32 sums in another order than PyTorch's, of logits up to 13.
TOLERANCE = 1e-5


def load(reference, *, scan=False, **changes):
    config = dataclasses.replace(reference.config, **changes)
    params, ignored = names_t5.from_hf(reference.tensors, reference.config, "here", scan=scan)
    assert ignored == ()
    return config, params


def run(reference, config, params, *, mask=None, targets=None, key=None, **options):
    graph = t5_decoder.graphdef(config, **options)
    mask = reference.mask if mask is None else mask
    targets = reference.arrays["targets"] if targets is None else targets
    forward = jax.jit(functools.partial(t5_decoder.logits, graph))
    inputs = map(jnp.asarray, (reference.tokens, mask, targets))
    return np.asarray(forward(params, *inputs, key=key))


def difference(reference, **options):
    """The largest difference from PyTorch's logits."""
    logits = run(reference, *load(reference), **options)
    return np.abs(logits - reference.arrays["logits"]).max()


def test_teacher_forced_logits_agree_with_torch(t5_reference):
    assert difference(t5_reference) < TOLERANCE


def test_logits_of_a_tied_table_without_its_scale_do_not_agree_with_torch(relu_tied, monkeypatch):
    whole = t5_decoder.T5.logits
    root = relu_tied.config.d_model**0.5
    monkeypatch.setattr(t5_decoder.T5, "logits", lambda self, hidden: whole(self, hidden * root))
    assert difference(relu_tied) > 10 * TOLERANCE


def test_a_decoder_that_sees_the_padding_of_the_text_does_not_agree_with_torch(gated):
    assert difference(gated, mask=np.ones_like(gated.mask)) > 10 * TOLERANCE


def test_buckets_of_both_directions_in_the_decoder_do_not_agree_with_torch(gated, monkeypatch):
    both = functools.partial(t5_decoder.position_bias)

    def swapped(table, config, length, *, both_ways):
        return both(table, config, length, both_ways=True)

    monkeypatch.setattr(t5_decoder, "position_bias", swapped)
    assert difference(gated) > 10 * TOLERANCE


def test_a_place_does_not_see_what_follows_it(gated):
    config, params = load(gated)
    targets = np.array(gated.arrays["targets"])
    targets[:, 9:] = 5
    logits = run(gated, config, params, targets=targets)
    want = gated.arrays["logits"]
    np.testing.assert_allclose(logits[:, :9], want[:, :9], atol=TOLERANCE)
    assert np.abs(logits[:, 9:] - want[:, 9:]).max() > 0.1


@pytest.mark.slow
@pytest.mark.parametrize("remat", ["none", "layer"])
def test_scanned_layers_give_the_same_logits_with_dropout_and_without(gated, remat, key):
    for each in (None, key):
        plain = run(gated, *load(gated), key=each)
        scanned = run(gated, *load(gated, scan=True), key=each, scan=True, remat=remat)
        np.testing.assert_allclose(plain, scanned, atol=5e-6)  # the same sums, fused otherwise


@pytest.mark.parametrize("scan", [False, True])
def test_steps_through_the_cache_give_the_teacher_forced_logits(t5_reference, scan):
    config, params = load(t5_reference, scan=scan)
    graph = t5_decoder.graphdef(config, scan=scan)
    tokens, mask = jnp.asarray(t5_reference.tokens), jnp.asarray(t5_reference.mask)
    targets = jnp.asarray(t5_reference.arrays["targets"])

    @jax.jit
    def all_steps(params):
        model = nnx.merge(graph, params)
        memory = model.decoder.remember(model.encode(tokens, mask))

        def step(cache, place):
            last = jax.lax.dynamic_slice_in_dim(targets, place, 1, axis=1)
            hidden, cache = model.decoder.step(model.tokens(last), place, cache, memory, mask)
            return cache, model.logits(hidden)[:, 0]

        # three places more than there are targets: what is not written yet must not be seen
        cache = model.decoder.empty_cache(len(tokens), targets.shape[1] + 3)
        return jax.lax.scan(step, cache, jnp.arange(targets.shape[1]))[1]

    logits = np.asarray(all_steps(params)).transpose(1, 0, 2)
    want = t5_reference.arrays["logits"]
    # Relative, too: logits reach 13, where a float32 ends at 1e-6, and one token's products are
    # summed in an order that depends on the processor. 1.1e-5 of a logit of 1.6 was seen.
    np.testing.assert_allclose(logits, want, atol=TOLERANCE, rtol=TOLERANCE)


def test_bfloat16_stays_near_float32_and_logits_are_float32(gated):
    logits = run(gated, *load(gated), dtype="bfloat16")
    assert logits.dtype == np.float32
    error = np.abs(logits - gated.arrays["logits"])
    # 2^-8 a rounding, some dozens on the way, logits up to 13
    assert 1e-3 < error.max() < 1.0


@pytest.mark.slow
def test_dropout_follows_its_key_in_encoder_and_decoder(gated, key):
    config, params = load(gated)
    plain = run(gated, config, params)
    first, again = (run(gated, config, params, key=key) for _ in range(2))
    second = run(gated, config, params, key=jax.random.key(5))
    np.testing.assert_array_equal(first, again)
    assert np.abs(first - plain).max() > 0.1
    assert np.abs(first - second).max() > 0.1


def test_dropout_acts_at_every_place_of_the_originals_decoder(monkeypatch, key):
    shapes = []

    def counted(x, rate, key):
        assert rate == 0.25 and key is not None
        shapes.append(x.shape)
        return x

    monkeypatch.setattr("tart_jax.models.t5_decoder.dropout", counted)
    monkeypatch.setattr("tart_jax.models.t5_layers.dropout", counted)
    config = T5Config(
        vocab_size=9, d_model=8, d_kv=6, d_ff=12, num_layers=2, num_heads=2, dropout_rate=0.25
    )
    model = t5_decoder.T5(config, rngs=nnx.Rngs(0))
    memory, mask = jnp.ones((3, 5, 8)), jnp.ones((3, 5), bool)
    model.decode(jnp.ones((3, 4), int), memory, mask, rngs=nnx.Rngs(dropout=key))
    hidden, scores, cross, inner = (3, 4, 8), (3, 2, 4, 4), (3, 2, 4, 5), (3, 4, 12)
    assert shapes == [hidden, *[scores, hidden, cross, hidden, inner, hidden] * 2, hidden]


@pytest.mark.slow
def test_gradients_reach_every_parameter_and_are_finite(gated, key):
    config, params = load(gated, scan=True)
    graph = t5_decoder.graphdef(config, scan=True, remat="layer")
    inputs = [jnp.asarray(x) for x in (gated.tokens, gated.mask, gated.arrays["targets"])]

    def loss(params):
        return jnp.mean(t5_decoder.logits(graph, params, *inputs, key=key) ** 3)

    gradient = jax.jit(jax.grad(loss))(params)
    for path, leaf in jax.tree_util.tree_leaves_with_path(gradient):
        assert np.isfinite(leaf).all() and float(jnp.abs(leaf).max()) > 0, path


def test_the_decoder_reads_the_start_token_and_all_labels_but_the_last():
    config = T5Config(decoder_start_token_id=7)
    shifted = t5_decoder.shift_right(jnp.asarray([[3, 4, 1], [5, 1, 0]]), config)
    np.testing.assert_array_equal(shifted, [[7, 3, 4], [7, 5, 1]])


@pytest.mark.parametrize("family", ["T5", "MT5"])
def test_an_exported_random_model_has_the_logits_of_torch_where_that_is_installed(family, key):
    torch, transformers = map(pytest.importorskip, ("torch", "transformers"))
    config = T5Config(
        vocab_size=50, d_model=16, d_kv=12, d_ff=20, num_layers=3, num_decoder_layers=2,
        num_heads=2, feed_forward_proj="gated-gelu", tie_word_embeddings=False,
        model_type=family.lower(),
    )  # fmt: skip
    params = t5_decoder.init(config, key, scan=True)
    theirs = getattr(transformers, f"{family}Config")(**config.to_hf())
    model = getattr(transformers, f"{family}ForConditionalGeneration")(theirs).eval()
    model.lm_head.weight = torch.nn.Parameter(torch.empty(50, 16))  # 5.x ties at birth
    tensors = {k: torch.tensor(v) for k, v in names_t5.to_hf(params, config).items()}
    lost = model.load_state_dict(tensors, strict=False)
    assert lost.unexpected_keys == []
    assert all(name.endswith("embed_tokens.weight") for name in lost.missing_keys)
    tokens = np.arange(2, 34, dtype=np.int32).reshape(2, 16)
    targets = np.array([[0, 4, 9, 7], [0, 8, 0, 33]], np.int32)
    inputs = [torch.from_numpy(x).long() for x in (tokens, targets)]
    with torch.inference_mode():
        want = model(
            input_ids=inputs[0],
            decoder_input_ids=inputs[1],
            decoder_attention_mask=torch.ones_like(inputs[1]),
        ).logits.numpy()
    graph = t5_decoder.graphdef(config, scan=True)
    ours = jax.jit(functools.partial(t5_decoder.logits, graph))(
        params, jnp.asarray(tokens), jnp.ones((2, 16), bool), jnp.asarray(targets)
    )
    np.testing.assert_allclose(ours, want, atol=TOLERANCE, rtol=TOLERANCE)


def test_abstract_parameters_have_the_shapes_of_real_ones():
    config = T5Config(vocab_size=9, d_model=8, d_kv=6, d_ff=12, num_layers=2, num_heads=2)
    for scan in (False, True):
        real = t5_decoder.init(config, jax.random.key(0), scan=scan)
        abstract = t5_decoder.abstract_params(config, scan=scan)
        assert jax.tree.map(lambda x: (x.shape, x.dtype), real) == jax.tree.map(
            lambda x: (x.shape, x.dtype), abstract
        )
