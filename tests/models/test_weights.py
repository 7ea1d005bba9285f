"""One set of weights in every file layout, and a hash that sees values only."""

import json

import jax
import ml_dtypes
import numpy as np
import pytest
import safetensors.numpy

from tart_jax.models import weights
from tart_jax.types import InputError

TENSORS = {
    "a": np.arange(6, dtype=np.float32).reshape(2, 3),
    "b": np.arange(3, dtype=np.float32).astype(ml_dtypes.bfloat16),
    "c": np.arange(4, dtype=np.float16),
}

READERS = [weights.read, weights.stored, lambda directory: list(weights.iterate(directory))]


def shards(directory, parts, *, claimed=None):
    """Writes sharded safetensors with the index of Hugging Face."""
    weight_map = {}
    for number, part in enumerate(parts, start=1):
        name = f"model-{number:05d}-of-{len(parts):05d}.safetensors"
        safetensors.numpy.save_file(part, directory / name)
        weight_map |= dict.fromkeys(part, name)
    index = {"metadata": {}, "weight_map": weight_map | (claimed or {})}
    (directory / "model.safetensors.index.json").write_text(json.dumps(index))


def assert_read(directory):
    pairs = list(weights.iterate(directory))
    assert len(pairs) == len(TENSORS)
    for read in (weights.read(directory), dict(pairs), weights.stored(directory)):
        assert read.keys() == TENSORS.keys()
        for name, tensor in TENSORS.items():
            assert read[name].dtype == tensor.dtype
            np.testing.assert_array_equal(read[name], tensor)


def test_a_single_file_and_shards_read_alike(tmp_path):
    single, sharded = tmp_path / "single", tmp_path / "sharded"
    single.mkdir(), sharded.mkdir()
    safetensors.numpy.save_file(TENSORS, single / "model.safetensors")
    shards(sharded, [{"a": TENSORS["a"]}, {name: TENSORS[name] for name in "bc"}])
    assert_read(single)
    assert_read(sharded)


@pytest.mark.parametrize("read", READERS)
def test_a_missing_shard_is_named(tmp_path, read):
    shards(tmp_path, [{"a": TENSORS["a"]}, {"c": TENSORS["c"]}])
    (tmp_path / "model-00002-of-00002.safetensors").unlink()
    with pytest.raises(InputError, match="model-00002-of-00002.safetensors does not exist"):
        read(tmp_path)


@pytest.mark.parametrize("read", READERS)
def test_a_tensor_that_no_shard_holds_is_named(tmp_path, read):
    shards(tmp_path, [TENSORS], claimed={"d": "model-00001-of-00001.safetensors"})
    with pytest.raises(InputError, match="do not hold: d"):
        read(tmp_path)


@pytest.mark.parametrize("read", READERS)
def test_a_shard_outside_the_folder_is_refused(tmp_path, read):
    shards(tmp_path, [TENSORS], claimed={"d": "../elsewhere.safetensors"})
    with pytest.raises(InputError, match="outside its folder: '../elsewhere.safetensors'"):
        read(tmp_path)


@pytest.mark.parametrize("read", READERS)
def test_an_index_without_its_map_is_refused(tmp_path, read):
    (tmp_path / "model.safetensors.index.json").write_text("{}")
    with pytest.raises(InputError, match="no weight_map"):
        read(tmp_path)


@pytest.mark.parametrize("read", READERS)
def test_a_directory_without_weights_is_refused_with_the_names_looked_for(tmp_path, read):
    with pytest.raises(InputError, match="holds no weights.*model.safetensors.*pytorch_model.bin"):
        read(tmp_path)


@pytest.mark.parametrize("read", READERS)
def test_a_broken_file_is_named(tmp_path, read):
    (tmp_path / "model.safetensors").write_bytes(b"\x10\0\0\0\0\0\0\0{")
    with pytest.raises(InputError, match="model.safetensors is not a readable safetensors file"):
        read(tmp_path)


def test_a_stored_tensor_is_read_when_asked_for_and_not_kept(tmp_path):
    path = tmp_path / "model.safetensors"
    safetensors.numpy.save_file(TENSORS, path)
    tensors = weights.stored(path)
    assert tensors["a"] is not tensors["a"]
    path.write_bytes(b"\x10\0\0\0\0\0\0\0{")
    assert list(tensors) == ["a", "b", "c"]
    with pytest.raises(InputError, match="model.safetensors is not a readable safetensors file"):
        tensors["a"]


def test_the_hash_sees_values_paths_shapes_and_dtypes_only():
    params = {"x": {0: np.arange(6.0, dtype=np.float32), 1: np.ones(2, np.float32)}}
    first = weights.params_sha256(params)
    assert weights.params_sha256(jax.tree.map(jax.numpy.asarray, params)) == first
    assert weights.params_sha256({"x": dict(reversed(params["x"].items()))}) == first
    strided = np.repeat(params["x"][0], 2)[::2]
    assert weights.params_sha256({"x": params["x"] | {0: strided}}) == first
    others = [
        {"y": params["x"]},
        {"x": params["x"] | {0: params["x"][0].reshape(2, 3)}},
        {"x": params["x"] | {0: params["x"][0].astype(np.float16)}},
        {"x": params["x"] | {0: np.nextafter(params["x"][0], 9, dtype=np.float32)}},
        {"x": {0: params["x"][1], 1: params["x"][0]}},
    ]
    assert len({first, *map(weights.params_sha256, others)}) == 6
