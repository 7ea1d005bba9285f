"""What T5 is made of: attention, perceptron, position bias and the loop over layers."""

import functools
import math
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Array, Float

from tart_jax.models.bert import ACTIVATIONS, DTYPES, REMAT
from tart_jax.models.dropout import dropout
from tart_jax.models.t5_config import FEED_FORWARD, T5Config
from tart_jax.types import InputError

LOWEST = float(np.finfo(np.float32).min)  # not -inf: a row of nothing but padding must not be NaN


class Attention(nnx.Module):
    """Attention without scaling: T5 keeps the factor in the initial size of its queries."""

    def __init__(self, config: T5Config, dtype: Any, *, rngs: nnx.Rngs):
        width, inner = config.d_model, config.num_heads * config.d_kv
        self.query = linear(config, width, inner, dtype, rngs, (width * config.d_kv) ** -0.5)
        self.key = linear(config, width, inner, dtype, rngs)
        self.value = linear(config, width, inner, dtype, rngs)
        self.output = linear(config, inner, width, dtype, rngs)
        self.heads = config.num_heads
        self.dropout_rate = config.dropout_rate

    def remember(
        self, hidden: Float[Array, "b l d"]
    ) -> tuple[Float[Array, "b h l k"], Float[Array, "b h l k"]]:
        """The keys and values of what is attended to."""
        return self._split(self.key(hidden)), self._split(self.value(hidden))

    def asked(self, hidden: Float[Array, "b q d"]) -> Float[Array, "b q i"]:
        """The queries; BART's are scaled."""
        return self.query(hidden)

    def __call__(
        self,
        hidden: Float[Array, "b q d"],
        keys: Float[Array, "b h l k"],
        values: Float[Array, "b h l k"],
        bias: Float[Array, "*bias"],
        key: Array | None,
    ) -> Float[Array, "b q d"]:
        """bias: [b or 1, h or 1, q, l], added to the scores; softmax in float32."""
        query = self._split(self.asked(hidden))
        scores = jnp.matmul(query, keys.swapaxes(-1, -2), preferred_element_type=jnp.float32)
        shares = dropout(jax.nn.softmax(scores + bias, axis=-1), self.dropout_rate, key)
        mixed = jnp.matmul(shares.astype(values.dtype), values).transpose(0, 2, 1, 3)
        return self.output(mixed.reshape(*hidden.shape[:2], -1))

    def _split(self, x: Array) -> Array:
        return x.reshape(*x.shape[:2], self.heads, -1).transpose(0, 2, 1, 3)


class Perceptron(nnx.Module):
    """relu(x up) down of v1.0, or (gelu(x gate) * x up) down of v1.1; dropout before `down`."""

    def __init__(self, config: T5Config, dtype: Any, *, rngs: nnx.Rngs):
        self.activation, gated = FEED_FORWARD[config.feed_forward_proj]
        widths = config.d_model, config.d_ff
        self.gate = linear(config, *widths, dtype, rngs) if gated else None
        self.up = linear(config, *widths, dtype, rngs)
        self.down = linear(config, *widths[::-1], dtype, rngs)
        self.dropout_rate = config.dropout_rate

    def __call__(self, hidden: Float[Array, "b l d"], key: Array | None) -> Float[Array, "b l d"]:
        act = ACTIVATIONS[self.activation]
        up = self.up(hidden)
        inner = act(up) if self.gate is None else act(self.gate(hidden)) * up
        return self.down(dropout(inner, self.dropout_rate, key))


def check_options(dtype: str, remat: str) -> None:
    """InputError: a compute dtype or rematerialisation that is not known."""
    for value, known, name in ((dtype, DTYPES, "dtype"), (remat, REMAT, "remat")):
        if value not in known:
            raise InputError(f"{name} {value!r} is not known; choose from {', '.join(known)}.")


def embeddings(config: T5Config, rngs: nnx.Rngs) -> nnx.Embed:
    """The table of tokens that encoder and decoder share."""
    init = nnx.initializers.normal(config.initializer_factor)
    return nnx.Embed(config.vocab_size, config.d_model, embedding_init=init, rngs=rngs)


def linear(
    config: T5Config,
    inputs: int,
    outputs: int,
    dtype: Any,
    rngs: nnx.Rngs,
    deviation: float | None = None,
) -> nnx.Linear:
    """A matrix without bias; deviation of its initial entries, None: inputs ** -0.5."""
    init = nnx.initializers.normal(config.initializer_factor * (deviation or inputs**-0.5))
    return nnx.Linear(inputs, outputs, use_bias=False, dtype=dtype, kernel_init=init, rngs=rngs)


def rms_norm(config: T5Config, rngs: nnx.Rngs) -> nnx.RMSNorm:
    """x / sqrt(mean(x^2)), times a scale: no mean, no bias, float32 whatever the input."""
    return nnx.RMSNorm(
        config.d_model, epsilon=config.layer_norm_epsilon, dtype=jnp.float32, rngs=rngs
    )


