"""sentence-transformers' files: obeyed where our towers can, refused by name where not."""

import json

import numpy as np
import pytest
import safetensors.numpy

from tart_jax.models import sentence_modules
from tart_jax.types import InputError

MEAN = {"word_embedding_dimension": 24, "pooling_mode_mean_tokens": True}


def dense(directory, *, activation="torch.nn.modules.linear.Identity", bias=True):
    folder = directory / "2_Dense"
    folder.mkdir()
    config = {"in_features": 24, "out_features": 5, "bias": bias}
    (folder / "config.json").write_text(json.dumps(config | {"activation_function": activation}))
    tensors = {"linear.weight": np.arange(120, dtype=np.float32).reshape(5, 24)}
    if bias:
        tensors["linear.bias"] = np.arange(5, dtype=np.float32)
    safetensors.numpy.save_file(tensors, folder / "model.safetensors")


def test_a_directory_without_modules_says_nothing(tmp_path):
    assert sentence_modules.read(tmp_path) == sentence_modules.SentenceModules(tmp_path)


@pytest.mark.parametrize(
    "pooling,expected",
    [
        ({"pooling_mode_cls_token": False, "pooling_mode_mean_tokens": True}, "mean"),
        ({"pooling_mode_cls_token": True, "pooling_mode_mean_tokens": False}, "cls"),
        ({"pooling_mode_max_tokens": True}, "max"),
        ({"pooling_mode_lasttoken": True}, "last"),
        ({"embedding_dimension": 24, "pooling_mode": "lasttoken"}, "last"),
        ({"pooling_mode": ["mean"], "include_prompt": True}, "mean"),
    ],
)
def test_pooling_reads_in_both_spellings(sentence_modules_directory, pooling, expected):
    read = sentence_modules.read(sentence_modules_directory(pooling))
    assert (read.pooling, read.normalize, read.projection, read.max_length) == (
        expected, False, None, 12,
    )  # fmt: skip


@pytest.mark.parametrize(
    "pooling,named",
    [
        ({"pooling_mode_cls_token": True, "pooling_mode_mean_tokens": True}, "cls and mean"),
        ({"pooling_mode_mean_sqrt_len_tokens": True}, "mean_sqrt_len"),
        ({"pooling_mode": "weightedmean"}, "weightedmean"),
        ({}, "none"),
    ],
)
def test_other_poolings_are_refused_by_name(sentence_modules_directory, pooling, named):
    with pytest.raises(InputError, match=f"asks for pooling {named}"):
        sentence_modules.read(sentence_modules_directory(pooling))


def test_normalisation_and_dense_layer_are_read(sentence_modules_directory):
    directory = sentence_modules_directory(MEAN, ("Dense", "2_Dense"), ("Normalize", "3_Normalize"))
    dense(directory)
    read = sentence_modules.read(directory)
    assert read.normalize
    assert read.projection["kernel"].shape == (24, 5)
    assert read.projection["kernel"][0].tolist() == [0, 24, 48, 72, 96]
    assert read.projection["bias"].tolist() == [0, 1, 2, 3, 4]


def test_a_dense_layer_without_bias_has_a_bias_of_zeros(sentence_modules_directory):
    directory = sentence_modules_directory(MEAN, ("Dense", "2_Dense"))
    dense(directory, bias=False)
    assert sentence_modules.read(directory).projection["bias"].tolist() == [0.0] * 5


def test_a_dense_layer_with_another_activation_is_refused(sentence_modules_directory):
    directory = sentence_modules_directory(MEAN, ("Dense", "2_Dense"))
    dense(directory, activation="torch.nn.modules.activation.Tanh")
    with pytest.raises(InputError, match="applies Tanh.*only Identity"):
        sentence_modules.read(directory)


@pytest.mark.parametrize(
    "extra",
    [
        [("Normalize", "2_Normalize"), ("Dense", "3_Dense")],
        [("Dense", "2_Dense"), ("Dense", "3_Dense")],
        [("WeightedLayerPooling", "2_W")],
    ],
)
def test_other_chains_of_modules_are_refused(sentence_modules_directory, extra):
    with pytest.raises(InputError, match=f"chains Transformer, Pooling, {extra[0][0]}"):
        sentence_modules.read(sentence_modules_directory(MEAN, *extra))


def test_a_modules_file_of_another_form_is_refused(tmp_path):
    (tmp_path / "modules.json").write_text('{"a": 1}')
    with pytest.raises(InputError, match="modules.json should list modules"):
        sentence_modules.read(tmp_path)


@pytest.mark.parametrize("pooling", sentence_modules.FLAGS)
@pytest.mark.parametrize("normalize", [False, True])
@pytest.mark.parametrize("projected", [False, True])
def test_written_and_read_it_is_the_same(tmp_path, pooling, normalize, projected):
    kernel = np.arange(6, dtype=np.float32).reshape(3, 2)
    projection = {"kernel": kernel, "bias": np.ones(2, np.float32)} if projected else None
    sentence_modules.write(
        tmp_path, dims=3, pooling=pooling, normalize=normalize, projection=projection, max_length=9
    )
    read = sentence_modules.read(tmp_path)
    assert (read.pooling, read.normalize, read.max_length) == (pooling, normalize, 9)
    assert (read.projection is not None) == projected
    if projected:
        np.testing.assert_array_equal(read.projection["kernel"], kernel)
        np.testing.assert_array_equal(read.projection["bias"], np.ones(2))
