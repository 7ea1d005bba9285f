"""Query and document towers over BERT or T5, tied (TART) or not, and their functional face."""

import dataclasses
import functools
from typing import Any, Literal

import jax
from flax import nnx
from jaxtyping import Array, Bool, Float, Int

from tart_jax.models import encoders
from tart_jax.models.encoders import EncoderConfig
from tart_jax.models.pooling import POOLINGS, l2_normalize, pool
from tart_jax.types import InputError

Params = dict[str, Any]


@dataclasses.dataclass(frozen=True)
class DualEncoderConfig:
    """What turns a text into its embedding.

    pooling: mean, cls, max or last. normalize: embeddings of length 1. projection: width of a
    linear layer after pooling, None for none. tied: one tower reads queries and documents.
    dtype, remat: see `BertEncoder`. scan: see `T5Encoder`.
    """

    encoder: EncoderConfig
    pooling: str = "mean"
    normalize: bool = False
    projection: int | None = None
    tied: bool = True
    dtype: str = "float32"
    remat: str = "none"
    scan: bool = False

    def __post_init__(self) -> None:
        if self.pooling not in POOLINGS:
            raise InputError(
                f"pooling {self.pooling!r} is not known; choose from {', '.join(POOLINGS)}."
            )
        encoders.check_scan(self.encoder, self.scan)

    @property
    def dims(self) -> int:
        """Width of an embedding."""
        return self.projection or self.encoder.hidden_size


class Tower(nnx.Module):
    """Tokens to embeddings: encode, pool, project, normalise."""

    def __init__(self, config: DualEncoderConfig, *, rngs: nnx.Rngs):
        self.encoder = encoders.build(
            config.encoder, dtype=config.dtype, remat=config.remat, scan=config.scan, rngs=rngs
        )
        self.projection = (
            nnx.Linear(config.encoder.hidden_size, config.projection, rngs=rngs)
            if config.projection
            else None
        )
        self.pooling = config.pooling
        self.normalize = config.normalize

    def __call__(
        self,
        tokens: Int[Array, "b l"],
        mask: Bool[Array, "b l"],
        *,
        rngs: nnx.Rngs | None = None,
    ) -> Float[Array, "b d"]:
        embedding = pool(self.encoder(tokens, mask, rngs=rngs), mask, self.pooling)
        if self.projection is not None:
            embedding = self.projection(embedding)
        return l2_normalize(embedding) if self.normalize else embedding


class DualEncoder(nnx.Module):
    """Two towers, or one for both sides. Embeddings are float32 [b, config.dims].

    tokens [b, l] int32, mask [b, l] True at real tokens; rngs=None means evaluation (no dropout).
    """

    def __init__(self, config: DualEncoderConfig, *, rngs: nnx.Rngs):
        self.document = Tower(config, rngs=rngs)
        self.query = None if config.tied else Tower(config, rngs=rngs)  # None: uses `document`

    def encode_query(
        self,
        tokens: Int[Array, "b l"],
        mask: Bool[Array, "b l"],
        *,
        rngs: nnx.Rngs | None = None,
    ) -> Float[Array, "b d"]:
        return (self.query or self.document)(tokens, mask, rngs=rngs)

    def encode_document(
        self,
        tokens: Int[Array, "b l"],
        mask: Bool[Array, "b l"],
        *,
        rngs: nnx.Rngs | None = None,
    ) -> Float[Array, "b d"]:
        return self.document(tokens, mask, rngs=rngs)


@functools.lru_cache(maxsize=64)
def graphdef(config: DualEncoderConfig) -> nnx.GraphDef:
    """The model without its parameters; built abstractly, so it costs no memory."""
    return nnx.graphdef(nnx.eval_shape(lambda: DualEncoder(config, rngs=nnx.Rngs(0))))


def init(config: DualEncoderConfig, key: Array) -> Params:
    """Random parameters as plain nested dicts, float32, named by the modules' attributes.

    A parameter's path reads `document/encoder/layers/3/attention/query/kernel`; layer numbers are
    ints. Pure: `jax.jit(init, static_argnums=0, out_shardings=...)` allocates them sharded.
    """
    return nnx.to_pure_dict(nnx.state(DualEncoder(config, rngs=nnx.Rngs(key)), nnx.Param))


def abstract_params(config: DualEncoderConfig) -> Params:
    """The shapes and dtypes of `init`'s result, without computing it."""
    return jax.eval_shape(functools.partial(init, config), jax.random.key(0))


def rows_in_cache(texts: int, length: int) -> int:
    """The largest divisor of `texts` whose rows hold at most 1,024 tokens (one text at least).

    On a CPU the activations of such a block stay in its caches: MiniLM took 0.7 to 0.8 of the CPU
    time that one block of 4,096 tokens took.
    """
    fitting = (rows for rows in range(1, texts + 1) if texts % rows == 0 and rows * length <= 1024)
    return max(fitting, default=1)


def encode(
    graphdef: nnx.GraphDef,
    params: Params,
    tokens: Int[Array, "b l"],
    mask: Bool[Array, "b l"],
    *,
    tower: Literal["query", "document"],
    key: Array | None = None,
    rows: int | None = None,
) -> Float[Array, "b d"]:
    """Embeddings float32 of token ids; a pure function to be jitted by its caller.

    key: a JAX key for dropout; None: evaluation.
    rows: evaluates so many texts at a time, one block after another (see `rows_in_cache`); must
    divide b, and wants the batch on one device. None: all at once.
    """
    if rows is not None and rows != tokens.shape[0]:
        if key is not None or tokens.shape[0] % rows:
            raise ValueError(
                f"rows={rows} needs key=None and a divisor of {tokens.shape[0]} texts."
            )
        blocks = (x.reshape(-1, rows, x.shape[1]) for x in (tokens, mask))
        one = functools.partial(encode, graphdef, params, tower=tower)
        return jax.lax.map(lambda block: one(*block), tuple(blocks)).reshape(len(tokens), -1)
    model = nnx.merge(graphdef, params)
    rngs = None if key is None else nnx.Rngs(dropout=key)
    if tower == "query":
        return model.encode_query(tokens, mask, rngs=rngs)
    if tower == "document":
        return model.encode_document(tokens, mask, rngs=rngs)
    raise ValueError(f"tower {tower!r} is neither 'query' nor 'document'.")
