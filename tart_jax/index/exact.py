"""Exact search on JAX's devices: every inner product, block by block, the corpus kept or streamed.

The embeddings stay on the host, memory-mapped once they are stored. The devices keep as many blocks
as they have room for and are sent the others at each search, so the index may be larger than they
are. On a CPU the kept blocks are the host's own pages, not a copy.
"""

from collections import deque
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec
from jaxtyping import Float, Int

from tart_jax import distributed, io
from tart_jax.distributed import DATA
from tart_jax.index import running_top_k
from tart_jax.index.base import checked, ordered
from tart_jax.index.running_top_k import DTYPES, GROUP, Best, Block
from tart_jax.types import InputError

FILE = "embeddings.npy"
# (documents of a device's tile, queries of a batch): on a CPU their scores stay in its caches.
CPU_SHAPE, ACCELERATOR_SHAPE = (16_384, 256), (131_072, 1024)
IN_FLIGHT = 2  # blocks searched while the next one is sent
ROOM = 0.75  # of an accelerator's free memory that the blocks may take


class ExactIndex:
    """All inner products of a query, on all devices of a mesh with the one axis "data".

    dtype: of the embeddings on the devices. "bfloat16" and "int8" (one symmetric scale for each
    document) choose `candidates(k)` documents, whose float32 scores decide. Positions are the order
    of adding; of documents with equal scores the first ones are taken.
    """

    reads = "vectors"

    def __init__(
        self,
        dims: int,
        *,
        dtype: str = "float32",
        mesh: Mesh | None = None,
        shape: tuple[int, int] | None = None,
    ):
        """shape: (documents of a device's tile, queries of a batch) at most; None: by the device.

        In several processes all of them add the same and search together. InputError: the dtype.
        """
        if dtype not in DTYPES:
            raise InputError(f"dtype {dtype!r} is not one of {', '.join(DTYPES)}.")
        self.dims, self.dtype = dims, dtype
        self._mesh = mesh or distributed.make_mesh({DATA: -1})
        on_cpu = self._mesh.devices.flat[0].platform == "cpu"
        self._tile_size, self._batch_size = shape or (CPU_SHAPE if on_cpu else ACCELERATOR_SHAPE)
        self._parts: list[np.ndarray] = []
        self._ends = [0]
        self._kept: dict[int, Block] = {}
        self._room: int | None = None
        self._device_memory: float | None = None
        self._recall: float | None = None

    @property
    def count(self) -> int:
        return self._ends[-1]

    def add(self, embeddings: Float[np.ndarray, "n d"]) -> None:
        """Appends float32 or float16 embeddings, which stay so. Read-only arrays are not copied."""
        if embeddings.dtype not in (np.float32, np.float16):
            embeddings = embeddings.astype(np.float32)
        checked(embeddings, self.dims)
        if embeddings.flags.writeable or not embeddings.flags.c_contiguous:
            embeddings = np.array(embeddings, order="C")
        self._parts.append(embeddings)
        self._ends.append(self.count + len(embeddings))
        self._kept, self._room = {}, None  # the tiles have changed

    def set_options(self, *, recall: float | None, device_memory: float | None) -> None:
        """recall: that which lax.approx_max_k aims at, above 0 and below 1; None: exact search.

        device_memory: GB of each device for the corpus; None: all of it on a CPU, elsewhere 3/4 of
        what is free at the first search. InputError: out of bounds.
        """
        if recall is not None and not 0 < recall < 1:
            raise InputError(f"approximate {recall} is no recall to aim at: above 0 and below 1.")
        if device_memory is not None and device_memory < 0:
            raise InputError(f"device_memory {device_memory} is negative; it is in GB, 0 or more.")
        self._recall, self._device_memory = recall, device_memory
        self._kept, self._room = {}, None

    def search(
        self, queries: Float[np.ndarray, "b d"], k: int
    ) -> tuple[Float[np.ndarray, "b k"], Int[np.ndarray, "b k"]]:
        queries = checked(np.ascontiguousarray(queries, np.float32), self.dims)
        if self.dtype == "float32":
            return self._best(queries, k)
        chosen = self._best(queries, candidates(k))[1]
        scores, positions = ordered(self._rescored(queries, chosen), chosen)
        return scores[:, :k], positions[:, :k]

    def measured_recall(self, queries: Float[np.ndarray, "b d"], k: int) -> float:
        """The share of the exact float32 k best that a search finds, by position, 0 to 1."""
        sure = ExactIndex(self.dims, mesh=self._mesh, shape=(self._tile_size, self._batch_size))
        sure._parts, sure._ends = self._parts, self._ends
        sure.set_options(recall=None, device_memory=0.0)
        both = zip(self.search(queries, k)[1], sure.search(queries, k)[1], strict=True)
        return float(np.mean([np.isin(best, found).mean() for found, best in both]))

    def save(self, directory: Path) -> None:
        """Writes the embeddings part by part: float16 if all are, float32 otherwise."""
        half = bool(self._parts) and all(part.dtype == np.float16 for part in self._parts)
        dtype = np.dtype(np.float16 if half else np.float32)
        header = {"descr": dtype.str, "fortran_order": False, "shape": (self.count, self.dims)}
        with io.writing(directory / FILE) as aside, aside.open("wb") as file:
            np.lib.format.write_array_header_1_0(file, header)
            for part in self._parts:
                part.astype(dtype, copy=False).tofile(file)

    @classmethod
    def load(cls, directory: Path, *, dtype: str) -> "ExactIndex":
        """Memory-maps what `save` wrote. InputError: it is not there, or cut short."""
        path = io.existing(directory / FILE, "embeddings of the index")
        try:
            embeddings = np.load(path, mmap_mode="r")
        except (ValueError, EOFError) as error:
            raise InputError(
                f"{path} is not a whole .npy file ({error}); build it again."
            ) from error
        loaded = cls(embeddings.shape[1], dtype=dtype)
        loaded._parts, loaded._ends = [embeddings], [0, len(embeddings)]
        return loaded

    def _best(self, queries: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
        """Scores and positions of the k best, by the embeddings as the devices have them."""
        if not len(queries):
            return np.zeros((0, k), np.float32), np.zeros((0, k), np.int64)
        everywhere = NamedSharding(self._mesh, PartitionSpec())
        batches = [running_top_k.put(part, everywhere) for part in self._batches(queries)]
        best = [running_top_k.nothing(len(batch), k, self._mesh) for batch in batches]
        in_flight = deque[Best]()
        for begin in range(0, self.count, self._tile_rows() * self._mesh.size):
            block = self._block(begin)
            best = [
                running_top_k.step(
                    before, batch, block, begin, self.count, mesh=self._mesh, recall=self._recall
                )
                for before, batch in zip(best, batches, strict=True)
            ]
            # Else the host would run ahead, and the devices hold every block it has sent.
            in_flight.append(best[-1])
            if len(in_flight) > IN_FLIGHT:
                jax.block_until_ready(in_flight.popleft())
        joined = [running_top_k.merged(lists, k=k, mesh=self._mesh) for lists in best]
        scores, positions = (
            np.concatenate(part)[: len(queries)] for part in zip(*joined, strict=True)
        )
        return scores, positions.astype(np.int64)

    def _batches(self, queries: np.ndarray) -> Iterator[np.ndarray]:
        """Full batches, then one padded to a power of two: few shapes, each compiled once."""
        for begin in range(0, len(queries), self._batch_size):
            batch = queries[begin : begin + self._batch_size]
            rows = min(self._batch_size, max(8, 1 << (len(batch) - 1).bit_length()))
            yield np.pad(batch, ((0, rows - len(batch)), (0, 0)))

    def _tile_rows(self) -> int:
        """Equal tiles with little padding; the same on any number of devices."""
        unit = max(GROUP, self._tile_size // 16)  # so that corpora of many sizes share few shapes
        tiles = max(1, -(-self.count // self._tile_size))
        return max(1, -(-self.count // (tiles * unit))) * unit

    def _block(self, begin: int) -> Block:
        if begin in self._kept:
            return self._kept[begin]
        rows, sharding = self._tile_rows(), NamedSharding(self._mesh, PartitionSpec(DATA))

        def tile(index: Any) -> np.ndarray:
            return self._rows(begin + (index[0].start or 0), rows)

        shape = (rows * self._mesh.size, self.dims)
        block = Block(jax.make_array_from_callback(shape, sharding, tile), None)
        if self.dtype != "float32":
            block = running_top_k.stored(block.rows, dtype=self.dtype)
        if self._room is None:
            self._room = self._blocks_in_room(rows)
        if len(self._kept) < self._room:
            self._kept[begin] = block
        return block

    def _blocks_in_room(self, rows: int) -> int:
        """How many blocks the devices keep."""
        gigabytes = self._device_memory
        if gigabytes is None:
            memory = self._mesh.local_devices[0].memory_stats()
            if not memory:  # a CPU
                return -(-self.count // rows)
            gigabytes = ROOM * (memory["bytes_limit"] - memory["bytes_in_use"]) / 1e9
        return int(gigabytes * 1e9 // (rows * self.dims * jnp.dtype(self.dtype).itemsize))

    def _rows(self, begin: int, rows: int) -> Float[np.ndarray, "t d"]:
        """Documents from `begin` on as float32, the last one repeated; a view where possible."""
        tile, filled = np.empty((0, self.dims), np.float32), 0
        for start, part in zip(self._ends, self._parts, strict=False):
            piece = part[max(0, begin - start) : max(0, begin + rows - start)]
            if len(piece) == rows:
                return piece.astype(np.float32, copy=False)
            if not len(tile):
                tile = np.zeros((rows, self.dims), np.float32)
            tile[filled : filled + len(piece)] = piece
            filled += len(piece)
        if filled:
            tile[filled:] = tile[filled - 1]
        return tile

    def _rescored(
        self, queries: np.ndarray, positions: Int[np.ndarray, "b m"]
    ) -> Float[np.ndarray, "b m"]:
        """The inner products with the host's embeddings; equal rows get equal scores."""
        scores = np.empty(positions.shape, np.float32)
        for row, (query, places) in enumerate(zip(queries, positions, strict=True)):
            scores[row] = np.einsum("md,d->m", self._at(places), query)
        return scores

    def _at(self, places: Int[np.ndarray, " m"]) -> Float[np.ndarray, "m d"]:
        found = np.zeros((len(places), self.dims), np.float32)
        for start, part in zip(self._ends, self._parts, strict=False):
            here = (places >= start) & (places < start + len(part))
            found[here] = part[places[here] - start]
        return found


def candidates(k: int) -> int:
    """How many documents bfloat16 and int8 scores choose, for float32 ones to choose k from."""
    return max(4 * k, k + 64)
