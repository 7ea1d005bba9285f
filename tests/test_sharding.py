"""Placing parameters by rules, and host batches on all devices."""

import numpy as np
import pytest
from jax.sharding import PartitionSpec as P

from tart_jax import distributed, sharding
from tart_jax.types import InputError

PARAMS = {
    "tower": {"layers": {0: {"kernel": np.zeros((4, 6)), "bias": np.zeros(6)}}},
    "table": np.zeros((5, 4)),
}


@pytest.fixture
def mesh():
    return distributed.make_mesh({"data": 4, "tensor": 2})


def test_the_first_rule_found_in_the_path_places_a_parameter_and_others_are_copied(mesh):
    rules = ((r"layers/\d+/kernel", (None, "tensor")), (r"kernel", ("tensor",)))
    with pytest.raises(InputError, match="'kernel' matches no parameter"):
        sharding.from_rules(PARAMS, rules, mesh)
    placed = sharding.from_rules(PARAMS, rules[:1], mesh)
    assert placed["tower"]["layers"][0]["kernel"].spec == P(None, "tensor")
    assert placed["tower"]["layers"][0]["bias"].spec == placed["table"].spec == P()


def test_a_rule_that_does_not_fit_is_refused_with_the_shape(mesh):
    for axes in (("tensor",), ("expert",), (None, None, "tensor")):
        with pytest.raises(InputError, match=r"does not fit table of shape \(5, 4\)"):
            sharding.from_rules(PARAMS, (("table", axes),), mesh)


LAYER = "document/encoder/layers/3"
STACK = "encoder/stack/layers"


@pytest.mark.parametrize(
    "path, shape, sizes, spec",
    [
        (f"{LAYER}/attention/query/kernel", (8, 8), {"tensor": 4}, (None, "tensor")),
        (f"{LAYER}/attention/query/bias", (8,), {"tensor": 4}, ("tensor",)),
        (f"{LAYER}/attention/output/kernel", (8, 8), {"tensor": 4}, ("tensor", None)),
        (f"{LAYER}/attention/output/bias", (8,), {"tensor": 4}, (None,)),
        (f"{LAYER}/up/kernel", (8, 32), {"tensor": 4}, (None, "tensor")),
        (f"{LAYER}/down/kernel", (32, 8), {"tensor": 4}, ("tensor", None)),
        (f"{LAYER}/attention/query/lora_a", (8, 4), {"tensor": 4}, (None, None)),
        (f"{LAYER}/attention/query/lora_b", (4, 8), {"tensor": 4}, (None, "tensor")),
        (f"{LAYER}/attention/output/lora_a", (8, 4), {"tensor": 4}, ("tensor", None)),
        (f"{LAYER}/attention/output/lora_b", (4, 8), {"tensor": 4}, (None, None)),
        (f"{LAYER}/output_norm/scale", (8,), {"tensor": 4}, (None,)),
        (f"{STACK}/output/up/kernel", (6, 8, 32), {"tensor": 4}, (None, None, "tensor")),
        (f"{STACK}/output/down/kernel", (6, 32, 8), {"tensor": 4}, (None, "tensor", None)),
        ("encoder/tokens/embedding", (32, 8), {"tensor": 4}, ("tensor", None)),
        ("encoder/tokens/embedding", (31, 8), {"tensor": 4}, (None, None)),
        ("encoder/tokens/embedding", (32, 8), {"fsdp": 4}, ("fsdp", None)),
        ("encoder/tokens/embedding", (31, 8), {"fsdp": 4}, (None, "fsdp")),
        ("encoder/tokens/embedding", (31, 9), {"fsdp": 4}, (None, None)),
        (f"{LAYER}/attention/query/kernel", (8, 8), {"fsdp": 4}, (None, "fsdp")),
        (f"{LAYER}/attention/query/bias", (8,), {"fsdp": 4}, (None,)),
        (f"{STACK}/attention/query/kernel", (32, 8, 8), {"fsdp": 4}, (None, None, "fsdp")),
        (f"{STACK}/attention_norm/scale", (32, 8), {"fsdp": 4}, (None, None)),
        (f"{LAYER}/up/kernel", (8, 32), {"fsdp": 2, "tensor": 2}, ("fsdp", "tensor")),
        (f"{LAYER}/down/kernel", (32, 8), {"fsdp": 2, "tensor": 2}, ("tensor", "fsdp")),
        (f"{LAYER}/down/kernel", (31, 8), {"fsdp": 2, "tensor": 2}, (None, "fsdp")),
        (f"0/mu/{LAYER}/up/kernel", (8, 32), {"tensor": 4}, (None, "tensor")),  # Adam's mean
        (f"{LAYER}/up/kernel", (8, 32), {}, (None, None)),
    ],
)
def test_without_rules_a_parameter_lies_as_the_axes_of_the_mesh_say(path, shape, sizes, spec):
    mesh = distributed.make_mesh({"data": -1} | sizes)
    assert sharding.preset(path, shape, mesh) == P(*spec)


def test_a_batch_is_divided_over_the_axes_data_and_fsdp():
    mesh = distributed.make_mesh({"data": 2, "fsdp": 2, "tensor": 2})
    rows = np.arange(16).reshape(8, 2)
    placed = sharding.to_global({"a": rows}, sharding.over_batch(mesh))["a"]
    assert sharding.batch_devices(mesh) == 4 and sharding.batch_part(mesh) == (0, 1)
    assert {shard.data.shape for shard in placed.addressable_shards} == {(2, 2)}
    np.testing.assert_array_equal(placed, rows)


def test_a_host_batch_is_divided_over_the_data_axis(mesh):
    batch = {"a": np.arange(8), "b": np.arange(16).reshape(8, 2)}
    placed = sharding.to_global(batch, sharding.over_batch(mesh))
    for name, array in placed.items():
        np.testing.assert_array_equal(array, batch[name])
        assert array.addressable_shards[0].data.shape[0] == 2


@pytest.mark.parametrize(
    "held, parts",
    [
        ({0: {0, 1}, 1: {2, 3}}, [(0, 2), (1, 2)]),
        ({0: {2, 3}, 1: {0, 1}}, [(1, 2), (0, 2)]),  # devices in another order than processes
        ({0: {0, 2}, 1: {1, 3}}, [(0, 2), (1, 2)]),  # the hosts of a torus take turns
        ({0: {0}, 1: {0}, 2: {1}, 3: {1}}, [(0, 2), (0, 2), (1, 2), (1, 2)]),  # tensor parallel
        ({0: {0}, 1: {0}}, [(0, 1), (0, 1)]),  # nothing but tensor parallel: all read everything
    ],
)
def test_each_process_reads_the_rows_of_its_own_devices(held, parts):
    assert [sharding._part(held, process) for process in held] == parts


@pytest.mark.parametrize("held", [{0: {0, 1}, 1: {1, 2}}, {0: {0, 1}, 1: {2}}])
def test_processes_that_share_a_batch_unevenly_are_refused(held):
    with pytest.raises(InputError, match="2 processes share unevenly"):
        sharding._part(held, 0)


def test_one_process_reads_the_whole_batch_and_gathers_nothing(mesh):
    assert sharding.batch_part(mesh) == (0, 1)
    rows = np.arange(16, dtype=np.float32).reshape(8, 2)
    placed = sharding.from_host(rows, sharding.over_batch(mesh))
    assert placed.sharding == sharding.over_batch(mesh)
    np.testing.assert_array_equal(sharding.to_host(placed), rows)
    assert sharding.gather({"a": placed})["a"] is placed
