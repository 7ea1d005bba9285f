"""Tensors go to the devices one by one, sharded as asked, and are the same as at once."""

import gc
import json
import weakref

import jax
import numpy as np
import pytest
import safetensors.numpy
from jax.sharding import AxisType

from tart_jax import sharding
from tart_jax.models import names_t5, stream_t5, t5_decoder, weights
from tart_jax.types import InputError

RULES = [
    ("tokens/embedding", (None, "data")),
    ("(query|key|value|gate|up)/kernel", ("data", None)),
]
STACKED_RULES = [
    ("tokens/embedding", (None, "data")),
    ("(query|key|value|gate|up)/kernel", (None, "data", None)),
]


@pytest.fixture(autouse=True)
def quick_collections():
    """What other tests left is looked at once, not at every collection of these."""
    gc.collect()
    gc.freeze()
    yield
    gc.unfreeze()


class Reader:
    """Makes each array when it is asked for, and counts how many it made are still alive."""

    def __init__(self, tensors):
        self.tensors = tensors
        self.made: list[weakref.ref] = []
        self.most = 0

    def __iter__(self):
        for name, tensor in self.tensors.items():
            # an array of its own on memory of its own, which views keep alive
            array = np.array(tensor)
            self.made.append(weakref.ref(array))
            gc.collect()
            self.most = max(self.most, sum(ref() is not None for ref in self.made))
            yield name, array
            del array


def mesh():
    return jax.make_mesh((8,), ("data",), axis_types=(AxisType.Auto,))


def sharded(config, scan):
    rules = STACKED_RULES if scan else RULES
    return sharding.from_rules(t5_decoder.abstract_params(config, scan=scan), rules, mesh())


@pytest.mark.slow
@pytest.mark.parametrize("scan", [False, True])
@pytest.mark.parametrize("spread", [False, True])
def test_streamed_parameters_are_those_read_at_once_where_they_belong(t5_reference, scan, spread):
    config, tensors = t5_reference.config, t5_reference.tensors
    shardings = sharded(config, scan) if spread else None
    params, ignored = stream_t5.from_hf(
        tensors.items(), config, "here", scan=scan, shardings=shardings
    )
    want, _ = names_t5.from_hf(tensors, config, "here", scan=scan)
    assert ignored == ()
    assert jax.tree.structure(params) == jax.tree.structure(want)
    jax.tree.map(np.testing.assert_array_equal, params, want)
    if spread:
        jax.tree.map(lambda leaf, place: leaf.sharding == place or pytest.fail(), params, shardings)
        table = params["tokens"]["embedding"]
        assert {part.data.shape for part in table.addressable_shards} == {(len(table), 3)}


@pytest.mark.parametrize("scan", [False, True])
def test_no_more_than_two_of_the_readers_arrays_live_at_a_time(gated, scan):
    reader = Reader(gated.tensors)
    shardings = sharded(gated.config, scan)
    params, _ = stream_t5.from_hf(reader, gated.config, "here", scan=scan, shardings=shardings)
    assert len(reader.made) == len(gated.tensors)
    assert reader.most <= 2
    assert len(jax.tree.leaves(params)) > 20


def test_a_reader_of_everything_holds_everything(gated):
    """The twin of the count above: keeping the pairs is what it must see."""
    reader = Reader(gated.tensors)
    kept = dict(reader)
    assert reader.most == len(kept) == len(gated.tensors)


def test_a_stream_out_of_sharded_files_gives_the_encoder(gated, tmp_path):
    names = sorted(gated.tensors)
    index = {}
    for number, part in enumerate((names[::2], names[1::2])):
        file = f"model-{number}.safetensors"
        safetensors.numpy.save_file({name: gated.tensors[name] for name in part}, tmp_path / file)
        index |= dict.fromkeys(part, file)
    (tmp_path / "model.safetensors.index.json").write_text(json.dumps({"weight_map": index}))
    stream = weights.iterate(tmp_path)
    params, ignored = stream_t5.from_hf(stream, gated.config, "here", encoder_only=True, scan=True)
    want, left = names_t5.from_hf(gated.tensors, gated.config, "here", encoder_only=True, scan=True)
    jax.tree.map(np.testing.assert_array_equal, params, want)
    assert ignored == left


def test_a_missing_tensor_is_named(gated):
    tensors = [(k, v) for k, v in gated.tensors.items() if k != "decoder.final_layer_norm.weight"]
    with pytest.raises(InputError, match="1 missing: decoder.final_layer_norm.weight"):
        stream_t5.from_hf(tensors, gated.config, "here")
