"""T5's names there and back, prefixes, tied tables, and every problem named at once."""

import jax
import numpy as np
import pytest
from flax import nnx

from tart_jax.models import names_t5, t5_decoder
from tart_jax.models.t5 import T5Encoder
from tart_jax.types import InputError

TABLE = "shared.weight"
ALIASES = ("encoder.embed_tokens.weight", "decoder.embed_tokens.weight")


def load(reference, tensors=None, **options):
    tensors = reference.tensors if tensors is None else tensors
    return names_t5.from_hf(tensors, reference.config, "here", **options)


def encoder_part(reference):
    return {
        name: tensor
        for name, tensor in reference.tensors.items()
        if name.startswith(("shared", "encoder"))
    }


def assert_equal(params, others):
    assert jax.tree.structure(params) == jax.tree.structure(others)
    jax.tree.map(np.testing.assert_array_equal, params, others)


def shapes(tree):
    return jax.tree.map(lambda leaf: leaf.shape, tree)


@pytest.mark.parametrize("scan", [False, True])
def test_imported_parameters_are_those_of_the_modules(t5_reference, scan):
    config = t5_reference.config
    whole, _ = load(t5_reference, scan=scan)
    assert shapes(whole) == shapes(t5_decoder.abstract_params(config, scan=scan))
    encoder, _ = load(t5_reference, scan=scan, encoder_only=True)
    module = nnx.eval_shape(lambda: T5Encoder(config, scan=scan, rngs=nnx.Rngs(0)))
    assert shapes(encoder) == shapes(nnx.to_pure_dict(nnx.state(module, nnx.Param)))


def test_the_table_names_every_tensor_of_torch_once(t5_reference):
    names = [name for name, *_ in names_t5.names(t5_reference.config)]
    assert len(names) == len(set(names))
    assert set(names) == set(t5_reference.tensors)


@pytest.mark.parametrize("scan", [False, True])
@pytest.mark.parametrize("encoder_only", [False, True])
def test_import_then_export_is_the_identity(t5_reference, scan, encoder_only):
    tensors = encoder_part(t5_reference) if encoder_only else t5_reference.tensors
    params, ignored = load(t5_reference, tensors, scan=scan, encoder_only=encoder_only)
    assert ignored == ()
    back = names_t5.to_hf(params, t5_reference.config, encoder_only=encoder_only)
    assert back.keys() == tensors.keys()
    for name, tensor in back.items():
        np.testing.assert_array_equal(tensor, tensors[name])


@pytest.mark.parametrize("prefix", ["module.", "encoder.", "model.t5.", "q_encoder."])
def test_prefixes_are_taken_off(gated, prefix):
    prefixed = {prefix + name: tensor for name, tensor in gated.tensors.items()}
    assert_equal(load(gated, prefixed)[0], load(gated)[0])


def test_a_prefix_that_only_some_names_have_is_an_error(gated):
    tensors = dict(gated.tensors)
    name = "encoder.final_layer_norm.weight"
    tensors[f"other.{name}"] = tensors.pop(name)
    with pytest.raises(InputError, match=f"1 missing: {name}; 1 unexpected: other.{name}"):
        load(gated, tensors)


def test_an_encoder_is_read_from_a_whole_model_and_what_it_leaves_is_reported(gated):
    tensors = gated.tensors | {"classifier.weight": np.zeros((2, 24), np.float32)}
    params, ignored = load(gated, tensors, encoder_only=True)
    assert_equal(params, load(gated, encoder_part(gated), encoder_only=True)[0])
    decoder = {name for name in gated.tensors if name.startswith(("decoder", "lm_head"))}
    assert set(ignored) == decoder | {"classifier.weight"}


def test_the_embedding_table_may_lie_there_under_all_its_names(relu_tied):
    table = relu_tied.tensors[TABLE]
    many = relu_tied.tensors | dict.fromkeys((*ALIASES, "lm_head.weight"), table)
    assert_equal(load(relu_tied, many)[0], load(relu_tied)[0])
    for other in ALIASES:
        only = {name: tensor for name, tensor in relu_tied.tensors.items() if name != TABLE}
        assert_equal(load(relu_tied, only | {other: table})[0], load(relu_tied)[0])


@pytest.mark.parametrize("name", [*ALIASES, "lm_head.weight"])
def test_another_table_under_such_a_name_is_an_error(relu_tied, name):
    tensors = relu_tied.tensors | {name: relu_tied.tensors[TABLE] + 1}
    with pytest.raises(InputError, match=f"unexpected: {name}, a second and other {TABLE}"):
        load(relu_tied, tensors)


@pytest.mark.parametrize("scan", [False, True])
def test_an_output_layer_that_is_not_there_is_the_embedding_table(gated, scan):
    tensors = {name: x for name, x in gated.tensors.items() if name != "lm_head.weight"}
    params, _ = load(gated, tensors, scan=scan)
    np.testing.assert_array_equal(params["head"]["kernel"], tensors[TABLE].T)


def test_the_unused_bias_of_cross_attention_is_ignored_and_reported(gated):
    name = "decoder.block.0.layer.1.EncDecAttention.relative_attention_bias.weight"
    params, ignored = load(gated, gated.tensors | {name: np.zeros((8, 3), np.float32)})
    assert ignored == (name,)
    assert_equal(params, load(gated)[0])


def test_every_missing_misshaped_and_unexpected_key_is_named_in_one_error(gated):
    tensors = dict(gated.tensors)
    del tensors["encoder.final_layer_norm.weight"]
    del tensors["decoder.block.1.layer.1.EncDecAttention.k.weight"]
    tensors["encoder.block.0.layer.1.DenseReluDense.wo.weight"] = np.zeros((40, 24), np.float32)
    tensors[TABLE] = np.zeros((60, 24), np.float32)
    tensors["encoder.block.3.layer.0.layer_norm.weight"] = np.zeros(24, np.float32)
    tensors["encoder.block.0.layer.1.DenseReluDense.wi.weight"] = np.zeros((40, 24), np.float32)
    with pytest.raises(InputError) as caught:
        load(gated, tensors)
    message = str(caught.value)
    assert "\n" not in message
    for part in (
        "2 missing: encoder.final_layer_norm.weight, "
        "decoder.block.1.layer.1.EncDecAttention.k.weight",
        f"{TABLE} [60, 24] instead of [61, 24]",
        "encoder.block.0.layer.1.DenseReluDense.wo.weight [40, 24] instead of [24, 40]",
        "2 unexpected: encoder.block.0.layer.1.DenseReluDense.wi.weight, "
        "encoder.block.3.layer.0.layer_norm.weight",
    ):
        assert part in message


@pytest.mark.parametrize("scan", [False, True])
def test_any_one_renamed_key_is_an_error(gated, scan):
    for name in gated.tensors:
        tensors = dict(gated.tensors)
        tensors[f"{name}s"] = tensors.pop(name)
        with pytest.raises(InputError, match=f"unexpected: {name}s"):
            load(gated, tensors, scan=scan)


def test_parameters_are_float32_whatever_the_file_holds(gated):
    halves = {name: tensor.astype(np.float16) for name, tensor in gated.tensors.items()}
    params, _ = load(gated, halves)
    assert {leaf.dtype for leaf in jax.tree.leaves(params)} == {np.dtype(np.float32)}
    assert_equal(params, load(gated)[0])  # the reference's values are float16's
