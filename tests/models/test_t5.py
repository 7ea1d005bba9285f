"""T5's encoder against PyTorch's, its position bias, scan, dropout, precision and refusals."""

import dataclasses
import functools
import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from tart_jax.models import names_t5, t5_layers
from tart_jax.models.bert import DTYPES
from tart_jax.models.t5 import T5Config, T5Encoder
from tart_jax.types import InputError

# float32 sums in another order than PyTorch's; outputs are normalised, hence of size 1 to 4.
TOLERANCE = 1e-5
SMALL = T5Config(
    vocab_size=20, d_model=8, d_kv=6, d_ff=12, num_layers=3, num_heads=2, dropout_rate=0.3
)
TOKENS = np.arange(12, dtype=np.int32).reshape(2, 6)


def run_each(config, params, tokens, mask, keys, **options):
    """Hidden states for each key, by one compiled program."""
    build = functools.partial(T5Encoder, config, **options)
    graph = nnx.graphdef(nnx.eval_shape(lambda: build(rngs=nnx.Rngs(0))))

    @jax.jit
    def forward(params, key):
        rngs = None if key is None else nnx.Rngs(dropout=key)
        return nnx.merge(graph, params)(jnp.asarray(tokens), jnp.asarray(mask), rngs=rngs)

    return [forward(params, key) for key in keys]


def run(config, params, tokens, mask, *, key=None, **options):
    return run_each(config, params, tokens, mask, [key], **options)[0]


def load(reference, *, scan=False, **changes):
    config = dataclasses.replace(reference.config, **changes)
    options = {"encoder_only": True, "scan": scan}
    params, _ = names_t5.from_hf(reference.tensors, reference.config, "here", **options)
    return config, params


def difference(reference, **changes):
    """The largest difference from PyTorch's hidden states at real tokens."""
    hidden = run(*load(reference, **changes), reference.tokens, reference.mask)
    return np.abs(np.asarray(hidden) - reference.hidden)[reference.mask].max()


def small(**options):
    encoder = T5Encoder(SMALL, rngs=nnx.Rngs(0), **options)
    return nnx.to_pure_dict(nnx.state(encoder, nnx.Param))


def stacked(params):
    """The same parameters as scan=True holds them."""
    layers = params["stack"]["layers"]
    one = jax.tree.map(lambda *leaves: jnp.stack(leaves), *(layers[i] for i in sorted(layers)))
    return params | {"stack": params["stack"] | {"layers": one}}


def test_hidden_states_agree_with_torch(t5_reference):
    assert difference(t5_reference) < TOLERANCE


@pytest.mark.parametrize(
    "key,value", [("relative_attention_max_distance", 20), ("layer_norm_epsilon", 1e-3)]
)
def test_another_configuration_does_not_agree_with_torch(t5_reference, key, value):
    assert difference(t5_reference, **{key: value}) > 10 * TOLERANCE


def test_scaled_attention_does_not_agree_with_torch(t5_reference):
    """The twin that BERT's attention would be: T5 does not divide its scores."""
    for name, tensor in t5_reference.tensors.items():
        if name.endswith("SelfAttention.q.weight"):
            t5_reference.tensors[name] = tensor * t5_reference.config.d_kv**-0.5
    assert difference(t5_reference) > 10 * TOLERANCE


def test_exact_gelu_does_not_agree_with_torch(gated, monkeypatch):
    assert difference(gated) < TOLERANCE
    monkeypatch.setitem(t5_layers.FEED_FORWARD, "gated-gelu", ("gelu", True))
    assert difference(gated) > TOLERANCE


def test_a_norm_that_takes_the_mean_off_does_not_agree_with_torch(t5_reference, monkeypatch):
    def layer_norm(config, rngs):
        return nnx.LayerNorm(
            config.d_model, epsilon=config.layer_norm_epsilon, use_bias=False, rngs=rngs
        )

    monkeypatch.setattr("tart_jax.models.t5.rms_norm", layer_norm)
    assert difference(t5_reference) > 10 * TOLERANCE


def test_a_position_bias_in_the_first_layer_only_does_not_agree_with_torch(gated, monkeypatch):
    whole = t5_layers.Attention.__call__
    calls = []

    def first_only(self, hidden, keys, values, bias, key):
        calls.append(1)
        masked = jnp.where(bias == t5_layers.LOWEST, bias, 0.0)
        return whole(self, hidden, keys, values, bias if len(calls) == 1 else masked, key)

    monkeypatch.setattr(t5_layers.Attention, "__call__", first_only)
    assert difference(gated) > 10 * TOLERANCE
    assert len(calls) == gated.config.num_layers


def test_buckets_are_those_of_torch_for_every_distance(t5_buckets):
    rows = iter(t5_buckets["buckets"])
    distances = t5_buckets["distances"].astype(np.int32)
    for count, longest in t5_buckets["tables"].tolist():
        config = T5Config(
            relative_attention_num_buckets=count, relative_attention_max_distance=longest
        )
        for both_ways in (True, False):
            ours = t5_layers.buckets(distances, config, both_ways=both_ways)
            np.testing.assert_array_equal(ours, next(rows))
    assert next(rows, None) is None


