"""TART-full's step with T5's weights divided over eight devices is that of one device."""

import jax
import numpy as np
import pytest

from tart_jax import config as config_files
from tart_jax import distributed, sharding
from tart_jax.models import cross_encoder
from tart_jax.models.cross_encoder import CrossEncoderConfig
from tart_jax.models.t5 import T5Config
from tart_jax.train import run as train

SMALL = T5Config()  # t5-small
NARROW = T5Config(vocab_size=96, d_model=32, d_kv=8, d_ff=80, num_heads=8)  # as deep as t5-small


def settings(devices: int):
    """TART-full's rules, mesh, dropout, remat, scan and accumulation, in float32."""
    config = config_files.load("configs/train/tart_full.py").copy_and_resolve_references()
    config.mesh.data, config.mesh.tensor = 1, devices
    config.optimizer.accumulation = 2
    # At the config's 1e-5, and after a warm-up's first 0, a step would change next to nothing.
    config.optimizer.warmup_steps, config.optimizer.peak_lr = 0, 2e-4
    return config


def batch(vocabulary: int, length: int) -> dict[str, np.ndarray]:
    """Two queries of three documents each; the last document of the second is padding."""
    draw = np.random.default_rng(0)
    lengths = draw.integers(length // 2, length + 1, (2, 3, 1))
    kinds = np.array([[0, 1, 2], [0, 1, -1]], np.int8)
    return {
        "pair_tokens": draw.integers(2, vocabulary, (2, 3, length)).astype(np.int32),
        "pair_mask": np.arange(length) < lengths,
        "pair_types": np.zeros((2, 3, length), np.int32),
        "document_valid": kinds >= 0,
        "document_kind": kinds,
        "document_score": np.full((2, 3), np.nan, np.float32),
    }


def results(encoder: T5Config, length: int, devices: int, change=lambda params: params):
    """(loss, gradients, updated params) of one step, as host arrays by path.

    The gradients are Adam's means of them, which after one step are (1 - b1) times the gradients.
    """
    config = settings(devices)
    mesh = distributed.make_mesh(config.mesh.to_dict(), jax.devices()[:devices])
    model = CrossEncoderConfig(encoder, remat=config.model.remat, scan=config.model.scan)
    graphdef = cross_encoder.graphdef(model)
    params = change(jax.device_get(cross_encoder.init(model, jax.random.key(1))))
    state, step = train.build(config, graphdef, params, mesh)
    divided = [not leaf.sharding.is_fully_replicated for leaf in jax.tree.leaves(state.params)]
    assert sum(divided) == (len(divided) - 6 if devices > 1 else 0)
    placed = sharding.to_global(batch(encoder.vocab_size, length), sharding.over_batch(mesh))
    key = jax.device_put(jax.random.key(0), sharding.replicated(mesh))
    state, metrics = step(state, placed, key)
    total, count = metrics["loss"]
    (moments,) = (part.mu for part in state.opt_state if hasattr(part, "mu"))
    return float(total) / float(count), flat(moments), flat(state.params)


def flat(tree) -> dict[str, np.ndarray]:
    leaves = jax.tree_util.tree_leaves_with_path(jax.device_get(tree))
    return {jax.tree_util.keystr(path): leaf for path, leaf in leaves}


def distances(one, other) -> tuple[float, float, float]:
    """Relative: of the losses, of gradients (largest entries), of updated params (norms).

    By norms, for Adam divides a gradient by its own size: of an array's millions of gradients a few
    are so near 0 that rounding alone decides their update.
    """
    (loss, grads, params), (other_loss, other_grads, other_params) = one, other
    far_grads = max(np.abs(grads[k] - other_grads[k]).max() / np.abs(grads[k]).max() for k in grads)
    norm = np.linalg.norm
    far = max(norm(params[k] - other_params[k]) / norm(params[k]) for k in params)
    return abs(loss - other_loss) / abs(loss), float(far_grads), float(far)


@pytest.fixture(scope="module")
def one():
    return results(NARROW, 12, 1)


@pytest.mark.slow
def test_a_step_on_divided_weights_is_that_on_one_device(one):
    found = distances(one, results(NARROW, 12, 8))
    assert max(found) < 1e-5  # float32 sums in another order: 2e-6 was seen
    before = flat(cross_encoder.init(CrossEncoderConfig(NARROW, scan=True), jax.random.key(1)))
    assert distances(one, (one[0], one[1], before))[2] > 1e-3  # the step moved them


@pytest.mark.slow
def test_weights_whose_parts_lie_on_the_wrong_devices_give_another_step(one):
    """The twin: two devices' parts of one kernel are exchanged."""

    def exchange(params):
        layer = params["encoder"]["stack"]["layers"]["output"]
        kernel = layer["up"]["kernel"].reshape(6, 32, 8, 10)
        layer["up"]["kernel"] = kernel[:, :, [1, 0, *range(2, 8)]].reshape(6, 32, 80)
        return params

    assert min(distances(one, results(NARROW, 12, 8, exchange))) > 1e-5


@pytest.mark.slow
def test_a_step_of_t5_small_on_divided_weights_is_that_on_one_device():
    assert max(distances(results(SMALL, 48, 1), results(SMALL, 48, 8))) < 1e-5
