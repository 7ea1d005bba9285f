"""BERT's encoder (Devlin et al. 2019) without its pooler, for any Hugging Face BERT config."""

import dataclasses
import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Bool, Float, Int

from tart_jax.models.attention import attention
from tart_jax.models.dropout import dropout
from tart_jax.types import InputError

ACTIVATIONS: dict[str, Callable[[Array], Array]] = {
    "gelu": functools.partial(jax.nn.gelu, approximate=False),
    "gelu_new": functools.partial(jax.nn.gelu, approximate=True),
    "gelu_pytorch_tanh": functools.partial(jax.nn.gelu, approximate=True),
    "relu": jax.nn.relu,
}
# What the backward pass recomputes instead of storing.
REMAT = {
    "none": None,
    "layer": jax.checkpoint_policies.nothing_saveable,
    "dots": jax.checkpoint_policies.dots_with_no_batch_dims_saveable,
}
DTYPES = {"float32": jnp.float32, "bfloat16": jnp.bfloat16}


@dataclasses.dataclass(frozen=True)
class BertConfig:
    """The keys of Hugging Face's `config.json` that shape the encoder, under their own names."""

    vocab_size: int = 30522
    hidden_size: int = 768
    num_hidden_layers: int = 12
    num_attention_heads: int = 12
    intermediate_size: int = 3072
    hidden_act: str = "gelu"
    hidden_dropout_prob: float = 0.1
    attention_probs_dropout_prob: float = 0.1
    max_position_embeddings: int = 512
    type_vocab_size: int = 2
    initializer_range: float = 0.02
    layer_norm_eps: float = 1e-12
    pad_token_id: int = 0

    def __post_init__(self) -> None:
        if self.hidden_act not in ACTIVATIONS:
            raise InputError(
                f"hidden_act {self.hidden_act!r} is not supported; known: {', '.join(ACTIVATIONS)}."
            )
        if self.hidden_size % self.num_attention_heads:
            raise InputError(
                f"hidden_size {self.hidden_size} is not a multiple of "
                f"num_attention_heads {self.num_attention_heads}."
            )

    @classmethod
    def from_hf(cls, config: dict[str, Any]) -> "BertConfig":
        """From the dict of a `config.json`. InputError for what is no plain BERT encoder."""
        if config.get("model_type", "bert") != "bert":
            raise InputError(f"model_type {config['model_type']!r} is not supported; 'bert' is.")
        if config.get("position_embedding_type", "absolute") != "absolute":
            raise InputError(
                f"position_embedding_type {config['position_embedding_type']!r} is not supported; "
                "'absolute' is."
            )
        if config.get("is_decoder") or config.get("add_cross_attention"):
            raise InputError("is_decoder and add_cross_attention are not supported in an encoder.")
        names = {field.name for field in dataclasses.fields(cls)}
        return cls(**{k: v for k, v in config.items() if k in names and v is not None})

    def to_hf(self) -> dict[str, Any]:
        """The dict of a `config.json` that `transformers.AutoModel` reads as this encoder."""
        fixed = {
            "architectures": ["BertModel"],
            "model_type": "bert",
            "position_embedding_type": "absolute",
        }
        return fixed | dataclasses.asdict(self)


class BertEncoder(nnx.Module):
    """Token ids to hidden states; positions count from 0.

    dtype: of the matrix products ("float32" or "bfloat16"); parameters, softmax and layer norms
    are float32 always. remat: what the backward pass finds stored: "none" (everything), "layer"
    (the inputs of layers only) or "dots" (the results of matrix products).
    """

    def __init__(
        self, config: BertConfig, *, dtype: str = "float32", remat: str = "none", rngs: nnx.Rngs
    ):
        for value, known, name in ((dtype, DTYPES, "dtype"), (remat, REMAT, "remat")):
            if value not in known:
                raise InputError(f"{name} {value!r} is not known; choose from {', '.join(known)}.")
        self.config = config
        self.dtype = dtype
        self.remat = remat
        self.embeddings = Embeddings(config, rngs=rngs)
        self.layers = nnx.List(
            [Layer(config, DTYPES[dtype], rngs=rngs) for _ in range(config.num_hidden_layers)]
        )

    def __call__(
        self,
        tokens: Int[Array, "b l"],
        mask: Bool[Array, "b l"],
        *,
        types: Int[Array, "b l"] | None = None,
        first_only: bool = False,
        rngs: nnx.Rngs | None = None,
    ) -> Float[Array, "b q d"]:
        """Hidden states of the last layer, in the compute dtype.

        mask is True at real tokens. types: which of a pair's texts a token is of; None: all 0.
        rngs (its `dropout` stream): dropout as in the original, on embeddings, attention
        probabilities and both outputs of a layer; None: evaluation.
        first_only: only the first position's hidden state, [b, 1, d]: the last layer computes no
        other, a seventh less work in six layers.
        ValueError: the text is longer than the position table.
        """
        if tokens.shape[1] > self.config.max_position_embeddings:
            raise ValueError(
                f"{tokens.shape[1]} tokens a text, but the model knows "
                f"{self.config.max_position_embeddings} positions; cut the texts."
            )
        key = None if rngs is None else rngs.dropout()
        hidden = self.embeddings(tokens, types, key=_fold(key, 0)).astype(DTYPES[self.dtype])
        for number, layer in enumerate(self.layers, start=1):
            ends = first_only and number == len(self.layers)
            run = _rematerialised(layer, self.remat, 1 if ends else None)
            hidden = run(hidden, mask, _fold(key, number))
        return hidden[:, :1] if first_only else hidden  # for an encoder without layers


