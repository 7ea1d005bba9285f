"""FLOPs by formula against those that XLA counts in the compiled program."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from tart_jax.models import bart, dual_encoder, flops, generate, t5_decoder
from tart_jax.models.bart_config import BartConfig
from tart_jax.models.bert import BertConfig
from tart_jax.models.dual_encoder import DualEncoderConfig
from tart_jax.models.t5_config import T5Config

BERT = BertConfig(
    hidden_size=256,
    num_attention_heads=4,
    num_hidden_layers=2,
    intermediate_size=512,
    vocab_size=90,
)
T5 = T5Config(vocab_size=90, d_model=256, d_kv=32, num_heads=4, d_ff=512, num_layers=2)
GATED = T5Config(**{**vars(T5), "feed_forward_proj": "gated-gelu"})


def counted(config, rows, length, grad=False):
    dual = DualEncoderConfig(encoder=config)
    graph = dual_encoder.graphdef(dual)
    params = jax.eval_shape(lambda: dual_encoder.init(dual, jax.random.key(0)))
    tokens = jax.ShapeDtypeStruct((rows, length), jnp.int32)
    mask = jax.ShapeDtypeStruct((rows, length), bool)
    run = functools.partial(dual_encoder.encode, graph, tower="document")
    if grad:
        run = jax.grad(
            lambda params, *x: jnp.sum(
                dual_encoder.encode(graph, params, *x, tower="document") ** 2
            )
        )
    return jax.jit(run).lower(params, tokens, mask).compile().cost_analysis()["flops"]


@pytest.mark.parametrize("config", [BERT, T5, GATED], ids=["bert", "t5", "gated t5"])
def test_a_forward_pass_has_the_flops_that_xla_counts(config):
    """Within 5%: XLA counts norms, softmax and activations besides."""
    for rows, length in ((4, 64), (2, 256)):
        ours = flops.forward(config, np.full(rows, length))
        assert ours <= counted(config, rows, length) <= 1.05 * ours


@pytest.mark.parametrize("parts", [1, 2])
@pytest.mark.parametrize("kind", ["bart", "t5"])
def test_a_readers_step_has_the_flops_that_xla_counts(kind, parts):
    """Within 5%: a vocabulary of some size, as its product counts."""
    if kind == "bart":
        config, module = BartConfig(512, 256, 2, 3, 4, 4, 512, 512), bart
    else:
        config = dataclasses.replace(T5, vocab_size=512, num_decoder_layers=3)
        module = t5_decoder
    graph = module.graphdef(config)
    params = jax.eval_shape(functools.partial(module.init, config), jax.random.key(0))

    def loss(params, inputs, mask, answers):
        model = nnx.merge(graph, params)
        memory, memory_mask = generate.read(model, inputs, mask, None)
        return jnp.sum(model.decode(answers, memory, memory_mask) ** 2)

    shapes = (jnp.int32, (4, parts, 64)), (jnp.bool_, (4, parts, 64)), (jnp.int32, (4, 48))
    arguments = [jax.ShapeDtypeStruct(shape, dtype) for dtype, shape in shapes]
    program = jax.jit(jax.grad(loss)).lower(params, *arguments).compile()
    ours = flops.reading(config, np.full(4 * parts, 64), np.full(4, 48), parts)
    assert 0.95 * ours <= program.cost_analysis()["flops"] <= 1.05 * ours


def test_training_has_three_times_the_flops():
    ours = flops.training(BERT, np.full(4, 64))
    assert ours == 3 * flops.forward(BERT, np.full(4, 64))
    assert ours * 0.95 <= counted(BERT, 4, 64, grad=True) <= 1.05 * ours


def test_bert_base_needs_22_gigaflops_for_128_tokens():
    assert flops.forward(BertConfig(), np.array([128])) == pytest.approx(22.35e9, rel=1e-3)
