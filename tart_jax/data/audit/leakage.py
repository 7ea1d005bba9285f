"""Test texts that must not stand in training data: by hash, or by a shared run of words."""

from array import array
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

import numpy as np

from tart_jax.data.audit import records, texts
from tart_jax.types import InputError

_MIX = np.uint64(0x9E3779B97F4A7C15)


class TestTexts:
    """Hashes of queries and documents: 8 bytes per text and 8 per run of `ngrams` words.

    Empty texts never leak. A query counts as a whole and as what follows its first separator.
    """

    __test__ = False  # no test case, whatever pytest thinks of the name

    def __init__(self, paths: Sequence[str | Path] = (), ngrams: int = 0):
        if ngrams and not 2 <= ngrams <= 64:
            raise InputError(f"config.ngrams is {ngrams}; take 13, or 0 for whole texts only.")
        self.ngrams = ngrams
        digests, runs = bytearray(), array("Q")
        for path in paths:
            for source in records.find(path):
                for item in source.items():
                    if item.problem:
                        raise InputError(f"{item.where}: {item.problem}; mend the test data first.")
                    for text in _texts(item):
                        folded = texts.fold(text)
                        if folded:
                            digests += texts.digest(folded)
                            runs.frombytes(self._runs(folded).tobytes())
        self._hashes = np.unique(np.frombuffer(digests, "<u8"))
        self._runs_seen = np.unique(np.frombuffer(runs, np.uint64))

    def __len__(self) -> int:
        return len(self._hashes)

    def same(self, digests: Sequence[bytes]) -> list[bool]:
        """Whether each text, by its digest, is a test text."""
        if not len(self._hashes) or not digests:
            return [False] * len(digests)
        return _in(np.frombuffer(b"".join(digests), "<u8"), self._hashes).tolist()

    def shares_run(self, folded: bytes) -> bool:
        """Whether a text shares a run of `ngrams` words with a test text."""
        if not len(self._runs_seen):
            return False
        return bool(_in(self._runs(folded), self._runs_seen).any())

    def _runs(self, folded: bytes) -> np.ndarray:
        """A hash of every run of words, uint64."""
        words = folded.split() if self.ngrams else []
        if len(words) < self.ngrams or not words:
            return np.zeros(0, np.uint64)
        hashes = np.asarray([_word(word) for word in words], np.uint64)
        count = len(words) - self.ngrams + 1
        mixed = np.zeros(count, np.uint64)
        for offset in range(self.ngrams):  # wraps around at 64 bits, as is meant
            mixed = (mixed ^ hashes[offset : offset + count]) * _MIX
            mixed ^= mixed >> np.uint64(29)
        return mixed


def _texts(item: records.Item) -> list[str]:
    query = [] if item.query is None else [item.query]
    bare = texts.bare_query(item.query) if item.query else None
    return [*query, *([bare] if bare else []), *(doc.contents() for doc in item.documents)]


def _in(values: np.ndarray, ordered: np.ndarray) -> np.ndarray:
    places = np.searchsorted(ordered, values)
    places[places == len(ordered)] = 0
    return ordered[places] == values


@lru_cache(1 << 17)
def _word(word: bytes) -> int:
    return int.from_bytes(texts.digest(word), "little")
