"""Pairs of texts to scores: token-sorted batches of a constant budget, one compilation a bucket."""

import abc
import functools
import math
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Protocol, runtime_checkable

import jax
import numpy as np
from flax import nnx
from jax.sharding import Mesh, NamedSharding
from jaxtyping import Array, Bool, Float, Int

from tart_jax import sharding
from tart_jax.data import tokenization
from tart_jax.encode.encoder import IN_FLIGHT, ROWS, TOKENIZED_AT_ONCE, bucket
from tart_jax.encode.meter import Meter
from tart_jax.models import cross_encoder, flops
from tart_jax.models.bert import BertConfig
from tart_jax.models.pretrained_cross import PretrainedCross
from tart_jax.models.seq2seq_scorer import PretrainedT5
from tart_jax.types import InputError

Pair = tuple[str, str]
Row = tuple[np.ndarray, ...]  # a pair as a scorer computes it: token ids, and what it wants more


@runtime_checkable
class PairScorer(Protocol):
    """Whatever scores (query, document) pairs, higher is more relevant; `max_length` in tokens."""

    max_length: int
    meter: Meter

    def score(self, pairs: Sequence[Pair], /) -> np.ndarray:
        """float32 [n], in the order of the pairs."""
        ...


class BucketScorer(abc.ABC):
    """What scorers of pairs share: token-sorted batches of fixed shapes, several of them in flight.

    The weights move to the device once: every scorer over the same model shares them. With a mesh
    whose axis is "data", the rows of each batch are spread over its devices. A kind of scorer says
    how pairs become rows of arrays (`_encode`) and how a batch of them is computed (`_run`).
    """

    def __init__(
        self,
        model: PretrainedCross | PretrainedT5,
        *,
        max_length: int,
        tokens_per_batch: int | None = None,
        mesh: Mesh | None = None,
    ):
        self.max_length = max_length
        self.tokens_per_batch = tokens_per_batch or default_tokens_per_batch()
        self.meter = Meter("pairs", devices=mesh.size if mesh else 1)
        self.shapes: set[tuple[int, ...]] = set()  # rows, then padded lengths
        model.params = jax.tree.map(functools.partial(_on_device, mesh=mesh), model.params)
        self._params = model.params
        self._tokenizer = model.tokenizer
        self._mesh = mesh
        on_cpu = jax.default_backend() == "cpu"
        # Several devices must get their programs in one order, or their exchanges would deadlock.
        self._in_threads = on_cpu and (mesh is None or mesh.size == 1)
        # Accelerators like whole tiles of rows; a CPU has no use for rows that nobody asked for.
        self._step = math.lcm(1 if on_cpu else ROWS, sharding.batch_devices(mesh) if mesh else 1)

    @property
    def compilations(self) -> int:
        """How many programs its batches needed: one for each length bucket that occurred."""
        return len(self.shapes)

    def score(self, pairs: Sequence[Pair], /) -> Float[np.ndarray, " n"]:
        """float32 scores in the order of the pairs (query, document)."""
        start = time.perf_counter()
        rows: list[Row] = []
        for begin in range(0, len(pairs), TOKENIZED_AT_ONCE):
            rows += self._encode(pairs[begin : begin + TOKENIZED_AT_ONCE])
        self.meter.waited += time.perf_counter() - start
        self.meter.flops += self._flops(rows)
        scores = np.empty(len(rows), np.float32)
        pending: deque[tuple[np.ndarray, Callable[[], np.ndarray]]] = deque()
        with ThreadPoolExecutor(IN_FLIGHT) as pool:
            for where, shape in self._plan(rows):
                batch = [rows[index] for index in where]
                self.meter.tokens += sum(map(self._size, batch))
                self.meter.slots += shape[0] * sum(shape[1:])
                pending.append((where, self._begin(batch, shape, pool)))
                if len(pending) > IN_FLIGHT:
                    where, result = pending.popleft()
                    scores[where] = result()[: len(where)]
            for where, result in pending:
                scores[where] = result()[: len(where)]
        self.meter.count += len(rows)
        self.meter.seconds += time.perf_counter() - start
        return scores

    @abc.abstractmethod
    def _encode(self, pairs: Sequence[Pair]) -> Sequence[Row]:
        """The arrays of each pair, its token ids first."""

    @abc.abstractmethod
    def _run(self, batch: list[Row], *shape: int) -> Array:
        """Starts the scores of a batch, padded to (rows, length, ...) as `_plan` has it."""

    def _flops(self, rows: Sequence[Row]) -> float:
        """See `Meter`; 0: not counted."""
        return 0.0

    def _size(self, row: Row) -> int:
        """The tokens computed for a pair."""
        return len(row[0])

    def _plan(self, rows: Sequence[Row]) -> Iterator[tuple[np.ndarray, tuple[int, ...]]]:
        """(positions, shape) of each batch."""
        for where, length, count in self._batches(np.array([len(row[0]) for row in rows])):
            yield where, (count, length)

    def _batches(
        self, lengths: np.ndarray, beside: int = 0
    ) -> Iterator[tuple[np.ndarray, int, int]]:
        """(positions, padded length, padded rows), longest pairs first.

        A bucket has one number of rows, so only the last batch is padded with rows, and a large
        model is never compiled twice for a length. beside: tokens of a row that count besides.
        """
        order = np.argsort(-lengths, kind="stable")
        begin = 0
        while begin < len(order):
            length = bucket(int(lengths[order[begin]]), self.max_length)
            fitting = self.tokens_per_batch // (length + beside)
            rows = max(self._step, fitting // self._step * self._step)
            where = order[begin : begin + rows]
            yield where, length, rows
            begin += rows

    def _begin(
        self, batch: list[Row], shape: tuple[int, ...], pool: ThreadPoolExecutor
    ) -> Callable[[], np.ndarray]:
        """Starts a batch; the result waits for it.

        A CPU runs what one thread dispatches one after another, and two at once took 0.9 of the
        time on two cores. A shape's first batch is not put beside another: it compiles.
        """
        new = shape not in self.shapes
        self.shapes.add(shape)
        if self._in_threads and not new:
            return pool.submit(lambda: np.asarray(self._run(batch, *shape))).result
        return functools.partial(sharding.to_host, self._run(batch, *shape))

    def _placed(self, arrays: Any) -> Any:
        """The arrays of a batch, their rows divided over the mesh if there is one."""
        if self._mesh is None:
            return arrays
        rows_apart = sharding.over_batch(self._mesh)
        return jax.tree.map(lambda array: sharding.from_host(array, rows_apart), arrays)


class CrossScorer(BucketScorer):
    """A cross-encoder, ready to score pairs: the difference of two logits, or the one logit."""

    def __init__(
        self,
        model: PretrainedCross,
        *,
        max_length: int,
        tokens_per_batch: int | None = None,
        mesh: Mesh | None = None,
    ):
        """Of a model in training: `dataclasses.replace(model, params=params)`.

        max_length: tokens of a pair, specials included. tokens_per_batch: None: by the device.
        """
        config = model.config
        if isinstance(config.encoder, BertConfig):
            positions = config.encoder.max_position_embeddings
            if max_length > positions:
                raise InputError(
                    f"max_length {max_length} is more than the model's {positions} positions;"
                    f" choose at most {positions}."
                )
        super().__init__(model, max_length=max_length, tokens_per_batch=tokens_per_batch, mesh=mesh)
        self._start = model.format.start_token
        self._graphdef = cross_encoder.graphdef(config)
        self._config = config.encoder

    def _encode(self, pairs: Sequence[Pair]) -> Sequence[Row]:
        return self._tokenizer.encode_pairs(pairs, self.max_length, start=self._start)

    def _flops(self, rows: Sequence[Row]) -> float:
        return flops.forward(self._config, np.array([len(row[0]) for row in rows]))

    def _run(self, batch: list[Row], *shape: int) -> Array:
        rows, length = shape
        pad_id = self._tokenizer.pad_id
        tokens, mask = tokenization.pad([row[0] for row in batch], rows, length, pad_id)
        types, _ = tokenization.pad([row[1] for row in batch], rows, length, 0)
        return _score(self._graphdef, self._params, *self._placed((tokens, mask, types)))


def default_tokens_per_batch() -> int:
    """On a CPU what stays in its caches; accelerators want more."""
    return 1024 if jax.default_backend() == "cpu" else 32768


def _on_device(leaf: Any, *, mesh: Mesh | None) -> Array:
    """A whole copy on each device of the mesh; what is spread over devices already stays so."""
    if isinstance(leaf, jax.Array) and isinstance(leaf.sharding, NamedSharding):
        return leaf
    return jax.device_put(leaf, sharding.replicated(mesh) if mesh else None)


# At module level, with the model's structure as a static argument: scorers share the compilations.
@functools.partial(jax.jit, static_argnames=("graphdef",))
def _score(
    graphdef: nnx.GraphDef,
    params: dict[str, Any],
    tokens: Int[Array, "b l"],
    mask: Bool[Array, "b l"],
    types: Int[Array, "b l"],
) -> Float[Array, " b"]:
    return cross_encoder.scores(cross_encoder.logits(graphdef, params, tokens, mask, types))
