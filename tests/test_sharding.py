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
    return distributed.make_mesh({"data": 4, "model": 2})


def test_the_first_rule_found_in_the_path_places_a_parameter_and_others_are_copied(mesh):
    rules = ((r"layers/\d+/kernel", (None, "model")), (r"kernel", ("model",)))
    with pytest.raises(InputError, match="'kernel' matches no parameter"):
        sharding.from_rules(PARAMS, rules, mesh)
    placed = sharding.from_rules(PARAMS, rules[:1], mesh)
    assert placed["tower"]["layers"][0]["kernel"].spec == P(None, "model")
    assert placed["tower"]["layers"][0]["bias"].spec == placed["table"].spec == P()


def test_a_rule_that_does_not_fit_is_refused_with_the_shape(mesh):
    for axes in (("model",), ("expert",), (None, None, "model")):
        with pytest.raises(InputError, match=r"does not fit table of shape \(5, 4\)"):
            sharding.from_rules(PARAMS, (("table", axes),), mesh)


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
