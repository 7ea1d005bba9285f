"""FAISS indexes of any factory string, on CPU or, with faiss-gpu, on GPU."""

import re
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float, Int

from tart_jax import io
from tart_jax.index.base import checked, ordered
from tart_jax.types import InputError

FILE = "index.faiss"
LISTS = "index.ivfdata"  # the inverted lists of an index that is larger than memory


def _faiss() -> Any:
    try:
        import faiss
    except ImportError as error:
        raise InputError(
            "FAISS is not installed; install tart-jax[cpu], or tart-jax[gpu] on a GPU machine."
        ) from error
    return faiss


class FaissIndex:
    """An index by inner product, built by `faiss.index_factory` (Douze et al., 2024).

    Flat is exact and needs no training; IVF, PQ and OPQ are trained first (`train`); HNSW is not
    trained but slow to add. Positions are the order of adding.
    """

    reads = "vectors"

    def __init__(self, factory: str, dims: int, *, gpu: bool = False):
        """InputError: not a factory string, not for this width, or no GPU though asked for."""
        faiss = _faiss()
        self.factory, self.dims = factory, dims
        try:
            index = faiss.index_factory(dims, factory, faiss.METRIC_INNER_PRODUCT)
        except RuntimeError as error:
            raise InputError(
                f"factory {factory!r} builds no FAISS index of {dims} dimensions"
                f" ({_reason(error)}); try Flat, IVF256,Flat or HNSW32."
            ) from error
        if gpu:
            _require_gpus()
        self._index, self._gpu, self._half = index, gpu, False
        self._searched: Any = None  # the index as it is searched: on the GPUs where asked for
        self._lists: Path | None = None

    @property
    def count(self) -> int:
        return self._index.ntotal

    @property
    def needs_training(self) -> bool:
        return not self._index.is_trained

    def train(self, sample: Float[np.ndarray, "n d"]) -> None:
        """Learns the coarse cells and codes. InputError: fewer vectors than the factory needs."""
        if self._index.is_trained:
            return
        faiss = _faiss()
        cells = faiss.try_extract_index_ivf(self._index)
        if self._gpu and cells is not None:
            cells.clustering_index = _to_gpus(faiss.IndexFlat(cells.d, cells.metric_type))
        try:
            self._index.train(_vectors(sample, self.dims))
        except RuntimeError as error:
            numbers = re.search(r"\((\d+)\) should be at least as large as.*?\((\d+)\)", str(error))
            if not numbers:
                raise
            raise InputError(
                f"factory {self.factory} needs at least {numbers[2]} documents to train on and has"
                f" {numbers[1]}; choose fewer cells, or Flat."
            ) from error

    def add(self, embeddings: Float[np.ndarray, "n d"]) -> None:
        self._index.add(_vectors(embeddings, self.dims))
        self._searched = None

    def fill_on_disk(
        self,
        shards: Iterable[Float[np.ndarray, "n d"]],
        folder: Path,
        *,
        block_size: int,
        on_rows: Callable[[int], Any] = lambda rows: None,
    ) -> None:
        """Adds everything with one shard's lists in memory; they end in one file, read as needed.

        folder: empty, for an index file of each shard and for the lists, which `save` moves away.
        InputError: an index without inverted lists.
        """
        faiss = _faiss()
        if faiss.try_extract_index_ivf(self._index) is None:
            raise InputError(
                f"on_disk=True is for inverted lists, such as IVF4096,PQ32; the factory is"
                f" {self.factory}."
            )
        files, before = [], 0
        for number, shard in enumerate(shards):
            part = faiss.clone_index(self._index)
            for begin in range(0, len(shard), block_size):
                block = _vectors(shard[begin : begin + block_size], self.dims)
                # FAISS's own shift of ids (1.15) is wrong where shards differ in size.
                part.add_with_ids(block, np.arange(before, before + len(block)))
                before += len(block)
                on_rows(len(block))
            files.append(str(folder / f"{number}.faiss"))
            faiss.write_index(part, files[-1])
        from faiss.contrib.ondisk import merge_ondisk

        merge_ondisk(self._index, files, str(folder / LISTS))
        self._lists = folder / LISTS

    def search(
        self, queries: Float[np.ndarray, "b d"], k: int
    ) -> tuple[Float[np.ndarray, "b k"], Int[np.ndarray, "b k"]]:
        return ordered(*self._form().search(_vectors(queries, self.dims), k))

    def _form(self) -> Any:
        """The index that is searched. Several GPUs take a part each of one that is whole, as FAISS
        fills shards only at once."""
        if self._searched is None:
            self._searched = _to_gpus(self._index, half=self._half) if self._gpu else self._index
        return self._searched

    def set_parameters(self, parameters: str) -> None:
        """Search-time parameters in FAISS's own words: `nprobe=16`, `efSearch=64,nprobe=8`."""
        if not parameters:
            return
        faiss = _faiss()
        space = faiss.GpuParameterSpace() if self._gpu else faiss.ParameterSpace()
        try:
            space.set_index_parameters(self._form(), parameters)
        except RuntimeError as error:
            raise InputError(
                f"parameters {parameters!r} do not fit the index {self.factory} ({_reason(error)});"
                " IVF takes nprobe=N, HNSW efSearch=N."
            ) from error

    def save(self, directory: Path) -> None:
        faiss = _faiss()
        with io.writing(directory / FILE) as aside:
            faiss.write_index(self._index, str(aside))
        if self._lists is None:
            (directory / LISTS).unlink(missing_ok=True)
        else:
            self._lists = self._lists.replace(directory / LISTS)

    @classmethod
    def load(
        cls, directory: Path, factory: str, *, gpu: bool = False, half: bool = False
    ) -> "FaissIndex":
        """gpu: search on all GPUs, which divide it; half: their vectors are float16."""
        faiss = _faiss()
        path = io.existing(directory / FILE, "index file")
        try:
            # lists on disk are those beside the file, wherever they were when it was written
            flags = faiss.IO_FLAG_ONDISK_SAME_DIR | faiss.IO_FLAG_READ_ONLY
            index = faiss.read_index(str(path), flags)
        except RuntimeError as error:
            raise InputError(
                f"{path} is not a whole FAISS index ({_reason(error)}); build it again."
            ) from error
        loaded = cls.__new__(cls)
        if gpu:
            _require_gpus()
        loaded.factory, loaded.dims = factory, index.d
        loaded._index, loaded._gpu, loaded._half = index, gpu, half
        loaded._searched = loaded._lists = None
        return loaded


