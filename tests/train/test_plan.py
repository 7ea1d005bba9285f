"""What TART-full's step needs, from shapes: the mesh divides it, and no device gathers weights."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from tart_jax import config as config_files
from tart_jax import distributed, sharding
from tart_jax.data.batching import Collator, PairCollator, Sampler
from tart_jax.data.tokenization import Tokenizer
from tart_jax.models import cross_encoder
from tart_jax.models.cross_encoder import CrossEncoderConfig
from tart_jax.models.t5 import T5Config
from tart_jax.train import plan
from tart_jax.train import run as train
from tart_jax.train import state as train_state
from tests.train.conftest import training_examples

GATED = dict(feed_forward_proj="gated-gelu", tie_word_embeddings=False)
# The encoders that the config names as initial ones: width, heads, perceptron, layers.
SHAPES = {"xl": (2048, 32, 5120, 24), "large": (1024, 16, 2816, 24), "base": (768, 12, 2048, 12)}
XL = T5Config(d_model=2048, num_heads=32, d_ff=5120, num_layers=24, **GATED)
NARROW = T5Config(vocab_size=96, d_model=32, d_kv=8, d_ff=80, num_heads=8, num_layers=6, **GATED)


@functools.cache
def settings():
    return config_files.load("configs/train/tart_full.py")


def abstract(encoder: T5Config, rules, mesh):
    params = cross_encoder.abstract_params(CrossEncoderConfig(encoder, scan=True))
    return train_state.create(params, optax.adamw(1e-3), mesh=mesh, rules=rules)[0]


@pytest.mark.parametrize("size", SHAPES)
def test_no_large_parameter_of_tart_full_stays_whole_nor_do_its_moments(size):
    width, heads, inner, layers = SHAPES[size]
    encoder = T5Config(d_model=width, num_heads=heads, d_ff=inner, num_layers=layers, **GATED)
    mesh = distributed.make_mesh({"data": 1, "tensor": 8})
    parts = list(plan.parts(abstract(encoder, (), mesh)))
    large = [part for part in parts if part.entries > 1_000_000]
    assert len(large) == 3 * 8  # seven kernels of all layers and the table, each with two moments
    assert all(part.per_device * 8 == part.total for part in large)
    fewer = plan.parts(abstract(encoder, ((r"layers/.*/kernel$", (None, None, "tensor")),), mesh))
    assert {part.path.split("/")[-2] for part in fewer if part.whole and part.entries > 1e6} == {
        "tokens"
    }


def compiled(encoder: T5Config, b: int, n: int, length: int):
    """(the config's step at these sizes, compiled; its abstract state)."""
    config = settings().copy_and_resolve_references()
    config.optimizer.accumulation = b
    want, mesh = config.model, distributed.make_mesh(config.mesh.to_dict())
    model = CrossEncoderConfig(encoder, dtype=want.dtype, remat=want.remat, scan=want.scan)
    graphdef, params = cross_encoder.graphdef(model), cross_encoder.abstract_params(model)
    state, step = train.build(config, graphdef, params, mesh)
    batch = plan.pair_batch(b, n, length, mesh)
    return plan.compile_step(step, state, batch, prng=config.prng, mesh=mesh), state


@pytest.mark.slow
@pytest.mark.parametrize(
    "encoder, sizes",
    [(NARROW, (2, 1, 24)), (XL, (13, 4, 512))],
    ids=["narrow", "xl"],
)
def test_the_step_of_tart_full_holds_no_weight_whole_and_updates_its_state_in_place(encoder, sizes):
    b, negatives, length = sizes
    program, state = compiled(encoder, b, 1 + negatives, length)
    assert plan.whole_weights(program, state) == []
    memory = plan.memory(program)
    parts = list(plan.parts(state))
    ours = sum(part.per_device for part in parts)
    assert memory["outputs_in_place"] == ours
    # ids and mask of each pair, its validity and kind, and the key
    assert memory["arguments"] == ours + b * (1 + negatives) * (length * 5 + 2) + 8
    if encoder is XL:  # of the narrow one activations are larger than the weights
        whole = sum(part.total for part in parts if part.path.startswith("params/"))
        assert memory["temporaries"] < whole / 2


def test_weights_that_a_program_gathers_are_named():
    """The twin of `== []`: one whole table, and one layer's kernel."""
    mesh = distributed.make_mesh({"data": 1, "tensor": 8})
    state = abstract(NARROW, (), mesh)

    def gather(params):
        parts = (
            params["tokens"]["embedding"],
            params["stack"]["layers"]["output"]["up"]["kernel"][1],
        )
        return jax.lax.with_sharding_constraint(parts, sharding.replicated(mesh))

    program = jax.jit(gather).lower(state.params["encoder"]).compile()
    assert set(plan.whole_weights(program, state)) == {
        "encoder/tokens/embedding [96, 32]",
        "encoder/stack/layers/output/up/kernel [32, 80]",
        "encoder/stack/layers/output/gate/kernel [32, 80]",  # of the same shape
        "encoder/stack/layers/output/down/kernel [80, 32]",
    }


def described(batch) -> dict:
    return {name: (value.shape, value.dtype) for name, value in batch.items()}


def test_the_planned_batch_is_that_of_the_collator(model_directory):
    tokenizer = Tokenizer.load(model_directory)
    sample = Sampler({"pairs": ("find",)}, 2, 0.3, 0.0, "instruction_first", "[SEP]")
    rows = [sample(e, np.random.default_rng(i)) for i, e in enumerate(training_examples(8))]
    batch = PairCollator(tokenizer, num_negatives=2, pair_length=12, start=None)(rows)
    mesh = distributed.make_mesh({"data": 8})
    assert described(batch) == described(plan.pair_batch(8, 3, 12, mesh))
    lengths = dict(query_length=8, document_length=12, known_positives=2)
    collate = Collator(tokenizer, num_negatives=2, duplicates="id", **lengths)
    assert described(collate(rows)) == described(plan.text_batch(8, 3, **lengths, mesh=mesh))


def test_the_shapes_of_a_program_are_of_every_type_and_of_what_stands_between():
    def outer(ids):
        return jnp.argsort((ids[:, None] < ids[None, :]).sum(0))

    found = plan.shapes(jax.jit(outer).lower(jnp.arange(6, dtype=jnp.uint32)).compile())
    assert {(6,), (6, 6)} <= found and not any(7 in shape for shape in found)
