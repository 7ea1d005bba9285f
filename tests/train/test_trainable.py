"""What a training changes, and that it changes nothing else."""

import jax
import numpy as np
import optax
import pytest

from tart_jax import distributed, sharding
from tart_jax.models import dual_encoder
from tart_jax.models.dual_encoder import DualEncoderConfig
from tart_jax.train import objectives
from tart_jax.train import state as train_state
from tart_jax.train.step import make_step
from tart_jax.train.trainable import ALL, Trainable, join
from tart_jax.types import InputError
from tests.train.conftest import tiny_bert
from tests.train.test_mesh import batches

CONFIG = DualEncoderConfig(encoder=tiny_bert(), projection=4)
LORA = Trainable(rank=2, targets=("attention/query/kernel",))


def begun(trainable):
    params = jax.device_get(dual_encoder.init(CONFIG, jax.random.key(1)))
    return trainable.begin(params, seed=0)


def flat(tree):
    return {
        jax.tree_util.keystr(path, simple=True, separator="/"): leaf
        for path, leaf in jax.tree_util.tree_leaves_with_path(tree)
    }


def stepped(trainable, accumulation=1):
    """(params before, params after two updates, the optimizer's state)."""
    mesh, optimizer, params = (
        distributed.make_mesh({"data": 1}, jax.devices()[:1]),
        optax.adamw(1e-2),
        begun(trainable),
    )
    state, shardings = train_state.create(
        params, optimizer, mesh=mesh, rules=(), trainable=trainable
    )
    objective = objectives.dual_contrastive(
        dual_encoder.graphdef(CONFIG), temperature=1.0, unfollowing_weight=1.0, mesh=mesh
    )
    step = make_step(
        objective, optimizer, lambda step: 1e-2, accumulation=accumulation, dropout=False,
        mesh=mesh, shardings=shardings, trainable=trainable,
    )  # fmt: skip
    for batch in batches(8)[:2]:
        placed = sharding.to_global(batch, sharding.over_batch(mesh))
        state, _ = step(state, placed, jax.random.key(0))
    return params, jax.device_get(state.params), state.opt_state


@pytest.mark.parametrize("accumulation", [1, 2])
def test_factors_and_heads_move_and_the_encoder_stays_bit_for_bit(accumulation):
    before, after, opt_state = stepped(LORA, accumulation)
    after = flat(after)
    moved = {name for name, leaf in flat(before).items() if np.any(leaf != after[name])}
    query = "document/encoder/layers/0/attention/query"
    heads = {f"document/projection/{leaf}" for leaf in ("kernel", "bias")}
    assert moved == {f"{query}/lora_a", f"{query}/lora_b"} | heads
    assert set(flat(opt_state[0].mu)) == moved  # and no moments of what stays


def test_frozen_parameters_stay_and_all_others_move():
    before, after, opt_state = stepped(Trainable(frozen=("/embeddings/", "bias$")))
    after = flat(after)
    for name, leaf in flat(before).items():
        stays = "/embeddings/" in name or name.endswith("bias")
        assert np.any(leaf != after[name]) != stays, name
        assert (name in flat(opt_state[0].mu)) != stays


def test_the_merged_model_has_the_models_parameters_and_shares_what_stays():
    _, after, _ = stepped(LORA)
    merged = LORA.merged(after)
    assert jax.tree.structure(merged) == jax.tree.structure(begun(ALL))
    path = ("document", "encoder", "embeddings", "tokens", "embedding")
    one, other = after, merged
    for part in path:
        one, other = one[part], other[part]
    assert one is other  # what is not changed is not copied


@pytest.mark.parametrize("trainable", [ALL, LORA, Trainable(frozen=("norm",))])
def test_joining_what_was_split_is_the_identity(trainable):
    params = begun(trainable)
    trained, rest = trainable.split(params)
    assert bool(rest) == (trainable is not ALL)
    again = join(trained, rest)
    assert jax.tree.structure(again) == jax.tree.structure(params)
    jax.tree.map(np.testing.assert_array_equal, again, params)


@pytest.mark.parametrize(
    "change, message",
    [
        ({"frozen": ("pooler",)}, "config.frozen: no parameter has 'pooler' in its path"),
        ({"frozen": ("",)}, "leaves no parameter to train"),
        ({"rank": 2, "targets": ("gate",)}, "no kernel of the model has 'gate'"),
        ({"rank": 2}, "config.lora.targets is empty"),
        ({"rank": -1}, "config.lora.rank is -1"),
    ],
)
def test_what_cannot_be_trained_is_refused_with_the_key(change, message):
    with pytest.raises(InputError, match=message):
        begun(Trainable(**change))
