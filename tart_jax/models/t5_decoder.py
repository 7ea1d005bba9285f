"""T5's decoder with its cache, the whole encoder-decoder, and its functional face."""

import functools
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Bool, Float, Int

from tart_jax.models.bert import DTYPES
from tart_jax.models.dropout import dropout
from tart_jax.models.t5 import EncoderStack
from tart_jax.models.t5_config import T5Config
from tart_jax.models.t5_layers import (
    LOWEST,
    Attention,
    Perceptron,
    check_options,
    dropout_key,
    embeddings,
    fold,
    linear,
    make_layers,
    padding_bias,
    position_bias,
    put,
    relative_bias,
    rms_norm,
    run_layers,
)

Params = dict[str, Any]
Pair = tuple[Array, Array]  # keys and values, [b h l k], or of all layers, [layers b h l k]


class DecoderLayer(nnx.Module):
    """Causal self-attention, attention to the encoder's states, then the perceptron."""

    def __init__(self, config: T5Config, dtype: Any, *, rngs: nnx.Rngs):
        self.attention_norm = rms_norm(config, rngs)
        self.attention = Attention(config, dtype, rngs=rngs)
        self.cross_norm = rms_norm(config, rngs)
        self.cross = Attention(config, dtype, rngs=rngs)
        self.output_norm = rms_norm(config, rngs)
        self.output = Perceptron(config, dtype, rngs=rngs)
        self.dropout_rate = config.dropout_rate

    def __call__(
        self,
        hidden: Float[Array, "b t d"],
        bias: Float[Array, "1 h t u"],
        memory: Pair,
        memory_bias: Float[Array, "b 1 1 m"],
        key: Array | None,
        *,
        past: Pair | None = None,
        place: Array | None = None,
    ) -> tuple[Float[Array, "b t d"], Pair]:
        """Hidden states, and the keys and values attended to: `past` with these put at `place`."""
        rate, dtype = self.dropout_rate, hidden.dtype
        normed = self.attention_norm(hidden).astype(dtype)
        own = self.attention.remember(normed)
        if past is not None:
            own = jax.tree.map(lambda old, new: put(old, new, place), past, own)
        attended = self.attention(normed, *own, bias, fold(key, 0))
        hidden = hidden + dropout(attended, rate, fold(key, 1))
        normed = self.cross_norm(hidden).astype(dtype)
        attended = self.cross(normed, *memory, memory_bias, fold(key, 2))
        hidden = hidden + dropout(attended, rate, fold(key, 3))
        out = self.output(self.output_norm(hidden).astype(dtype), fold(key, 4))
        return hidden + dropout(out, rate, fold(key, 5)), own


class DecoderStack(nnx.Module):
    """T5's decoder over embedded tokens. dtype, remat, scan: see `T5Encoder`."""

    def __init__(self, config: T5Config, *, dtype: str, remat: str, scan: bool, rngs: nnx.Rngs):
        check_options(dtype, remat)
        self.config = config
        self.dtype = dtype
        self.relative_bias = relative_bias(config, rngs)
        make = functools.partial(DecoderLayer, config, DTYPES[dtype])
        self.layers = make_layers(make, _depth(config), scan=scan, rngs=rngs)
        self.norm = rms_norm(config, rngs)
        self.remat, self.scan = remat, scan

    def __call__(
        self,
        embedded: Float[Array, "b t d"],
        memory: Float[Array, "b m d"],
        memory_mask: Bool[Array, "b m"],
        key: Array | None,
    ) -> Float[Array, "b t d"]:
        """All places at once; each sees those before it and itself, and the encoder's states."""
        length = embedded.shape[1]
        bias, seen = self._bias(length), jnp.tril(jnp.ones((length, length), bool))
        bias = jnp.where(seen[None, None], bias, LOWEST)
        wide = padding_bias(memory_mask)

        def run(layer: Any, hidden: Array, number: Any, _: None) -> tuple[Array, None]:
            pair = layer.cross.remember(memory)
            return layer(hidden, bias, pair, wide, fold(key, number))[0], None

        return self._through(embedded, run, None, key)[0]

    def remember(self, memory: Float[Array, "b m d"]) -> Pair:
        """Keys and values of the encoder's states for all layers, [layers b h m k], once a text."""

        def run(layer: Any, hidden: Array, number: Any, _: None) -> tuple[Array, Pair]:
            return hidden, layer.cross.remember(memory)

        nothing = jnp.zeros(())
        return run_layers(
            self.layers, run, nothing, count=_depth(self.config), scan=self.scan, remat="none"
        )[1]

    def empty_cache(self, rows: int, length: int) -> Pair:
        """Keys and values of `length` places for all layers, [layers b h length k], of zeros."""
        config = self.config
        shape = (_depth(config), rows, config.num_heads, length, config.d_kv)
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
        row = jax.lax.dynamic_slice_in_dim(self._bias(length), place, 1, axis=2)
        bias = jnp.where((jnp.arange(length) <= place)[None, None, None], row, LOWEST)
        wide = padding_bias(memory_mask)

        def run(layer: Any, hidden: Array, _: Any, pairs: tuple[Pair, Pair]) -> tuple[Array, Pair]:
            return layer(hidden, bias, pairs[1], wide, None, past=pairs[0], place=place)

        return self._through(embedded, run, (cache, memory), None)

    def _bias(self, length: int) -> Array:
        return position_bias(self.relative_bias, self.config, length, both_ways=False)

    def _through(self, embedded: Array, run: Any, extras: Any, key: Array | None) -> Any:
        rate, dtype, count = self.config.dropout_rate, DTYPES[self.dtype], _depth(self.config)
        hidden = dropout(embedded, rate, fold(key, 0)).astype(dtype)
        hidden, given = run_layers(
            self.layers, run, hidden, extras, count=count, scan=self.scan, remat=self.remat
        )
        return dropout(self.norm(hidden).astype(dtype), rate, fold(key, count + 1)), given


