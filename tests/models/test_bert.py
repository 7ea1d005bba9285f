"""The encoder against PyTorch's, its dropout, its precision and what it refuses."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from tart_jax.models import names_bert
from tart_jax.models.bert import ACTIVATIONS, BertConfig, BertEncoder
from tart_jax.types import InputError

# float32 sums in another order than PyTorch's; outputs are layer-normalised, hence of size 1 to 3.
TOLERANCE = 1e-5


SMALL = BertConfig(
    vocab_size=20,
    hidden_size=8,
    num_hidden_layers=1,
    num_attention_heads=2,
    intermediate_size=12,
    max_position_embeddings=6,
    initializer_range=0.5,
)


@pytest.fixture(scope="module")
def small():
    """A small random encoder, its parameters and a batch, where no reference is needed."""
    encoder = BertEncoder(SMALL, rngs=nnx.Rngs(0))
    params = nnx.to_pure_dict(nnx.state(encoder, nnx.Param))
    tokens = np.arange(12, dtype=np.int32).reshape(2, 6)
    return SMALL, params, tokens, tokens < 9


def run_each(config, params, tokens, mask, keys, **options):
    """Hidden states for each key, by one compiled program."""
    build = functools.partial(BertEncoder, config, **options)
    graph = nnx.graphdef(nnx.eval_shape(lambda: build(rngs=nnx.Rngs(0))))

    @jax.jit
    def forward(params, key):
        rngs = None if key is None else nnx.Rngs(dropout=key)
        return nnx.merge(graph, params)(jnp.asarray(tokens), jnp.asarray(mask), rngs=rngs)

    return [forward(params, key) for key in keys]


def run(config, params, tokens, mask, *, key=None, **options):
    return run_each(config, params, tokens, mask, [key], **options)[0]


def difference(reference, **changes):
    """The largest difference from PyTorch's hidden states at real tokens."""
    config = dataclasses.replace(reference.config, **changes)
    params, _ = names_bert.from_hf(reference.tensors, reference.config, "reference")
    hidden = run(config, params, reference.tokens, reference.mask)
    return np.abs(np.asarray(hidden) - reference.hidden)[reference.mask].max()


def test_hidden_states_agree_with_torch(reference):
    assert difference(reference) < TOLERANCE


def test_another_activation_does_not_agree_with_torch(tiny):
    assert difference(tiny, hidden_act="gelu_new") > 10 * TOLERANCE


def test_another_layer_norm_epsilon_does_not_agree_with_torch(tiny):
    assert difference(tiny, layer_norm_eps=1e-3) > 10 * TOLERANCE


def test_swapped_query_and_key_do_not_agree_with_torch(tiny):
    first, second = (f"encoder.layer.0.attention.self.{part}.weight" for part in ("query", "value"))
    tiny.tensors[first], tiny.tensors[second] = tiny.tensors[second], tiny.tensors[first]
    assert difference(tiny) > 10 * TOLERANCE


def test_padding_does_not_change_real_tokens(tiny):
    params, _ = names_bert.from_hf(tiny.tensors, tiny.config, "reference")
    filled = np.where(tiny.mask, tiny.tokens, 7)
    hidden = run(tiny.config, params, filled, tiny.mask)
    np.testing.assert_allclose(hidden[tiny.mask], tiny.hidden[tiny.mask], atol=TOLERANCE)
    unmasked = run(tiny.config, params, filled, np.ones_like(tiny.mask))
    assert np.abs(np.asarray(unmasked) - tiny.hidden)[tiny.mask].max() > 10 * TOLERANCE


@pytest.mark.parametrize("remat", ["none", "layer"])
def test_the_first_position_alone_is_that_of_all(reference, remat):
    config = reference.config
    params, _ = names_bert.from_hf(reference.tensors, config, "reference")
    graph = nnx.graphdef(nnx.eval_shape(lambda: BertEncoder(config, remat=remat, rngs=nnx.Rngs(0))))
    tokens, mask = jnp.asarray(reference.tokens), jnp.asarray(reference.mask)

    @functools.partial(jax.jit, static_argnames="first_only")
    def forward(params, first_only):
        return nnx.merge(graph, params)(tokens, mask, first_only=first_only)

    every, first = (np.asarray(forward(params, only)) for only in (False, True))
    assert first.shape == (len(every), 1, every.shape[2])
    # float32 sums over fewer rows, in another order; states are of size 1 to 3.
    assert np.abs(first[:, 0] - every[:, 0]).max() <= TOLERANCE
    assert np.abs(first[:, 0] - every[:, 1]).max() > 100 * TOLERANCE  # the twin


def test_bfloat16_stays_near_float32(tiny):
    params, _ = names_bert.from_hf(tiny.tensors, tiny.config, "reference")
    hidden = run(tiny.config, params, tiny.tokens, tiny.mask, dtype="bfloat16")
    assert hidden.dtype == jnp.bfloat16
    error = np.abs(np.asarray(hidden, np.float32) - tiny.hidden)[tiny.mask]
    # bfloat16 keeps 8 bits: 2^-8 a rounding, some dozens of them on the way, outputs up to 3.
    assert 1e-3 < error.max() < 0.15


