"""The mesh, and the one process that there is; tests/test_many_processes.py has more."""

import jax
import pytest
from jax.sharding import AxisType

from tart_jax import distributed
from tart_jax.types import InputError


def test_one_axis_takes_the_devices_that_are_left():
    mesh = distributed.make_mesh({"data": -1, "tensor": 2})
    assert dict(mesh.shape) == {"data": 4, "tensor": 2}
    assert mesh.axis_types == (AxisType.Auto, AxisType.Auto)
    assert dict(distributed.make_mesh({"data": -1}, jax.devices()[:1]).shape) == {"data": 1}


@pytest.mark.parametrize(
    "sizes", [{"data": 3}, {"data": 4}, {"tensor": 8}, {"data": -1, "tensor": -1}, {"data": 0}]
)
def test_sizes_that_do_not_fit_the_devices_are_refused(sizes):
    with pytest.raises(InputError, match="8 devices"):
        distributed.make_mesh(sizes)


def test_this_process_is_the_main_one_and_waits_for_nobody(tmp_path):
    assert distributed.is_main_process() and distributed.process() == (0, 1)
    assert distributed.local_mesh({"data": -1}) == distributed.make_mesh({"data": -1})
    distributed.barrier("alone")
    distributed.check_shared(tmp_path / "nothing")
