"""Names there and back, old names, and every problem named at once."""

import jax
import numpy as np
import pytest
from flax import nnx

from tart_jax.models import names_bert
from tart_jax.models.bert import BertEncoder
from tart_jax.types import InputError

WORDS = "embeddings.word_embeddings.weight"


def load(reference, tensors):
    return names_bert.from_hf(tensors, reference.config, "here")


def assert_equal(params, others):
    jax.tree.map(np.testing.assert_array_equal, params, others)


def test_the_table_names_every_parameter_once(reference):
    def build():
        encoder = BertEncoder(reference.config, rngs=nnx.Rngs(0))
        return nnx.to_pure_dict(nnx.state(encoder, nnx.Param))

    leaves = jax.tree_util.tree_leaves_with_path(jax.eval_shape(build))
    ours = [path for _, path, _ in names_bert.names(reference.config)]
    assert sorted(map(str, ours)) == sorted(str(tuple(k.key for k in path)) for path, _ in leaves)
    assert {name for name, _, _ in names_bert.names(reference.config)} == set(reference.tensors)


def test_import_then_export_is_the_identity(reference):
    params, ignored = load(reference, reference.tensors)
    assert ignored == ()
    back = names_bert.to_hf(params, reference.config)
    assert back.keys() == reference.tensors.keys()
    for name, tensor in back.items():
        np.testing.assert_array_equal(tensor, reference.tensors[name])


@pytest.mark.parametrize("prefix", ["bert.", "encoder.", "module.", "model.bert."])
def test_prefixes_are_taken_off(tiny, prefix):
    prefixed = {prefix + name: tensor for name, tensor in tiny.tensors.items()}
    assert_equal(load(tiny, prefixed)[0], load(tiny, tiny.tensors)[0])


def test_gamma_and_beta_are_weight_and_bias_of_layer_norms(tiny):
    def old(name):
        if "LayerNorm" not in name:
            return f"bert.{name}"
        return "bert." + name.replace(".weight", ".gamma").replace(".bias", ".beta")

    renamed = {old(name): tensor for name, tensor in tiny.tensors.items()}
    assert sum("gamma" in name for name in renamed) == 5
    assert_equal(load(tiny, renamed)[0], load(tiny, tiny.tensors)[0])


def test_heads_and_buffers_are_ignored_and_reported(tiny):
    extra = {
        "bert.embeddings.position_ids": np.arange(20)[None],
        "bert.pooler.dense.weight": np.zeros((24, 24), np.float32),
        "cls.predictions.bias": np.zeros(61, np.float32),
    }
    tensors = {f"bert.{name}": tensor for name, tensor in tiny.tensors.items()} | extra
    _, ignored = load(tiny, tensors)
    assert ignored == ("cls.predictions.bias", "embeddings.position_ids", "pooler.dense.weight")


def test_every_missing_misshaped_and_unexpected_key_is_named_in_one_error(tiny):
    tensors = dict(tiny.tensors)
    del tensors["embeddings.LayerNorm.bias"], tensors["encoder.layer.1.output.dense.weight"]
    tensors["encoder.layer.0.intermediate.dense.weight"] = np.zeros((24, 40), np.float32)
    tensors[WORDS] = np.zeros((60, 24), np.float32)
    tensors["encoder.layer.2.output.dense.bias"] = np.zeros(24, np.float32)
    with pytest.raises(InputError) as caught:
        load(tiny, tensors)
    message = str(caught.value)
    assert "\n" not in message
    for part in (
        "2 missing: embeddings.LayerNorm.bias, encoder.layer.1.output.dense.weight",
        f"2 of the wrong shape: {WORDS} [60, 24] instead of [61, 24], "
        "encoder.layer.0.intermediate.dense.weight [24, 40] instead of [40, 24]",
        "1 unexpected: encoder.layer.2.output.dense.bias",
    ):
        assert part in message


def test_one_renamed_key_is_an_error(tiny):
    tensors = dict(tiny.tensors)
    tensors["encoder.layer.0.attention.self.q.weight"] = tensors.pop(
        "encoder.layer.0.attention.self.query.weight"
    )
    with pytest.raises(
        InputError, match="1 missing.*self.query.weight.*1 unexpected.*self.q.weight"
    ):
        load(tiny, tensors)


def test_parameters_are_float32_whatever_the_file_holds(tiny):
    halves = {name: tensor.astype(np.float16) for name, tensor in tiny.tensors.items()}
    params, _ = load(tiny, halves)
    assert {leaf.dtype for leaf in jax.tree.leaves(params)} == {np.dtype(np.float32)}
    assert_equal(params, load(tiny, tiny.tensors)[0])  # the reference's values are float16's
