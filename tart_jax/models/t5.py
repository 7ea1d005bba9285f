"""T5's encoder (Raffel et al. 2020) in both of its forms: v1.0, and v1.1 with gated GELU (mT5)."""

import functools
from typing import Any

import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Bool, Float, Int

from tart_jax.models.bert import DTYPES
from tart_jax.models.dropout import dropout
from tart_jax.models.t5_config import T5Config
from tart_jax.models.t5_layers import (
    LOWEST,
    Attention,
    Perceptron,
    check_options,
    embeddings,
    fold,
    make_layers,
    position_bias,
    relative_bias,
    rms_norm,
    run_layers,
)

__all__ = ["T5Config", "T5Encoder", "EncoderStack"]


class T5Encoder(nnx.Module):
    """Token ids to hidden states, for texts of any length.

    dtype, remat: as `BertEncoder`. scan: the layers' parameters are stacked, [layers, ...], and
    run by jax.lax.scan, so that the program grows and compiles as that of one layer.
    """

    def __init__(
        self,
        config: T5Config,
        *,
        dtype: str = "float32",
        remat: str = "none",
        scan: bool = False,
        rngs: nnx.Rngs,
    ):
        self.config = config
        self.tokens = embeddings(config, rngs)
        self.stack = EncoderStack(config, dtype=dtype, remat=remat, scan=scan, rngs=rngs)

    def __call__(
        self,
        tokens: Int[Array, "b l"],
        mask: Bool[Array, "b l"],
        *,
        rngs: nnx.Rngs | None = None,
    ) -> Float[Array, "b l d"]:
        """Normalised hidden states of the last layer, in the compute dtype.

        mask is True at real tokens. rngs (its `dropout` stream): dropout as in the original, on
        embeddings, attention probabilities, inside and after each perceptron, after each
        attention and on the output; None: evaluation.
        """
        key = None if rngs is None else rngs.dropout()
        return self.stack(self.tokens(tokens), mask, key)


class EncoderStack(nnx.Module):
    """T5's encoder over embedded tokens; who owns the embedding table may share it."""

    def __init__(self, config: T5Config, *, dtype: str, remat: str, scan: bool, rngs: nnx.Rngs):
        check_options(dtype, remat)
        self.config = config
        self.dtype = dtype
        self.relative_bias = relative_bias(config, rngs)
        make = functools.partial(EncoderLayer, config, DTYPES[dtype])
        self.layers = make_layers(make, config.num_layers, scan=scan, rngs=rngs)
        self.norm = rms_norm(config, rngs)
        self.remat, self.scan = remat, scan

    def __call__(
        self, embedded: Float[Array, "b l d"], mask: Bool[Array, "b l"], key: Array | None
    ) -> Float[Array, "b l d"]:
        rate, dtype = self.config.dropout_rate, DTYPES[self.dtype]
        hidden = dropout(embedded, rate, fold(key, 0)).astype(dtype)
        bias = position_bias(self.relative_bias, self.config, mask.shape[1], both_ways=True)
        bias = jnp.where(mask[:, None, None, :], bias, LOWEST)

        def run(layer: Any, hidden: Array, number: Any, _: None) -> tuple[Array, None]:
            return layer(hidden, bias, fold(key, number)), None

        count = self.config.num_layers
        hidden, _ = run_layers(
            self.layers, run, hidden, count=count, scan=self.scan, remat=self.remat
        )
        last = fold(key, count + 1)
        return dropout(self.norm(hidden).astype(dtype), rate, last)


class EncoderLayer(nnx.Module):
    """Self-attention, then the perceptron; each reads normalised states and adds to its input."""

    def __init__(self, config: T5Config, dtype: Any, *, rngs: nnx.Rngs):
        self.attention_norm = rms_norm(config, rngs)
        self.attention = Attention(config, dtype, rngs=rngs)
        self.output_norm = rms_norm(config, rngs)
        self.output = Perceptron(config, dtype, rngs=rngs)
        self.dropout_rate = config.dropout_rate

    def __call__(
        self, hidden: Float[Array, "b l d"], bias: Float[Array, "b h l l"], key: Array | None
    ) -> Float[Array, "b l d"]:
        rate, dtype = self.dropout_rate, hidden.dtype
        normed = self.attention_norm(hidden).astype(dtype)
        keys, values = self.attention.remember(normed)
        attended = self.attention(normed, keys, values, bias, fold(key, 0))
        hidden = hidden + dropout(attended, rate, fold(key, 1))
        out = self.output(self.output_norm(hidden).astype(dtype), fold(key, 2))
        return hidden + dropout(out, rate, fold(key, 3))
