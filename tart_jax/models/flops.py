"""The floating-point operations that an encoder's matrix products need, for MFU and for planning.

Embeddings, norms and activations are left out (Chowdhery et al. 2022, PaLM, appendix B).
"""

import numpy as np

from tart_jax.models.bert import BertConfig
from tart_jax.models.encoders import EncoderConfig
from tart_jax.models.t5_config import FEED_FORWARD


def forward(config: EncoderConfig, lengths: np.ndarray) -> float:
    """Of texts of these numbers of tokens, read once; a multiplication and an addition are two."""
    lengths = np.asarray(lengths, np.float64)
    depth, width, inner, hidden, products = _sizes(config)
    weights = depth * (4 * width * inner + products * width * hidden)
    # scores and their weighted sum: each token with each of its text
    return float(2 * weights * lengths.sum() + 4 * depth * inner * np.square(lengths).sum())


def training(config: EncoderConfig, lengths: np.ndarray) -> float:
    """Of a step: the backward pass costs two forward ones. What is computed twice counts once."""
    return 3 * forward(config, lengths)


def _sizes(config: EncoderConfig) -> tuple[int, int, int, int, int]:
    """(layers, width, width of all heads, width of the perceptron, its number of matrices)."""
    if isinstance(config, BertConfig):
        width = config.hidden_size
        return config.num_hidden_layers, width, width, config.intermediate_size, 2
    gated = FEED_FORWARD[config.feed_forward_proj][1]
    inner = config.num_heads * config.d_kv
    return config.num_layers, config.d_model, inner, config.d_ff, 3 if gated else 2
