"""What every index offers: vectors or texts in, scores and positions out."""

from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float, Int

from tart_jax.types import InputError


@runtime_checkable
class Index(Protocol):
    """A searchable collection. Documents are known by position: their order of being added, from 0.

    `reads` says what `add` and `search` take: "vectors" (float32 [n, d]) or "texts" (list of str).
    """

    reads: str

    @property
    def count(self) -> int:
        """Documents in the index."""
        ...

    def add(self, documents: Any) -> None:
        """Appends documents: embeddings or texts."""
        ...

    def search(
        self, queries: Any, k: int
    ) -> tuple[Float[np.ndarray, "b k"], Int[np.ndarray, "b k"]]:
        """(scores float32, positions int64), best first, ties by position; -1 pads short lists."""
        ...

    def save(self, directory: Path) -> None:
        """Writes the index into an existing folder."""
        ...


def ordered(
    scores: Float[np.ndarray, "b k"], positions: Int[np.ndarray, "b k"]
) -> tuple[Float[np.ndarray, "b k"], Int[np.ndarray, "b k"]]:
    """The hits by descending score, ties by position, padding (-1) last."""
    scores = np.where(positions < 0, -np.inf, scores).astype(np.float32)
    order = np.lexsort((positions, -scores), axis=1)
    return np.take_along_axis(scores, order, 1), np.take_along_axis(positions, order, 1)


def checked(embeddings: Float[np.ndarray, "n d"], dims: int) -> Float[np.ndarray, "n d"]:
    """The same array. InputError: not of this width, or values that are not finite."""
    if embeddings.ndim != 2 or embeddings.shape[1] != dims:
        raise InputError(
            f"embeddings of shape {embeddings.shape} do not fit an index of {dims} dimensions."
        )
    if not np.isfinite(embeddings).all():
        raise InputError(
            "the embeddings hold values that are not finite; did the training diverge?"
        )
    return embeddings
