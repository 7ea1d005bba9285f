"""A cross-encoder: query and document read together, one score (TART-full, section 4.1)."""

import dataclasses
import functools
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Bool, Float, Int

from tart_jax.models import encoders
from tart_jax.models.bert import BertConfig, BertEncoder
from tart_jax.models.dropout import dropout
from tart_jax.models.encoders import EncoderConfig
from tart_jax.types import InputError

Params = dict[str, Any]


@dataclasses.dataclass(frozen=True)
class CrossEncoderConfig:
    """An encoder and the number of its logits.

    num_labels: 1, the logit is the score; 2, "not relevant" and "relevant" (TART-full), the score
    is their difference. dropout: before the head. dtype, remat: see `BertEncoder`.
    scan: see `T5Encoder`.
    """

    encoder: EncoderConfig
    num_labels: int = 2
    dropout: float = 0.1
    dtype: str = "float32"
    remat: str = "none"
    scan: bool = False

    def __post_init__(self) -> None:
        if self.num_labels not in (1, 2):
            raise InputError(f"num_labels {self.num_labels} is not supported; 1 and 2 are.")
        encoders.check_scan(self.encoder, self.scan)

    @property
    def pooled(self) -> bool:
        """Whether BERT's pooler, a dense layer and tanh, stands between encoder and head."""
        return isinstance(self.encoder, BertConfig)


class CrossEncoder(nnx.Module):
    """Logits from the vector at the first position: `[CLS]` of BERT, `<s>` of TART-full's T5."""

    def __init__(self, config: CrossEncoderConfig, *, rngs: nnx.Rngs):
        width = config.encoder.hidden_size
        self.encoder = encoders.build(
            config.encoder, dtype=config.dtype, remat=config.remat, scan=config.scan, rngs=rngs
        )
        init = nnx.initializers.normal(0.02)
        self.pooler = (
            nnx.Linear(width, width, kernel_init=init, rngs=rngs) if config.pooled else None
        )
        self.classifier = nnx.Linear(width, config.num_labels, kernel_init=init, rngs=rngs)
        self.dropout_rate = config.dropout

    def __call__(
        self,
        tokens: Int[Array, "b l"],
        mask: Bool[Array, "b l"],
        types: Int[Array, "b l"],
        *,
        rngs: nnx.Rngs | None = None,
    ) -> Float[Array, "b n"]:
        """Logits float32 [b, num_labels]. types: which text of the pair a token is of (BERT).

        T5 knows no types: there `types` is not looked at.
        """
        if isinstance(self.encoder, BertEncoder):
            hidden = self.encoder(tokens, mask, types=types, first_only=True, rngs=rngs)
        else:
            hidden = self.encoder(tokens, mask, rngs=rngs)
        first = hidden[:, 0].astype(jnp.float32)
        if self.pooler is not None:
            first = jnp.tanh(self.pooler(first))
        key = None if rngs is None else rngs.dropout()
        return self.classifier(dropout(first, self.dropout_rate, key))


@functools.lru_cache(maxsize=64)
def graphdef(config: CrossEncoderConfig) -> nnx.GraphDef:
    """The model without its parameters; built abstractly, so it costs no memory."""
    return nnx.graphdef(nnx.eval_shape(lambda: CrossEncoder(config, rngs=nnx.Rngs(0))))


def init(config: CrossEncoderConfig, key: Array) -> Params:
    """Random parameters as plain nested dicts, float32, named by the modules' attributes."""
    return nnx.to_pure_dict(nnx.state(CrossEncoder(config, rngs=nnx.Rngs(key)), nnx.Param))


def abstract_params(config: CrossEncoderConfig) -> Params:
    """The shapes and dtypes of `init`'s result, without computing it."""
    return jax.eval_shape(functools.partial(init, config), jax.random.key(0))


def logits(
    graphdef: nnx.GraphDef,
    params: Params,
    tokens: Int[Array, "b l"],
    mask: Bool[Array, "b l"],
    types: Int[Array, "b l"],
    *,
    key: Array | None = None,
) -> Float[Array, "b n"]:
    """A pure function to be jitted by its caller. key: for dropout; None: evaluation."""
    rngs = None if key is None else nnx.Rngs(dropout=key)
    return nnx.merge(graphdef, params)(tokens, mask, types, rngs=rngs)


def scores(logits: Float[Array, "*b n"]) -> Float[Array, "*b"]:
    """One number a pair, higher is more relevant.

    Of two logits the difference: softmax is monotone in it, but saturates at 1 in float32, where a
    ranking would be lost.
    """
    return logits[..., 0] if logits.shape[-1] == 1 else logits[..., 1] - logits[..., 0]


def probability(scores: Float[Array, "*b"]) -> Float[Array, "*b"]:
    """Of relevance: softmax over two logits, or the sigmoid of one; TART's thresholds read this."""
    return jax.nn.sigmoid(scores)
