"""BART (Lewis et al. 2020): encoder and decoder with learned positions, normalised after each part.

It has the face of `t5_decoder.T5`, so that `generate` and readers take either.
"""

import functools
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Bool, Float, Int

from tart_jax.models import t5_layers
from tart_jax.models.bart_config import BartConfig
from tart_jax.models.bert import ACTIVATIONS, DTYPES
from tart_jax.models.dropout import dropout
from tart_jax.models.t5_layers import LOWEST, dropout_key, fold, padding_bias, put

Params = dict[str, Any]
Pair = tuple[Array, Array]  # keys and values, [b h l k], or of all layers, [layers b h l k]
OFFSET = 2  # the table of positions begins with two rows that nothing reads, as fairseq's


class Attention(t5_layers.Attention):
    """T5's with biases, and queries scaled by the width of a head."""

    def __init__(self, config: BartConfig, heads: int, dtype: Any, *, rngs: nnx.Rngs):
        width = config.d_model
        self.query, self.key, self.value, self.output = (
            _linear(config, width, width, dtype, rngs) for _ in range(4)
        )
        self.heads, self.dropout_rate = heads, config.attention_dropout

    def asked(self, hidden: Float[Array, "b q d"]) -> Float[Array, "b q d"]:
        return self.query(hidden) * (hidden.shape[-1] // self.heads) ** -0.5


class Layer(nnx.Module):
    """Self-attention, in a decoder attention to the encoder's states, then the perceptron."""

    def __init__(self, config: BartConfig, dtype: Any, *, decoder: bool, rngs: nnx.Rngs):
        side = "decoder" if decoder else "encoder"
        heads, inner = (getattr(config, f"{side}_{x}") for x in ("attention_heads", "ffn_dim"))
        self.attention = Attention(config, heads, dtype, rngs=rngs)
        self.attention_norm = _norm(config, rngs)
        self.cross = Attention(config, heads, dtype, rngs=rngs) if decoder else None
        self.cross_norm = _norm(config, rngs) if decoder else None
        self.up = _linear(config, config.d_model, inner, dtype, rngs)
        self.down = _linear(config, inner, config.d_model, dtype, rngs)
        self.output_norm = _norm(config, rngs)
        self.config = config

    def remember(self, memory: Float[Array, "b m d"]) -> Pair:
        """Keys and values of the encoder's states. ValueError: a layer of the encoder has none."""
        if self.cross is None:
            raise ValueError("a layer of the encoder attends to nothing but its own text.")
        return self.cross.remember(memory)

    def __call__(
        self,
        hidden: Float[Array, "b t d"],
        bias: Float[Array, "*bias"],
        key: Array | None,
        *,
        memory: Pair | None = None,
        memory_bias: Any = None,
        past: Pair | None = None,
        place: Array | None = None,
    ) -> tuple[Float[Array, "b t d"], Pair]:
        """Hidden states, and the keys and values attended to: `past` with these put at `place`."""
        config, dtype = self.config, hidden.dtype
        own = self.attention.remember(hidden)
        if past is not None:
            own = jax.tree.map(lambda old, new: put(old, new, place), past, own)
        attended = dropout(
            self.attention(hidden, *own, bias, fold(key, 0)), config.dropout, fold(key, 1)
        )
        hidden = self.attention_norm(hidden + attended).astype(dtype)
        if self.cross is not None and self.cross_norm is not None and memory is not None:
            attended = self.cross(hidden, *memory, memory_bias, fold(key, 2))
            attended = dropout(attended, config.dropout, fold(key, 3))
            hidden = self.cross_norm(hidden + attended).astype(dtype)
        inner = ACTIVATIONS[config.activation_function](self.up(hidden))
        out = self.down(dropout(inner, config.activation_dropout, fold(key, 4)))
        out = dropout(out, config.dropout, fold(key, 5))
        return self.output_norm(hidden + out).astype(dtype), own


class Stack(nnx.Module):
    """Encoder or decoder over embedded tokens."""

    def __init__(self, config: BartConfig, *, decoder: bool, dtype: str, rngs: nnx.Rngs):
        init = nnx.initializers.normal(config.init_std)
        rows = config.max_position_embeddings + OFFSET
        self.positions = nnx.Embed(rows, config.d_model, embedding_init=init, rngs=rngs)
        self.embedding_norm = _norm(config, rngs)
        count = config.decoder_layers if decoder else config.encoder_layers
        self.layers = nnx.List(
            [Layer(config, DTYPES[dtype], decoder=decoder, rngs=rngs) for _ in range(count)]
        )
        self.config, self.dtype = config, dtype

    def __call__(
        self,
        embedded: Float[Array, "b t d"],
        mask: Bool[Array, "b m"],
        key: Array | None,
        memory: Float[Array, "b m d"] | None = None,
    ) -> Float[Array, "b t d"]:
        """mask: of the encoder's own tokens; with memory, of those, and a place sees no later one.

        ValueError: the text is longer than the position table.
        """
        length = embedded.shape[1]
        if length > self.config.max_position_embeddings:
            raise ValueError(f"{length} tokens, and the model has"
                             f" {self.config.max_position_embeddings} positions.")  # fmt: skip
        wide = padding_bias(mask)
        seen = jnp.tril(jnp.ones((length, length), bool))[None, None]
        bias = wide if memory is None else jnp.where(seen, 0.0, LOWEST)
        hidden = self._embedded(embedded, self.positions.embedding[OFFSET : OFFSET + length], key)
        for number, layer in enumerate(self.layers, start=1):
            pair = None if memory is None else layer.remember(memory)
            hidden, _ = layer(hidden, bias, fold(key, number), memory=pair, memory_bias=wide)
        return hidden

    def remember(self, memory: Float[Array, "b m d"]) -> Pair:
        """Keys and values of the encoder's states for all layers, [layers b h m k], once a text."""
        return _stacked([layer.remember(memory) for layer in self.layers])

    def empty_cache(self, rows: int, length: int) -> Pair:
        """Keys and values of `length` places for all layers, [layers b h length k], of zeros."""
        config = self.config
        heads = config.decoder_attention_heads
        shape = (len(self.layers), rows, heads, length, config.d_model // heads)
        return jnp.zeros(shape, DTYPES[self.dtype]), jnp.zeros(shape, DTYPES[self.dtype])

    def step(
        self,
        embedded: Float[Array, "b 1 d"],
        place: Int[Array, ""],
        cache: Pair,
        memory: Pair,
        memory_mask: Bool[Array, "b m"],
    ) -> tuple[Float[Array, "b 1 d"], Pair]:
        """The states at one place, all before it being in the cache, and the cache with it."""
        length = cache[0].shape[3]
        bias = jnp.where((jnp.arange(length) <= place)[None, None, None], 0.0, LOWEST)
        row = jax.lax.dynamic_slice_in_dim(self.positions.embedding[...], place + OFFSET, 1)
        hidden, wide, kept = self._embedded(embedded, row, None), padding_bias(memory_mask), []
        for number, layer in enumerate(self.layers):
            past, pair = (jax.tree.map(lambda x, n=number: x[n], both) for both in (cache, memory))
            hidden, own = layer(
                hidden, bias, None, memory=pair, memory_bias=wide, past=past, place=place
            )
            kept.append(own)
        return hidden, _stacked(kept)

    def _embedded(self, embedded: Array, places: Array, key: Array | None) -> Array:
        hidden = self.embedding_norm(embedded + places[None])
        return dropout(hidden, self.config.dropout, fold(key, 0)).astype(DTYPES[self.dtype])


class Bart(nnx.Module):
    """Token ids to logits, float32 [b t v]; the table of tokens is also the last layer."""

    def __init__(self, config: BartConfig, *, dtype: str = "float32", rngs: nnx.Rngs):
        init = nnx.initializers.normal(config.init_std)
        self.config = config
        self.table = nnx.Embed(config.vocab_size, config.d_model, embedding_init=init, rngs=rngs)
        self.encoder = Stack(config, decoder=False, dtype=dtype, rngs=rngs)
        self.decoder = Stack(config, decoder=True, dtype=dtype, rngs=rngs)
        self.bias = nnx.Param(jnp.zeros(config.vocab_size))

    def tokens(self, ids: Int[Array, "b t"]) -> Float[Array, "b t d"]:
        embedded = self.table(ids)
        return embedded * self.config.d_model**0.5 if self.config.scale_embedding else embedded

    def encode(
        self, tokens: Int[Array, "b m"], mask: Bool[Array, "b m"], *, rngs: nnx.Rngs | None = None
    ) -> Float[Array, "b m d"]:
        return self.encoder(self.tokens(tokens), mask, dropout_key(rngs))

    def decode(
        self,
        targets: Int[Array, "b t"],
        memory: Float[Array, "b m d"],
        memory_mask: Bool[Array, "b m"],
        *,
        rngs: nnx.Rngs | None = None,
    ) -> Float[Array, "b t v"]:
        """Logits float32 of what follows each target; targets begin with the start token."""
        return self.logits(
            self.decoder(self.tokens(targets), memory_mask, dropout_key(rngs), memory)
        )

    def logits(self, hidden: Float[Array, "b t d"]) -> Float[Array, "b t v"]:
        matrix = self.table.embedding[...].T.astype(hidden.dtype)
        found = jnp.matmul(hidden, matrix, preferred_element_type=jnp.float32)
        return found + self.bias[...][None, None]


@functools.lru_cache(maxsize=64)
def graphdef(config: BartConfig, *, dtype: str = "float32") -> nnx.GraphDef:
    """The model without its parameters; built abstractly, so it costs no memory."""
    return nnx.graphdef(nnx.eval_shape(lambda: Bart(config, dtype=dtype, rngs=nnx.Rngs(0))))


def init(config: BartConfig, key: Array) -> Params:
    """Random parameters as plain nested dicts, float32, named by the modules' attributes."""
    return nnx.to_pure_dict(nnx.state(Bart(config, rngs=nnx.Rngs(key)), nnx.Param))


def _linear(
    config: BartConfig, inputs: int, outputs: int, dtype: Any, rngs: nnx.Rngs
) -> nnx.Linear:
    kernel = nnx.initializers.normal(config.init_std)
    return nnx.Linear(inputs, outputs, dtype=dtype, kernel_init=kernel, rngs=rngs)


def _norm(config: BartConfig, rngs: nnx.Rngs) -> nnx.LayerNorm:
    return nnx.LayerNorm(
        config.d_model, epsilon=1e-5, dtype=jnp.float32, use_fast_variance=False, rngs=rngs
    )


def _stacked(pairs: list[Pair]) -> Pair:
    return jnp.stack([keys for keys, _ in pairs]), jnp.stack([values for _, values in pairs])
