"""BM25 over words (Robertson and Zaragoza, 2009), by bm25s. The only importer of bm25s."""

import logging
import shutil
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import bm25s
import numpy as np
import Stemmer
from jaxtyping import Float, Int

from tart_jax import io
from tart_jax.types import InputError

logging.getLogger("bm25s").setLevel(logging.WARNING)  # it sets itself to DEBUG
FOLDER = "bm25"
K1, B = 1.2, 0.75  # the usual values (Lucene's); Pyserini's BEIR baselines use 0.9 and 0.4


class BM25Index:
    """English stop words, Snowball stemming; a document without any query word is no hit."""

    reads = "texts"

    def __init__(self, *, k1: float = K1, b: float = B):
        self.k1, self.b = k1, b
        self._bm25: Any = None
        self._tokens: list[list[str]] = []

    @property
    def count(self) -> int:
        return len(self._tokens) if self._bm25 is None else int(self._bm25.scores["num_docs"])

    def add(self, texts: Iterable[str]) -> None:
        """Texts to be indexed; the scores are computed at the first search, over all of them."""
        if self._bm25 is not None:
            raise ValueError("a BM25 index that has been searched takes no more documents.")
        self._tokens += tokenize(list(texts))

    def search(
        self, queries: Sequence[str], k: int
    ) -> tuple[Float[np.ndarray, "b k"], Int[np.ndarray, "b k"]]:
        self._build()
        scores = np.full((len(queries), k), -np.inf, np.float32)
        positions = np.full((len(queries), k), -1, np.int64)
        for row, tokens in enumerate(tokenize(queries)):
            found, best = _best(self._bm25.get_scores(tokens) if tokens else np.zeros(0), k)
            scores[row, : len(found)], positions[row, : len(found)] = best, found
        return scores, positions

    def save(self, directory: Path) -> None:
        self._build()
        shutil.rmtree(directory / FOLDER, ignore_errors=True)
        with io.writing(directory / FOLDER) as aside:
            self._bm25.save(aside, show_progress=False)

    @classmethod
    def load(cls, directory: Path) -> "BM25Index":
        path = io.existing(directory / FOLDER, "BM25 index")
        loaded = cls()
        loaded._bm25 = bm25s.BM25.load(path, show_progress=False)
        loaded.k1, loaded.b = loaded._bm25.k1, loaded._bm25.b
        return loaded

    def _build(self) -> None:
        if self._bm25 is not None:
            return
        if not any(self._tokens):
            raise InputError(
                "the corpus has no word to index; is it in English letters, is it empty?"
            )
        self._bm25 = bm25s.BM25(k1=self.k1, b=self.b)
        self._bm25.index(self._tokens, show_progress=False)
        self._tokens = []


def tokenize(texts: Sequence[str]) -> list[list[str]]:
    """Lower-case words of two letters or more, without stop words, stemmed."""
    return bm25s.tokenize(
        list(texts),
        stopwords="en",
        stemmer=Stemmer.Stemmer("english"),
        return_ids=False,
        show_progress=False,
    )


def _best(scores: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
    """(positions, scores) of the k best above 0, best first, ties by position, also at the cut."""
    found = np.flatnonzero(scores > 0)
    if len(found) > k:
        bar = np.partition(scores[found], len(found) - k)[len(found) - k]
        above = found[scores[found] > bar]
        found = np.concatenate([above, found[scores[found] == bar][: k - len(above)]])
    found = found[np.lexsort((found, -scores[found]))]
    return found, scores[found]
