"""Pairs of texts to scores: token-sorted batches of a constant budget, one compilation a bucket."""

import functools
import math
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Any, Protocol, runtime_checkable

import jax
import numpy as np
from flax import nnx
from jax.sharding import Mesh, NamedSharding
from jaxtyping import Array, Bool, Float, Int

from tart_jax import sharding
from tart_jax.data import tokenization
from tart_jax.data.instructions import Order
from tart_jax.distributed import DATA
from tart_jax.encode.encoder import IN_FLIGHT, ROWS, TOKENIZED_AT_ONCE, bucket
from tart_jax.models import cross_encoder
from tart_jax.models.bert import BertConfig
from tart_jax.models.pretrained_cross import CrossFormat, PretrainedCross
from tart_jax.types import InputError

Pair = tuple[str, str]
Tokens = tuple[np.ndarray, np.ndarray]  # ids and types


@dataclass
class Meter:
    """What a scorer has done: `slots` counts the tokens computed, padding included."""

    pairs: int = 0
    tokens: int = 0
    slots: int = 0
    seconds: float = 0.0

    @property
    def padding(self) -> float:
        """The share of computed tokens that was padding, 0 to 1."""
        return 1 - self.tokens / self.slots if self.slots else 0.0

    def rates(self) -> dict[str, str]:
        """Pairs/s, tokens/s and the padding share, for a progress bar."""
        seconds = max(self.seconds, 1e-9)
        return {
            "pairs/s": f"{self.pairs / seconds:.1f}",
            "tokens/s": f"{self.tokens / seconds:,.0f}",
            "padding": f"{self.padding:.1%}",
        }


@runtime_checkable
class PairScorer(Protocol):
    """Whatever scores (query, document) pairs, higher is more relevant; `max_length` in tokens."""

    max_length: int
    meter: Meter

    def score(self, pairs: Sequence[Pair], /) -> np.ndarray:
        """float32 [n], in the order of the pairs."""
        ...


class CrossScorer:
    """A cross-encoder, ready to score pairs: the difference of two logits, or the one logit.

    The weights move to the device once: every scorer over the same model shares them. With a mesh
    whose axis is "data", the rows of each batch are spread over its devices.
    """

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
        self.max_length = max_length
        self.tokens_per_batch = tokens_per_batch or default_tokens_per_batch()
        self.meter = Meter()
        self.shapes: set[tuple[int, int]] = set()
        model.params = jax.tree.map(functools.partial(_on_device, mesh=mesh), model.params)
        self._params = model.params
        self._tokenizer = model.tokenizer
        self._start = model.format.start_token
        self._graphdef = cross_encoder.graphdef(config)
        self._mesh = mesh
        on_cpu = jax.default_backend() == "cpu"
        # Several devices must get their programs in one order, or their exchanges would deadlock.
        self._in_threads = on_cpu and (mesh is None or mesh.size == 1)
        # Accelerators like whole tiles of rows; a CPU has no use for rows that nobody asked for.
        self._step = math.lcm(1 if on_cpu else ROWS, mesh.shape[DATA] if mesh else 1)

    @property
    def compilations(self) -> int:
        """How many programs its batches needed: one for each length bucket that occurred."""
        return len(self.shapes)

    def score(self, pairs: Sequence[Pair], /) -> Float[np.ndarray, " n"]:
        """float32 scores in the order of the pairs (query, document)."""
        start = time.perf_counter()
        rows = self._tokenize(pairs)
        scores = np.empty(len(rows), np.float32)
        pending: deque[tuple[np.ndarray, Callable[[], np.ndarray]]] = deque()
        with ThreadPoolExecutor(IN_FLIGHT) as pool:
            for where, length, padded_rows in self._batches(
                np.array([len(ids) for ids, _ in rows])
            ):
                batch = [rows[index] for index in where]
                self.meter.tokens += sum(len(ids) for ids, _ in batch)
                self.meter.slots += padded_rows * length
                pending.append((where, self._begin(batch, padded_rows, length, pool)))
                if len(pending) > IN_FLIGHT:
                    where, result = pending.popleft()
                    scores[where] = result()[: len(where)]
            for where, result in pending:
                scores[where] = result()[: len(where)]
        self.meter.pairs += len(rows)
        self.meter.seconds += time.perf_counter() - start
        return scores

    def _tokenize(self, pairs: Sequence[Pair]) -> list[Tokens]:
        rows: list[Tokens] = []
        for begin in range(0, len(pairs), TOKENIZED_AT_ONCE):
            block = pairs[begin : begin + TOKENIZED_AT_ONCE]
            rows += self._tokenizer.encode_pairs(block, self.max_length, start=self._start)
        return rows

    def _batches(self, lengths: np.ndarray) -> Iterator[tuple[np.ndarray, int, int]]:
        """(positions, padded length, padded rows), longest pairs first.

        A bucket has one number of rows, so only the last batch is padded with rows, and a large
        model is never compiled twice for a length.
        """
        order = np.argsort(-lengths, kind="stable")
        begin = 0
        while begin < len(order):
            length = bucket(int(lengths[order[begin]]), self.max_length)
            rows = max(self._step, self.tokens_per_batch // length // self._step * self._step)
            where = order[begin : begin + rows]
            yield where, length, rows
            begin += rows

    def _begin(
        self, batch: list[Tokens], rows: int, length: int, pool: ThreadPoolExecutor
    ) -> Callable[[], np.ndarray]:
        """Starts a batch; the result waits for it.

        A CPU runs what one thread dispatches one after another, and two at once took 0.9 of the
        time on two cores. A shape's first batch is not put beside another: it compiles.
        """
        new = (rows, length) not in self.shapes
        self.shapes.add((rows, length))
        if self._in_threads and not new:
            return pool.submit(lambda: np.asarray(self._run(batch, rows, length))).result
        return functools.partial(np.asarray, self._run(batch, rows, length))

    def _run(self, batch: list[Tokens], rows: int, length: int) -> Array:
        tokens, mask = tokenization.pad(
            [ids for ids, _ in batch], rows, length, self._tokenizer.pad_id
        )
        types, _ = tokenization.pad([kinds for _, kinds in batch], rows, length, 0)
        inputs = (tokens, mask, types)
        if self._mesh:
            inputs = jax.device_put(inputs, sharding.over_batch(self._mesh))
        return _score(self._graphdef, self._params, *inputs)


def checked_format(
    model: PretrainedCross,
    *,
    order: Order | None = None,
    separator: str | None = None,
    force: bool = False,
) -> CrossFormat:
    """The checkpoint's format, with `order` and `separator` where given; the separator is a text.

    InputError: another format than the checkpoint's, where it names one, without `force`.
    """
    stored = model.format
    if stored.separator is None:
        stored = replace(stored, separator=model.tokenizer.separator)
    asked = replace(
        stored,
        instruction_order=stored.instruction_order if order is None else order,
        separator=stored.separator if separator is None else separator,
    )
    if model.format_known and not force and asked != stored:
        raise InputError(
            f"{model.source} was trained to read {stored.instruction_order} with the separator"
            f" {stored.separator!r}, not {asked.instruction_order} with {asked.separator!r};"
            " leave the option out, or say --config.force_format=True."
        )
    return asked


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
