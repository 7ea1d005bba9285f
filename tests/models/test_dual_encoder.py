"""Towers, tied or not, and the functional face."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from tart_jax.models import dual_encoder
from tart_jax.models.bert import BertConfig
from tart_jax.models.dual_encoder import DualEncoder, DualEncoderConfig
from tart_jax.types import InputError

BERT = BertConfig(
    vocab_size=30,
    hidden_size=16,
    num_hidden_layers=1,
    num_attention_heads=2,
    intermediate_size=24,
    max_position_embeddings=12,
)
CONFIG = DualEncoderConfig(BERT)
TOKENS = np.array([[1, 5, 6, 2], [1, 7, 2, 0]], np.int32)
MASK = TOKENS > 0


@functools.cache
def params_of(config):
    return jax.jit(dual_encoder.init, static_argnums=0)(config, jax.random.key(0))


@functools.cache
def compiled(config, tower):
    graph = dual_encoder.graphdef(config)
    return jax.jit(functools.partial(dual_encoder.encode, graph, tower=tower))


def embed(config, params, tower, *, key=None, tokens=TOKENS, mask=MASK):
    return np.asarray(
        compiled(config, tower)(params, jnp.asarray(tokens), jnp.asarray(mask), key=key)
    )


def test_tied_towers_are_one_set_of_parameters():
    params = params_of(CONFIG)
    assert list(params) == ["document"]
    np.testing.assert_array_equal(embed(CONFIG, params, "query"), embed(CONFIG, params, "document"))


def test_untied_towers_have_parameters_of_their_own():
    config = dataclasses.replace(CONFIG, tied=False)
    params = params_of(config)
    assert set(params) == {"document", "query"}
    assert np.abs(embed(config, params, "query") - embed(config, params, "document")).max() > 0.01
    swapped = {"document": params["query"], "query": params["document"]}
    np.testing.assert_array_equal(
        embed(config, swapped, "query"), embed(config, params, "document")
    )


def test_parameters_are_plain_dicts_of_float32_named_by_attributes():
    params = params_of(CONFIG)
    leaves = jax.tree_util.tree_leaves_with_path(params)
    names = {jax.tree_util.keystr(path, simple=True, separator="/") for path, _ in leaves}
    assert "document/encoder/layers/0/attention/query/kernel" in names
    assert type(params) is dict and type(params["document"]["encoder"]) is dict
    assert {leaf.dtype.name for _, leaf in leaves} == {"float32"}


def test_merged_parameters_are_the_module_itself():
    model = nnx.merge(dual_encoder.graphdef(CONFIG), params_of(CONFIG))
    assert isinstance(model, DualEncoder)
    direct = model.encode_query(jnp.asarray(TOKENS), jnp.asarray(MASK))
    # one compiled, one not: float32 rounding
    np.testing.assert_allclose(direct, embed(CONFIG, params_of(CONFIG), "query"), atol=1e-5)


def test_abstract_parameters_have_the_shapes_of_real_ones():
    abstract, real = dual_encoder.abstract_params(CONFIG), params_of(CONFIG)
    assert jax.tree.structure(abstract) == jax.tree.structure(real)
    jax.tree.map(lambda a, r: np.testing.assert_equal(a.shape, r.shape), abstract, real)


@pytest.mark.parametrize(
    "dtype,projection,dims", [("float32", None, 16), ("bfloat16", None, 16), ("bfloat16", 5, 5)]
)
def test_embeddings_are_float32_of_the_promised_width(dtype, projection, dims):
    config = dataclasses.replace(CONFIG, dtype=dtype, projection=projection)
    embeddings = embed(config, params_of(config), "document")
    assert config.dims == dims
    assert embeddings.shape == (2, dims)
    assert embeddings.dtype == np.float32


def test_projection_is_a_plain_linear_layer_after_pooling():
    config = dataclasses.replace(CONFIG, projection=5)
    params = params_of(config)
    layer = params["document"]["projection"]
    bare = {"document": {"encoder": params["document"]["encoder"]}}
    expected = embed(CONFIG, bare, "document") @ np.asarray(layer["kernel"]) + layer["bias"][None]
    np.testing.assert_allclose(embed(config, params, "document"), expected, atol=1e-5)


def test_normalised_embeddings_have_length_one_and_the_same_direction():
    config = dataclasses.replace(CONFIG, normalize=True)
    params = params_of(CONFIG)
    plain, unit = embed(CONFIG, params, "query"), embed(config, params, "query")
    np.testing.assert_allclose(np.linalg.norm(unit, axis=1), 1.0, atol=1e-6)
    np.testing.assert_allclose(
        unit * np.linalg.norm(plain, axis=1, keepdims=True), plain, atol=1e-5
    )
    assert np.abs(np.linalg.norm(plain, axis=1) - 1).min() > 0.01


def test_dropout_needs_a_key_and_follows_it():
    params = params_of(CONFIG)
    plain = embed(CONFIG, params, "query")
    first, again, second = (
        embed(CONFIG, params, "query", key=jax.random.key(n)) for n in (1, 1, 2)
    )
    np.testing.assert_array_equal(first, again)
    assert np.abs(first - second).max() > 0.01
    assert np.abs(first - plain).max() > 0.01


def test_one_text_twice_in_a_batch_is_dropped_differently():
    tokens, mask = np.repeat(TOKENS[:1], 2, 0), np.repeat(MASK[:1], 2, 0)
    key = jax.random.key(0)
    twins = embed(CONFIG, params_of(CONFIG), "query", key=key, tokens=tokens, mask=mask)
    assert np.abs(twins[0] - twins[1]).max() > 0.01


def test_unknown_tower_and_pooling_are_refused():
    with pytest.raises(InputError, match="'median'"):
        DualEncoderConfig(BERT, pooling="median")
    with pytest.raises(Exception, match="tower|side"):
        embed(CONFIG, params_of(CONFIG), "side")


def test_blocks_of_rows_give_the_embeddings_of_the_whole_batch():
    tokens, mask = np.tile(TOKENS, (3, 1)), np.tile(MASK, (3, 1))
    graph, params = dual_encoder.graphdef(CONFIG), params_of(CONFIG)

    def run(rows):
        encode = functools.partial(dual_encoder.encode, graph, tower="query", rows=rows)
        return np.asarray(jax.jit(encode)(params, jnp.asarray(tokens), jnp.asarray(mask)))

    np.testing.assert_allclose(run(2), run(None), atol=1e-5)  # float32, other matrix shapes
    assert np.abs(run(2) - np.roll(run(None), 1, 0)).max() > 0.01
    with pytest.raises(ValueError, match="rows=4 needs"):
        run(4)


def test_rows_in_cache_divide_the_batch():
    assert dual_encoder.rows_in_cache(32, 128) == 8
    assert dual_encoder.rows_in_cache(24, 128) == 8
    assert dual_encoder.rows_in_cache(7, 512) == 1
    assert dual_encoder.rows_in_cache(3, 4096) == 1
