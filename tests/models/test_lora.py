"""LoRA's factors: where they stand, what they begin as, and what they add up to."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tart_jax.models import dual_encoder, lora
from tart_jax.models.bert import BertConfig
from tart_jax.models.dual_encoder import DualEncoderConfig
from tart_jax.models.t5 import T5Config
from tart_jax.types import InputError

BERT = BertConfig(
    vocab_size=30, hidden_size=8, num_hidden_layers=2, num_attention_heads=2, intermediate_size=12,
    max_position_embeddings=16,
)  # fmt: skip
T5 = T5Config(vocab_size=30, d_model=8, d_kv=3, d_ff=12, num_layers=2, num_heads=2)
TARGETS = (r"attention/(query|value)/kernel",)


def params_of(encoder, scan=False):
    return dual_encoder.init(DualEncoderConfig(encoder, scan=scan), jax.random.key(0))


def grown(params, rank=3, targets=TARGETS):
    """With factors that are both other than zero."""
    added = lora.add(params, targets=targets, rank=rank, seed=0)
    draw = np.random.default_rng(1)
    fill = lambda path, x: (  # noqa: E731
        draw.normal(size=x.shape).astype(np.float32) if path[-1].key == "lora_b" else x
    )
    return jax.tree_util.tree_map_with_path(fill, added)


@pytest.mark.parametrize("encoder, scan", [(BERT, False), (T5, False), (T5, True)])
def test_the_model_begins_as_it_was_and_gives_its_params_back(encoder, scan):
    params = params_of(encoder, scan)
    added = lora.add(params, targets=TARGETS, rank=3, seed=0)
    for begun in (lora.merge(added, 2.0), lora.without(added)):
        jax.tree.map(np.testing.assert_array_equal, begun, params)
    factors = len(jax.tree.leaves(added)) - len(jax.tree.leaves(params))
    assert factors == 2 * (2 if scan else 2 * 2)  # of query and value, of each layer or of all


def test_the_factors_product_is_added_times_the_scale_and_nowhere_else():
    params = params_of(BERT)
    added = grown(params)
    merged = lora.merge(added, 0.5)
    own = added["document"]["encoder"]["layers"][1]["attention"]["value"]
    wanted = own["kernel"] + 0.5 * np.matmul(own["lora_a"], own["lora_b"])
    found = merged["document"]["encoder"]["layers"][1]["attention"]["value"]
    np.testing.assert_allclose(found["kernel"], wanted, rtol=1e-6, atol=1e-6)  # another order
    assert np.abs(found["kernel"] - own["kernel"]).max() > 0.1
    apart = [np.any(a != b) for a, b in zip(*map(jax.tree.leaves, (merged, params)), strict=True)]
    assert sum(apart) == 4


def test_stacked_layers_add_up_as_layers_apart():
    params = params_of(T5)
    layers = params["document"]["encoder"]["stack"]["layers"]
    apart = grown(params)["document"]["encoder"]["stack"]["layers"]
    assert list(layers) == [0, 1]
    stacked = jax.tree.map(lambda *each: jnp.stack(each), *(apart[n] for n in (0, 1)))
    merged = lora.merge({"layers": stacked}, 0.5)["layers"]
    ones = [lora.merge(apart[number], 0.5) for number in (0, 1)]
    again = jax.tree.map(lambda *each: jnp.stack(each), *ones)
    jax.tree.map(np.testing.assert_array_equal, merged, again)


def test_abstract_params_get_abstract_factors():
    shapes = jax.eval_shape(lambda: params_of(T5, True))
    added = lora.add(shapes, targets=TARGETS, rank=3, seed=0)
    query = added["document"]["encoder"]["stack"]["layers"]["attention"]["query"]
    assert (query["lora_a"].shape, query["lora_b"].shape) == ((2, 8, 3), (2, 3, 6))
    assert all(isinstance(leaf, jax.ShapeDtypeStruct) for leaf in jax.tree.leaves(added))


def test_a_target_that_finds_no_kernel_is_refused():
    with pytest.raises(InputError, match="no kernel of the model has 'quarry' in its path"):
        lora.add(params_of(BERT), targets=("query", "quarry"), rank=1, seed=0)