class Embeddings(nnx.Module):
    """Tokens + positions + token types, normalised."""

    def __init__(self, config: BertConfig, *, rngs: nnx.Rngs):
        init = nnx.initializers.normal(config.initializer_range)

        def table(rows: int) -> nnx.Embed:
            return nnx.Embed(rows, config.hidden_size, embedding_init=init, rngs=rngs)

        self.tokens = table(config.vocab_size)
        self.positions = table(config.max_position_embeddings)
        self.types = table(config.type_vocab_size)
        self.norm = _layer_norm(config, rngs)
        self.dropout_rate = config.hidden_dropout_prob

    def __call__(
        self, tokens: Int[Array, "b l"], types: Int[Array, "b l"] | None, *, key: Array | None
    ) -> Float[Array, "b l d"]:
        places = self.positions.embedding[: tokens.shape[1]][None]
        # One row for all is a broadcast; looking each token's type up would be a gather.
        of_type = self.types.embedding[:1][None] if types is None else self.types(types)
        hidden = self.norm(self.tokens(tokens) + (places + of_type))
        return dropout(hidden, self.dropout_rate, key)


class Layer(nnx.Module):
    """Self-attention, then a two-layer perceptron, each added to its input and then normalised."""

    def __init__(self, config: BertConfig, dtype: Any, *, rngs: nnx.Rngs):
        self.attention = Attention(config, dtype, rngs=rngs)
        self.attention_norm = _layer_norm(config, rngs)
        self.up = _linear(config, config.hidden_size, config.intermediate_size, dtype, rngs)
        self.down = _linear(config, config.intermediate_size, config.hidden_size, dtype, rngs)
        self.output_norm = _layer_norm(config, rngs)
        self.activation = config.hidden_act
        self.dropout_rate = config.hidden_dropout_prob

    def __call__(
        self,
        hidden: Float[Array, "b l d"],
        mask: Bool[Array, "b l"],
        key: Array | None,
        *,
        first: int | None = None,
    ) -> Float[Array, "b q d"]:
        """first: the result has so many positions, which attend to all; None: every one."""
        rate, dtype = self.dropout_rate, hidden.dtype
        attended = self.attention(hidden, mask, _fold(key, 0), first=first)
        attended = dropout(attended, rate, _fold(key, 1))
        hidden = self.attention_norm(hidden[:, :first] + attended).astype(dtype)
        out = self.down(ACTIVATIONS[self.activation](self.up(hidden)))
        return self.output_norm(hidden + dropout(out, rate, _fold(key, 2))).astype(dtype)


class Attention(nnx.Module):
    """Multi-head self-attention with dropout on its probabilities, and its output projection."""

    def __init__(self, config: BertConfig, dtype: Any, *, rngs: nnx.Rngs):
        width = config.hidden_size
        self.query, self.key, self.value, self.output = (
            _linear(config, width, width, dtype, rngs) for _ in range(4)
        )
        self.heads = config.num_attention_heads
        self.dropout_rate = config.attention_probs_dropout_prob

    def __call__(
        self,
        hidden: Float[Array, "b l d"],
        mask: Bool[Array, "b l"],
        key: Array | None,
        *,
        first: int | None = None,
    ) -> Float[Array, "b q d"]:
        b, _, d = hidden.shape
        query, keys, values = (
            project(asked).reshape(b, -1, self.heads, d // self.heads)
            for project, asked in (
                (self.query, hidden[:, :first]),
                (self.key, hidden),
                (self.value, hidden),
            )
        )
        mixed = attention(query, keys, values, mask, dropout_rate=self.dropout_rate, key=key)
        return self.output(mixed.reshape(b, -1, d))


def _linear(
    config: BertConfig, inputs: int, outputs: int, dtype: Any, rngs: nnx.Rngs
) -> nnx.Linear:
    init = nnx.initializers.normal(config.initializer_range)
    return nnx.Linear(inputs, outputs, dtype=dtype, kernel_init=init, rngs=rngs)


def _layer_norm(config: BertConfig, rngs: nnx.Rngs) -> nnx.LayerNorm:
    # float32 whatever the compute dtype; the fast variance cancels where |mean| is large.
    return nnx.LayerNorm(
        config.hidden_size,
        epsilon=config.layer_norm_eps,
        dtype=jnp.float32,
        use_fast_variance=False,
        rngs=rngs,
    )


def _fold(key: Array | None, number: int) -> Array | None:
    return None if key is None else jax.random.fold_in(key, number)


def _rematerialised(layer: Layer, remat: str, first: int | None) -> Callable[..., Array]:
    def run(hidden: Array, mask: Array, key: Array | None) -> Array:
        return layer(hidden, mask, key, first=first)

    if remat == "none":
        return run
    return jax.checkpoint(run, policy=REMAT[remat])
