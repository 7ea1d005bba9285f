"""The floating-point operations that an encoder's matrix products need, for MFU and for planning.

Embeddings, norms and activations are left out (Chowdhery et al. 2022, PaLM, appendix B).
"""

from typing import NamedTuple

import numpy as np

from tart_jax.models.bart_config import BartConfig
from tart_jax.models.bert import BertConfig
from tart_jax.models.encoders import EncoderConfig
from tart_jax.models.t5_config import FEED_FORWARD, T5Config


def forward(config: EncoderConfig, lengths: np.ndarray) -> float:
    """Of texts of these numbers of tokens, read once; a multiplication and an addition are two."""
    return _of(_sizes(config), np.asarray(lengths, np.float64))


def reading(
    config: T5Config | BartConfig, inputs: np.ndarray, answers: np.ndarray, parts: int
) -> float:
    """Of a training step of a reader; inputs, answers: numbers of tokens, `parts` inputs to each.

    The output layer over the vocabulary is a product like the others, and counts.
    """
    inputs, answers = np.asarray(inputs, np.float64), np.asarray(answers, np.float64)
    memories = inputs.reshape(len(answers), parts).sum(axis=1)
    if isinstance(config, BartConfig):
        width = inner = config.d_model
        encoder = _Stack(config.encoder_layers, width, inner, config.encoder_ffn_dim, 2)
        decoder = _Stack(config.decoder_layers, width, inner, config.decoder_ffn_dim, 2)
    else:
        encoder = _sizes(config)
        decoder = encoder._replace(layers=config.num_decoder_layers or encoder.layers)
    crossed = decoder.layers * (
        4
        * decoder.width
        * decoder.inner
        * (answers.sum() + memories.sum())  # query and output; keys
        + 4 * decoder.inner * (answers * memories).sum()
    )
    output = 2 * decoder.width * config.vocab_size * answers.sum()
    return float(3 * (_of(encoder, inputs) + _of(decoder, answers) + crossed + output))


def training(config: EncoderConfig, lengths: np.ndarray) -> float:
    """Of a step: the backward pass costs two forward ones. What is computed twice counts once."""
    return 3 * forward(config, lengths)


class _Stack(NamedTuple):
    """Layers, width, width of all heads, width of the perceptron, its number of matrices."""

    layers: int
    width: int
    inner: int
    hidden: int
    products: int


def _of(stack: _Stack, lengths: np.ndarray) -> float:
    weights = 4 * stack.width * stack.inner + stack.products * stack.width * stack.hidden
    # scores and their weighted sum: each token with each of its text
    scores = 4 * stack.inner * np.square(lengths).sum()
    return float(stack.layers * (2 * weights * lengths.sum() + scores))


def _sizes(config: EncoderConfig) -> _Stack:
    if isinstance(config, BertConfig):
        width = config.hidden_size
        return _Stack(config.num_hidden_layers, width, width, config.intermediate_size, 2)
    gated = FEED_FORWARD[config.feed_forward_proj][1]
    inner = config.num_heads * config.d_kv
    return _Stack(config.num_layers, config.d_model, inner, config.d_ff, 3 if gated else 2)