def test_padding_does_not_change_real_tokens(gated):
    config, params = load(gated)
    filled = np.where(gated.mask, gated.tokens, 7)
    hidden = run(config, params, filled, gated.mask)
    np.testing.assert_allclose(hidden[gated.mask], gated.hidden[gated.mask], atol=TOLERANCE)
    unmasked = np.asarray(run(config, params, filled, np.ones_like(gated.mask)))
    assert np.abs(unmasked - gated.hidden)[gated.mask].max() > 10 * TOLERANCE


@pytest.mark.parametrize("remat", ["none", "layer", "dots"])
def test_scanned_layers_give_the_same_states_with_dropout_and_without(gated, remat, key):
    config, params = load(gated)
    _, together = load(gated, scan=True)
    batch = gated.tokens, gated.mask
    plain = run_each(config, params, *batch, [None, key])
    scanned = run_each(config, together, *batch, [None, key], scan=True, remat=remat)
    for one, other in zip(plain, scanned, strict=True):
        np.testing.assert_allclose(one, other, atol=1e-6)  # the same sums, fused otherwise
    assert np.abs(np.asarray(plain[0]) - np.asarray(plain[1]))[gated.mask].max() > 0.1


@pytest.mark.slow
def test_scan_and_rematerialisation_leave_gradients_as_they_are(key):
    mask = jnp.asarray(TOKENS < 9)

    def gradient(params, **options):
        def loss(params):
            hidden = run(SMALL, params, TOKENS, mask, key=key, **options)
            return jnp.sum(hidden**2 * jnp.arange(8.0)[None, None])

        return jax.grad(loss)(params)

    params = small()
    plain = gradient(params)
    largest = max(float(jnp.abs(leaf).max()) for leaf in jax.tree.leaves(plain))
    for remat in ("layer", "dots"):
        for scan in (False, True):
            again = gradient(stacked(params) if scan else params, scan=scan, remat=remat)
            want = stacked(plain) if scan else plain
            assert jax.tree.structure(again) == jax.tree.structure(want)
            for one, other in zip(jax.tree.leaves(want), jax.tree.leaves(again), strict=True):
                # the same operations, fused otherwise: rounding relative to the largest entry
                np.testing.assert_allclose(one, other, atol=1e-5 * largest)


@pytest.mark.parametrize("scan", [False, True])
@pytest.mark.parametrize("remat,saves", [("none", False), ("layer", True), ("dots", True)])
def test_rematerialisation_is_in_the_program_when_asked_for(remat, saves, scan):
    encoder = T5Encoder(SMALL, remat=remat, scan=scan, rngs=nnx.Rngs(0))
    text = str(jax.make_jaxpr(encoder)(jnp.asarray(TOKENS), jnp.asarray(TOKENS < 9)))
    assert ("remat" in text or "checkpoint" in text) == saves


def test_a_scanned_program_does_not_grow_with_the_layers():
    def lines(depth, scan):
        config = dataclasses.replace(SMALL, num_layers=depth)
        encoder = nnx.eval_shape(lambda: T5Encoder(config, scan=scan, rngs=nnx.Rngs(0)))
        graph, params = nnx.graphdef(encoder), nnx.to_pure_dict(nnx.state(encoder, nnx.Param))
        batch = jnp.asarray(TOKENS), jnp.asarray(TOKENS < 9)
        forward = jax.jit(lambda params: nnx.merge(graph, params)(*batch))
        return len(forward.lower(params).as_text().splitlines())

    assert lines(8, True) == lines(2, True)
    assert lines(8, False) > 2 * lines(2, False)


@pytest.mark.parametrize("scan", [False, True])
def test_layers_start_unlike_each_other_and_as_large_as_the_original_starts_them(scan):
    config = dataclasses.replace(SMALL, d_model=64, d_kv=16, num_heads=4, d_ff=96)
    encoder = T5Encoder(config, scan=scan, rngs=nnx.Rngs(0))
    params = nnx.to_pure_dict(nnx.state(encoder, nnx.Param))
    layers = (params if scan else stacked(params))["stack"]["layers"]
    query, key = (layers["attention"][name]["kernel"] for name in ("query", "key"))
    assert query.shape == (3, 64, 64)
    assert float(jnp.abs(query[0] - query[1]).max()) > 0.01
    # the deviation of 12,288 entries is known to 1 %
    assert float(query.std()) == pytest.approx((64 * 16) ** -0.5, rel=0.05)
    assert float(key.std()) == pytest.approx(64**-0.5, rel=0.05)
    assert float(layers["output"]["down"]["kernel"].std()) == pytest.approx(96**-0.5, rel=0.05)