def _require_gpus() -> None:
    faiss = _faiss()
    if not hasattr(faiss, "StandardGpuResources"):
        raise InputError(
            "gpu=True needs faiss-gpu, this is faiss-cpu; install tart-jax[gpu] or say gpu=False."
        )
    if not faiss.get_num_gpus():
        raise InputError("gpu=True but FAISS sees no GPU; check the driver, or say gpu=False.")


def _to_gpus(index: Any, *, half: bool = False) -> Any:
    """Divided over all GPUs. InputError: FAISS has no such form."""
    faiss = _faiss()
    options = faiss.GpuMultipleClonerOptions()
    options.shard, options.useFloat16 = True, half
    try:
        return faiss.index_cpu_to_all_gpus(index, co=options)
    except RuntimeError as error:
        raise InputError(
            f"FAISS has no GPU form of this index ({_reason(error)}); say gpu=False."
        ) from error


def _vectors(embeddings: np.ndarray, dims: int) -> np.ndarray:
    return checked(np.ascontiguousarray(embeddings, np.float32), dims)


def _reason(error: Exception) -> str:
    """The last words of a FAISS error, which starts with C++ names and line numbers."""
    return (
        str(error).strip().splitlines()[-1].rpartition(".cpp:")[2].partition(": ")[2]
        or str(error).strip()
    )
