"""Checkpoints: exact, the last and the best kept, other runs refused."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tart_jax import distributed, sharding
from tart_jax.checkpoints import Checkpoints, refuse_other_run
from tart_jax.types import InputError

METRIC = "dev/nDCG@10"


def state_at(step: int, mesh) -> dict:
    weights = np.arange(8.0, dtype=np.float32) / 3 + step
    values = {"layers": {0: {"w": weights}}, "step": jnp.int32(step)}
    return jax.device_put(values, sharding.replicated(mesh))


def abstract(state):
    return jax.tree.map(
        lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=x.sharding), state
    )


def opened(folder) -> Checkpoints:
    return Checkpoints(folder, keep_last=2, best_metric=METRIC)


def save(checkpoints, step, mesh, value=None) -> None:
    checkpoints.save(
        step,
        state_at(step, mesh),
        data_state={"next_batch": step},
        identity={"seed": 1, "shape": [1, 2]},
        metrics=None if value is None else {METRIC: value},
    )


def test_state_and_position_come_back_bit_for_bit(tmp_path):
    mesh = distributed.make_mesh({"data": 8})
    with opened(tmp_path / "c") as checkpoints:
        assert checkpoints.latest_step() is None
        save(checkpoints, 3, mesh)
    with opened(tmp_path / "c") as checkpoints:
        restored = checkpoints.restore(abstract(state_at(0, mesh)))
        assert (restored.step, restored.data_state) == (3, {"next_batch": 3})
        assert checkpoints.position() == ({"next_batch": 3}, {"seed": 1, "shape": [1, 2]})
        assert checkpoints.best_step() is None
    wanted = state_at(3, mesh)
    np.testing.assert_array_equal(restored.state["layers"][0]["w"], wanted["layers"][0]["w"])
    assert restored.state["layers"][0]["w"].sharding == wanted["layers"][0]["w"].sharding
    assert (state_at(4, mesh)["layers"][0]["w"] != wanted["layers"][0]["w"]).all()


def test_the_last_two_and_the_best_are_kept(tmp_path):
    mesh = distributed.make_mesh({"data": 8})
    with opened(tmp_path / "c") as checkpoints:
        for step, value in enumerate([0.1, 0.5, 0.2, None, 0.3, None], start=1):
            save(checkpoints, step, mesh, value)
        checkpoints.wait()
        assert checkpoints.best_step() == 2
    with opened(tmp_path / "c") as checkpoints:
        names = {int(path.name) for path in (tmp_path / "c").iterdir() if path.name.isdigit()}
        assert names == {2, 5, 6}
        assert checkpoints.best_step() == 2 and checkpoints.latest_step() == 6
        assert checkpoints.metrics(2) == {METRIC: 0.5} and checkpoints.metrics(6) == {}


def test_a_missing_checkpoint_is_named(tmp_path):
    with opened(tmp_path / "c") as checkpoints:
        with pytest.raises(InputError, match="holds no checkpoint"):
            checkpoints.restore({})
    with pytest.raises(InputError, match="keep_last is 0"):
        Checkpoints(tmp_path / "d", keep_last=0, best_metric=METRIC)


def test_another_run_is_refused_by_its_first_other_key():
    saved = {"seed": 0, "data.sha256": "a", "steps": 5}
    refuse_other_run(saved, dict(saved), directory="w")
    with pytest.raises(InputError, match="w was trained with seed=0, this run has 1"):
        refuse_other_run(saved, saved | {"seed": 1}, directory="w")
    with pytest.raises(InputError, match="allow_other_data"):
        refuse_other_run(saved, saved | {"data.sha256": "b"}, directory="w")
    refuse_other_run(saved, saved | {"data.sha256": "b"}, directory="w", allow_other_data=True)
    with pytest.raises(InputError, match="steps=5"):
        refuse_other_run(saved, {"seed": 0, "data.sha256": "a"}, directory="w")


def test_tuples_and_lists_are_the_same_option():
    refuse_other_run({"a": [1, 2]}, {"a": (1, 2)}, directory="w")