def relative_bias(config: T5Config, rngs: nnx.Rngs) -> nnx.Embed:
    """The bias of each bucket of distances, for each head; one table for all layers of a stack."""
    init = nnx.initializers.normal(config.initializer_factor * config.d_model**-0.5)
    return nnx.Embed(
        config.relative_attention_num_buckets, config.num_heads, embedding_init=init, rngs=rngs
    )


def position_bias(
    table: nnx.Embed, config: T5Config, length: int, *, both_ways: bool
) -> Float[Array, "1 h l l"]:
    """What is added to the score of a key at one place for a query at another."""
    places = np.arange(length)
    rows = buckets(places[None] - places[:, None], config, both_ways=both_ways)
    return jnp.asarray(table.embedding[...])[rows].transpose(2, 0, 1)[None]


def buckets(distances: np.ndarray, config: T5Config, *, both_ways: bool) -> np.ndarray:
    """The bucket of each (key's place - query's place); a decoder's queries look back only.

    Half of the buckets hold one distance each, the others grow by a constant factor up to
    relative_attention_max_distance. In float32, as the original: some distances lie on an edge.
    """
    count = config.relative_attention_num_buckets
    first = np.zeros(distances.shape, np.int32)
    if both_ways:
        count //= 2
        first = np.where(distances > 0, count, 0).astype(np.int32)
        near = np.abs(distances)
    else:
        near = np.maximum(-distances, 0)
    exact = count // 2
    growth = np.float32(math.log(config.relative_attention_max_distance / exact))
    ratio = np.maximum(near, 1).astype(np.float32) / np.float32(exact)
    far = exact + (np.log(ratio) / growth * np.float32(count - exact)).astype(np.int32)
    return first + np.where(near < exact, near, np.minimum(far, count - 1)).astype(np.int32)


def make_layers(make: Callable[..., Any], count: int, *, scan: bool, rngs: nnx.Rngs) -> Any:
    """`count` layers: a list, or one module whose parameters are stacked, [layers, ...]."""
    if not scan:
        return nnx.List([make(rngs=rngs) for _ in range(count)])
    graph = nnx.graphdef(nnx.eval_shape(lambda: make(rngs=nnx.Rngs(0))))

    def one(key: Array) -> Any:
        return nnx.to_pure_dict(nnx.state(make(rngs=nnx.Rngs(key)), nnx.Param))

    return nnx.merge(graph, jax.vmap(one)(jax.random.split(rngs.params(), count)))


def run_layers(
    layers: Any,
    run: Callable[[Any, Array, Any, Any], tuple[Array, Any]],
    hidden: Array,
    extras: Any = None,
    *,
    count: int,
    scan: bool,
    remat: str,
) -> tuple[Array, Any]:
    """Hidden states through all layers, and what each layer gives besides, stacked.

    run(layer, hidden, number from 1, its slice of extras) gives (hidden, something).
    """
    policy = functools.partial(jax.checkpoint, policy=REMAT[remat], prevent_cse=not scan)
    kept = (lambda function: function) if remat == "none" else policy
    if scan:
        # The allowed face of NNX only: the layer is rebuilt inside of JAX's own scan.
        graph = nnx.graphdef(layers)

        def body(hidden: Array, slices: Any) -> tuple[Array, Any]:
            params, number, extra = slices
            return run(nnx.merge(graph, params), hidden, number, extra)

        params = nnx.to_pure_dict(nnx.state(layers, nnx.Param))
        return jax.lax.scan(kept(body), hidden, (params, jnp.arange(1, count + 1), extras))
    given = []
    for number, layer in enumerate(layers, start=1):
        extra = jax.tree.map(lambda x, at=number - 1: x[at], extras)
        hidden, out = kept(functools.partial(_numbered, run, layer, number))(hidden, extra)
        given.append(out)
    return hidden, jax.tree.map(lambda *slices: jnp.stack(slices), *given)


def fold(key: Array | None, number: Any) -> Array | None:
    """The key of a numbered part; None stays None."""
    return None if key is None else jax.random.fold_in(key, number)


def _numbered(run: Callable[..., Any], layer: Any, number: int, hidden: Array, extra: Any) -> Any:
    return run(layer, hidden, number, extra)


def dropout_key(rngs: nnx.Rngs | None) -> Array | None:
    """The next key of the stream "dropout"; None: evaluation."""
    return None if rngs is None else rngs.dropout()


def put(old: Array, new: Array, place: Any) -> Array:
    """Keys or values [b h l k] with `new` [b h 1 k] at a place."""
    return jax.lax.dynamic_update_slice_in_dim(old, new, place, axis=2)


def padding_bias(mask: Array) -> Array:
    """[b 1 1 m]: 0 where the mask [b m] is True, the lowest number elsewhere."""
    return jnp.where(mask[:, None, None, :], 0.0, LOWEST)
