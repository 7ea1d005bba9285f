"""Texts to embeddings: token-sorted batches in a fixed set of shapes, one compilation each."""

import functools
import math
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Literal, NamedTuple

import jax
import numpy as np
from flax import nnx
from jax.sharding import Mesh
from jaxtyping import Array, Bool, Float, Int

from tart_jax import compilation, sharding
from tart_jax.data import tokenization
from tart_jax.data.tokenization import Tokenizer
from tart_jax.encode.meter import Meter
from tart_jax.models import dual_encoder, encoders, flops
from tart_jax.models.dual_encoder import DualEncoderConfig
from tart_jax.models.pretrained import Pretrained
from tart_jax.types import InputError

Tower = Literal["query", "document"]

ROWS = 8  # batches have a multiple of this many rows, so that small ones add few shapes
TOKENIZED_AT_ONCE = 1024  # texts
IN_FLIGHT = 2  # batches on the device while the next is prepared
COMPILED_AT_ONCE = 8  # programs


class Parts(NamedTuple):
    """What an encoder needs of a model; its parameters stay where they are."""

    config: DualEncoderConfig
    params: dict[str, Any]
    tokenizer: Tokenizer


class Encoder:
    """One tower of a dual encoder, ready to embed texts.

    The weights move to the device once: every Encoder over the same `Pretrained` shares them.
    With a mesh the rows of each batch are spread over its axes "data" and "fsdp".
    """

    def __init__(
        self,
        model: "Pretrained | Parts",
        *,
        tower: Tower,
        max_length: int,
        tokens_per_batch: int | None = None,
        mesh: Mesh | None = None,
        one_shape_per_length: bool = False,
    ):
        """`max_length` in tokens, specials included; `tokens_per_batch` None: by the device.

        one_shape_per_length: the last batch is padded to the rows of the others, so that
        `compile_all` knows every shape.
        """
        config = model.config
        positions = encoders.positions(config.encoder)
        if positions is not None and max_length > positions:
            raise InputError(
                f"{tower}_length {max_length} is more than the model's {positions} positions;"
                f" choose at most {positions}."
            )
        self.dims: int = config.dims
        self.tower = tower
        self.max_length = max_length
        self.meter = Meter("documents", devices=mesh.size if mesh else 1)
        self._encoder = config.encoder
        compilation.count()  # from now on
        if isinstance(model, Pretrained):
            model.params = jax.device_put(model.params, sharding.replicated(mesh) if mesh else None)
        self._params = model.params
        self._tokenizer = model.tokenizer
        self._graphdef = dual_encoder.graphdef(config)
        # Tied towers are one: both sides then share the compiled programs too.
        self._compute_as: Tower = "document" if config.tied else tower
        self._mesh = mesh
        devices = sharding.batch_devices(mesh) if mesh else 1
        self._step = math.lcm(ROWS, devices)
        on_one = mesh is None or mesh.size == 1
        self._in_blocks = on_one and jax.default_backend() == "cpu"
        self._tokens_per_batch = tokens_per_batch or default_tokens_per_batch()
        self.one_shape_per_length = one_shape_per_length
        self._compiled: set[tuple[int, int]] = set()  # (rows, length)

    @classmethod
    def from_parts(
        cls, config: DualEncoderConfig, params: dict[str, Any], tokenizer: Tokenizer, **options: Any
    ) -> "Encoder":
        """An encoder over parameters that are on the device already, such as those in training."""
        return cls(Parts(config, params, tokenizer), **options)

    def encode(
        self, texts: Sequence[str], *, on_batch: Callable[[int], Any] | None = None
    ) -> Float[np.ndarray, "n d"]:
        """Embeddings in the order of the texts. `on_batch(rows)` is called as batches come back."""
        start = time.perf_counter()
        rows = self.tokenize(texts)
        self.meter.waited += time.perf_counter() - start
        self.meter.seconds += time.perf_counter() - start
        return self.embed(rows, on_batch=on_batch)

    def embed(
        self, rows: Sequence[np.ndarray], *, on_batch: Callable[[int], Any] | None = None
    ) -> Float[np.ndarray, "n d"]:
        """`encode` of texts that `tokenize` was given."""
        start = time.perf_counter()
        embeddings = np.empty((len(rows), self.dims), np.float32)
        pending: deque[tuple[np.ndarray, Array]] = deque()

        def collect() -> None:
            where, computed = pending.popleft()
            embeddings[where] = sharding.to_host(computed)[: len(where)]
            now = time.perf_counter()
            nonlocal start
            self.meter.seconds, start = self.meter.seconds + now - start, now
            self.meter.count += len(where)
            if on_batch:
                on_batch(len(where))

        lengths = np.array([len(row) for row in rows], int)
        self.meter.flops += flops.forward(self._encoder, lengths)
        plan = list(self._batches(lengths))
        self._compile_ahead({(padded_rows, length) for _, length, padded_rows in plan})
        for where, length, padded_rows in plan:
            batch = [rows[index] for index in where]
            self.meter.tokens += sum(map(len, batch))
            self.meter.slots += padded_rows * length
            pending.append((where, self._run(batch, padded_rows, length)))
            if len(pending) > IN_FLIGHT:
                collect()
        while pending:
            collect()
        return embeddings

    def tokenize(self, texts: Sequence[str]) -> list[np.ndarray]:
        """The token ids of each text, cut. It needs no device, and may run in another thread
        while no one else uses the tokenizer, which keeps the last length that it was given.
        """
        rows: list[np.ndarray] = []
        for begin in range(0, len(texts), TOKENIZED_AT_ONCE):
            block = texts[begin : begin + TOKENIZED_AT_ONCE]
            rows += self._tokenizer.encode(block, self.max_length)
        return rows

    def _batches(self, lengths: np.ndarray) -> Iterator[tuple[np.ndarray, int, int]]:
        """(positions, padded length, padded rows), longest texts first.

        Each batch is as long as its longest text's bucket and takes its rows from there down, so
        that only the very last batch is padded with rows.
        """
        order = np.argsort(-lengths, kind="stable")
        begin = 0
        while begin < len(order):
            length = bucket(int(lengths[order[begin]]), self.max_length)
            rows = self._rows(length)
            where = order[begin : begin + rows]
            while (
                not self.one_shape_per_length
                and rows > self._step
                and rows // 2 % self._step == 0
                and rows // 2 >= len(where)
            ):
                rows //= 2
            yield where, length, rows
            begin += len(where)

    def _rows(self, length: int) -> int:
        """Of a full batch."""
        return max(self._step, self._tokens_per_batch // length // self._step * self._step)

    def compile_all(self) -> None:
        """Compiles every shape that can come. ValueError: not with `one_shape_per_length`."""
        if not self.one_shape_per_length:
            raise ValueError("The shapes of this encoder depend on the texts.")
        lengths = {bucket(length, self.max_length) for length in range(1, self.max_length + 1)}
        self._compile_ahead({(self._rows(length), length) for length in lengths})

    def _compile_ahead(self, shapes: set[tuple[int, int]]) -> None:
        """Compiles the (rows, length) not seen yet side by side, or the device would wait for each
        of them when its first batch comes; the batches then find their programs.
        """
        new, self._compiled = sorted(shapes - self._compiled), self._compiled | shapes
        rows_apart = sharding.over_batch(self._mesh) if self._mesh else None

        def compile_one(shape: tuple[int, int]) -> None:
            tokens = jax.ShapeDtypeStruct(shape, np.int32, sharding=rows_apart)
            mask = jax.ShapeDtypeStruct(shape, np.bool_, sharding=rows_apart)
            arguments = (self._graphdef, self._params, tokens, mask)
            _encode.lower(*arguments, **self._options(*shape)).compile()

        if new:
            with ThreadPoolExecutor(min(len(new), COMPILED_AT_ONCE)) as pool:
                list(pool.map(compile_one, new))

    def _options(self, rows: int, length: int) -> dict[str, Any]:
        """The static arguments of the program."""
        blocks = dual_encoder.rows_in_cache(rows, length) if self._in_blocks else None
        return {"tower": self._compute_as, "rows": blocks}

    def _run(self, batch: list[np.ndarray], rows: int, length: int) -> Array:
        arrays: Any = tokenization.pad(batch, rows, length, self._tokenizer.pad_id)
        if self._mesh:
            rows_apart = sharding.over_batch(self._mesh)
            arrays = (sharding.from_host(array, rows_apart) for array in arrays)
        tokens, mask = arrays
        options = self._options(rows, length)
        return _encode(self._graphdef, self._params, tokens, mask, **options)


def bucket(length: int, max_length: int) -> int:
    """The padded length: multiples of 16 up to 128, of 32 up to 256, of 64 beyond."""
    step = 16 if length <= 128 else 32 if length <= 256 else 64
    return min(-(-length // step) * step, max_length)


def default_tokens_per_batch() -> int:
    """Small batches stay in a CPU's caches; accelerators want large ones."""
    return 4096 if jax.default_backend() == "cpu" else 65536


# At module level, with the model's structure as a static argument: encoders share the compilations.
@functools.partial(jax.jit, static_argnames=("graphdef", "tower", "rows"))
def _encode(
    graphdef: nnx.GraphDef,
    params: dict[str, Any],
    tokens: Int[Array, "b l"],
    mask: Bool[Array, "b l"],
    *,
    tower: Tower,
    rows: int | None,
) -> Float[Array, "b d"]:
    return dual_encoder.encode(graphdef, params, tokens, mask, tower=tower, rows=rows)