@pytest.mark.slow
def test_rematerialisation_leaves_gradients_as_they_are(small, key):
    config, params, tokens, mask = small

    def gradient(remat):
        def loss(params):
            hidden = run(config, params, tokens, mask, key=key, remat=remat)
            return jnp.sum(hidden**2 * jnp.arange(8.0)[None, None])

        return jax.tree.leaves(jax.grad(loss)(params))

    plain = gradient("none")
    largest = max(float(jnp.abs(leaf).max()) for leaf in plain)
    for again in (gradient("layer"), gradient("dots")):
        for one, other in zip(plain, again, strict=True):
            # the same operations, fused otherwise: rounding relative to the largest entry
            np.testing.assert_allclose(one, other, atol=1e-5 * largest)


@pytest.mark.parametrize("remat,saves", [("none", False), ("layer", True), ("dots", True)])
def test_rematerialisation_is_in_the_program_when_asked_for(small, remat, saves):
    config, _, tokens, mask = small
    encoder = BertEncoder(config, remat=remat, rngs=nnx.Rngs(0))
    text = str(jax.make_jaxpr(encoder)(jnp.asarray(tokens), jnp.asarray(mask)))
    assert ("remat" in text or "checkpoint" in text) == saves


@pytest.mark.parametrize("part", ["hidden_dropout_prob", "attention_probs_dropout_prob"])
def test_each_dropout_acts_alone(small, part):
    config, params, tokens, mask = small
    off = {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}

    def hidden(keys, **changes):
        changed = dataclasses.replace(config, **off | changes)
        return [np.asarray(x) for x in run_each(changed, params, tokens, mask, keys)]

    first, second = jax.random.key(1), jax.random.key(2)
    plain, same = hidden([first, second])
    np.testing.assert_array_equal(plain, same)
    dropped, other, again = hidden([first, second, first], **{part: 0.3})
    assert np.abs(dropped - plain).max() > 0.01
    assert np.abs(dropped - other).max() > 0.01
    np.testing.assert_array_equal(dropped, again)


@pytest.mark.parametrize("implementation", ["rbg", "unsafe_rbg"])
def test_dropout_takes_keys_of_other_implementations(small, implementation):
    config, params, tokens, mask = small
    keys = [jax.random.key(seed, impl=implementation) for seed in (1, 2)]
    first, second = run_each(config, params, tokens, mask, keys)
    assert np.isfinite(first).all()
    assert np.abs(np.asarray(first) - np.asarray(second)).max() > 0.01


def test_a_row_of_padding_gives_finite_states_and_gradients(small):
    config, params, tokens, mask = small
    mask = np.array(mask)
    mask[1] = False
    gradient = jax.grad(lambda p: jnp.sum(run(config, p, tokens, mask) ** 3))(params)
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(gradient))


def test_longer_texts_than_the_position_table_are_refused(tiny):
    encoder = BertEncoder(tiny.config, rngs=nnx.Rngs(0))
    with pytest.raises(ValueError, match="21 tokens a text, but the model knows 20 positions"):
        encoder(jnp.zeros((1, 21), jnp.int32), jnp.ones((1, 21), bool))


@pytest.mark.parametrize(
    "change,named",
    [
        ({"position_embedding_type": "relative_key"}, "relative_key"),
        ({"model_type": "roberta"}, "roberta"),
        ({"hidden_act": "silu"}, "silu"),
        ({"num_attention_heads": 5}, "num_attention_heads 5"),
        ({"is_decoder": True}, "is_decoder"),
    ],
)
def test_configurations_of_other_models_are_refused_by_name(tiny, change, named):
    with pytest.raises(InputError, match=named):
        BertConfig.from_hf(tiny.hf_config | change)


@pytest.mark.parametrize("option", [{"dtype": "float16"}, {"remat": "all"}])
def test_unknown_options_are_refused(tiny, option):
    with pytest.raises(InputError, match=f"{next(iter(option.values()))}.*choose from"):
        BertEncoder(tiny.config, rngs=nnx.Rngs(0), **option)


def test_configuration_survives_the_round_trip(reference):
    assert BertConfig.from_hf(reference.config.to_hf()) == reference.config


def test_exact_and_tanh_gelu_differ():
    x = jnp.linspace(-3, 3, 61)
    exact, tanh = ACTIVATIONS["gelu"](x), ACTIVATIONS["gelu_new"](x)
    erf = jax.scipy.special.erf(x / np.sqrt(2))
    np.testing.assert_allclose(exact, 0.5 * x * (1 + erf), atol=1e-6)  # float32 rounding
    assert 1e-4 < jnp.abs(exact - tanh).max() < 1e-3