class T5(nnx.Module):
    """Encoder, decoder and output layer over one embedding table, which stands here."""

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
        self.encoder = EncoderStack(config, dtype=dtype, remat=remat, scan=scan, rngs=rngs)
        self.decoder = DecoderStack(config, dtype=dtype, remat=remat, scan=scan, rngs=rngs)
        self.head = (
            None
            if config.tie_word_embeddings
            else linear(config, config.d_model, config.vocab_size, DTYPES[dtype], rngs, 1.0)
        )

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
        hidden = self.decoder(self.tokens(targets), memory, memory_mask, dropout_key(rngs))
        return self.logits(hidden)

    def logits(self, hidden: Float[Array, "b t d"]) -> Float[Array, "b t v"]:
        if self.head is None:
            hidden = hidden * self.config.d_model**-0.5
            matrix = self.tokens.embedding[...].T
        else:
            matrix = self.head.kernel[...]
        return jnp.matmul(hidden, matrix.astype(hidden.dtype), preferred_element_type=jnp.float32)


@functools.lru_cache(maxsize=64)
def graphdef(
    config: T5Config, *, dtype: str = "float32", remat: str = "none", scan: bool = False
) -> nnx.GraphDef:
    """The model without its parameters; built abstractly, so it costs no memory."""
    build = functools.partial(T5, config, dtype=dtype, remat=remat, scan=scan)
    return nnx.graphdef(nnx.eval_shape(lambda: build(rngs=nnx.Rngs(0))))


def init(config: T5Config, key: Array, *, scan: bool = False) -> Params:
    """Random parameters as plain nested dicts, float32, named by the modules' attributes.

    Pure: `jax.jit(init, static_argnums=0, out_shardings=...)` allocates them sharded.
    """
    return nnx.to_pure_dict(nnx.state(T5(config, scan=scan, rngs=nnx.Rngs(key)), nnx.Param))


def abstract_params(config: T5Config, *, scan: bool = False) -> Params:
    """The shapes and dtypes of `init`'s result, without computing it."""
    return jax.eval_shape(functools.partial(init, config, scan=scan), jax.random.key(0))


def logits(
    graphdef: nnx.GraphDef,
    params: Params,
    tokens: Int[Array, "b m"],
    mask: Bool[Array, "b m"],
    targets: Int[Array, "b t"],
    *,
    key: Array | None = None,
) -> Float[Array, "b t v"]:
    """Teacher-forced logits; a pure function to be jitted by its caller.

    targets: what the decoder reads, see `shift_right`. key: for dropout; None: evaluation.
    """
    model = nnx.merge(graphdef, params)
    rngs = None if key is None else nnx.Rngs(dropout=key)
    return model.decode(targets, model.encode(tokens, mask, rngs=rngs), mask, rngs=rngs)


def shift_right(labels: Int[Array, "b t"], config: T5Config) -> Int[Array, "b t"]:
    """What the decoder reads to be asked for `labels`: the start token, then all but the last."""
    start = jnp.full_like(labels[:, :1], config.decoder_start_token_id)
    return jnp.concatenate([start, labels[:, :-1]], axis=1)


def _depth(config: T5Config) -> int:
    return config.num_layers if config.num_decoder_layers is None else config.num_decoder_layers