def test_bfloat16_stays_near_float32(gated):
    hidden = run(*load(gated), gated.tokens, gated.mask, dtype="bfloat16")
    assert hidden.dtype == jnp.bfloat16
    error = np.abs(np.asarray(hidden, np.float32) - gated.hidden)[gated.mask]
    # bfloat16 keeps 8 bits: 2^-8 a rounding, some dozens of them on the way, outputs up to 4.
    assert 1e-3 < error.max() < 0.3


def test_bfloat16_stays_finite_where_the_activations_of_float16_overflow(gated, monkeypatch):
    """XXL's residuals pass 65,504, float16's largest number; the norms make them small again."""
    config, params = load(gated)
    for layer in params["stack"]["layers"].values():
        layer["output"]["up"]["kernel"] *= 1e3
        layer["output"]["down"]["kernel"] *= 1e3
    assert all(np.abs(leaf).max() < 1e4 for leaf in jax.tree.leaves(params))  # float16 holds them
    exact = np.asarray(run(config, params, gated.tokens, gated.mask))
    halves = np.asarray(run(config, params, gated.tokens, gated.mask, dtype="bfloat16"), np.float32)
    assert np.isfinite(halves).all()
    assert np.abs(halves - exact)[gated.mask].max() < 0.3  # as above
    # The twin: the same weights, as far from their limit, in float16.
    monkeypatch.setitem(DTYPES, "float16", jnp.float16)
    assert not np.isfinite(run(config, params, gated.tokens, gated.mask, dtype="float16")).all()


def test_dropout_follows_its_key_and_is_off_without(key):
    params = small()
    other = jax.random.key(1)
    mask = TOKENS < 9
    plain, first, second, again = run_each(SMALL, params, TOKENS, mask, [None, key, other, key])
    off = dataclasses.replace(SMALL, dropout_rate=0.0)
    assert np.abs(np.asarray(first) - np.asarray(plain)).max() > 0.01
    assert np.abs(np.asarray(first) - np.asarray(second)).max() > 0.01
    np.testing.assert_array_equal(first, again)
    np.testing.assert_array_equal(run(off, params, TOKENS, mask, key=key), plain)


def test_dropout_acts_at_every_place_of_the_original(monkeypatch, key):
    shapes = []

    def counted(x, rate, key):
        assert rate == 0.3 and key is not None
        shapes.append(x.shape)
        return x

    monkeypatch.setattr("tart_jax.models.t5.dropout", counted)
    monkeypatch.setattr("tart_jax.models.t5_layers.dropout", counted)
    T5Encoder(SMALL, rngs=nnx.Rngs(0))(
        jnp.asarray(TOKENS), jnp.asarray(TOKENS < 9), rngs=nnx.Rngs(dropout=key)
    )
    hidden, scores, inner = (2, 6, 8), (2, 2, 6, 6), (2, 6, 12)
    layer = [scores, hidden, inner, hidden]
    assert shapes == [hidden, *layer * 3, hidden]


def test_a_row_of_padding_gives_finite_states_and_gradients():
    mask = np.array(TOKENS < 9)
    mask[1] = False
    gradient = jax.grad(lambda p: jnp.sum(run(SMALL, p, TOKENS, mask) ** 3))(small())
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(gradient))


@pytest.mark.parametrize(
    "change,named",
    [
        ({"model_type": "umt5"}, "umt5"),
        ({"feed_forward_proj": "gated-silu"}, "gated-silu"),
        ({"feed_forward_proj": None, "dense_act_fn": "silu", "is_gated_act": True}, "gated-silu"),
    ],
)
def test_configurations_of_other_models_are_refused_by_name(gated, change, named):
    with pytest.raises(InputError, match=named):
        T5Config.from_hf(gated.hf_config | change)


@pytest.mark.parametrize("option", [{"dtype": "float16"}, {"remat": "all"}])
def test_unknown_options_are_refused(gated, option):
    with pytest.raises(InputError, match=f"{next(iter(option.values()))}.*choose from"):
        T5Encoder(gated.config, rngs=nnx.Rngs(0), **option)


def test_configuration_survives_the_round_trip(t5_reference):
    config = t5_reference.config
    assert T5Config.from_hf(json.loads(json.dumps(config.to_hf()))) == config
    assert T5Config.from_hf(config.to_hf(encoder_only=True)) == config


def test_old_and_new_words_of_a_configuration_mean_the_same():
    old = {"dense_act_fn": "gelu_new", "is_gated_act": True, "tie_word_embeddings": False}
    new = {
        "feed_forward_proj": "gated-gelu",
        "tie_word_embeddings": True,  # what transformers 5 writes always
        "scale_decoder_outputs": False,
        "num_decoder_layers": None,
    }
    want = T5Config(feed_forward_proj="gated-gelu", tie_word_embeddings=False, num_decoder_layers=6)
    assert T5Config.from_hf(old) == T5Config.from_hf(new) == want
    mt5 = T5Config.from_hf({"model_type": "mt5", "tie_word_embeddings": True})
    assert mt5 == dataclasses.replace(want, model_type="mt5")
    assert T5Config.from_hf({}) == T5Config(feed_forward_proj="relu", tie_word_embeddings=True)
