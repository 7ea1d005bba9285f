"""A table of pairs of 64-bit numbers, 16 bytes each, that goes to disk above a limit."""

from array import array
from collections.abc import Iterator
from pathlib import Path

import numpy as np

BUCKETS = 256
LOW_BITS = 12  # the low bits of a number carry a small one (a task, say) instead of hash
LOW = np.uint64((1 << LOW_BITS) - 1)
_BLOCK = 1 << 16
_PART = 1 << 22  # bytes
_FEW = 1 << 17  # keys that a set may hold: 10 MB, and a hundred times as fast


class Spill:
    """Pairs (key, value), appended in any order, read back grouped: equal keys stand together.

    Up to `limit` bytes stay in memory. Above, pairs go to files in `folder`, one for each leading
    byte of the key, so that each is sorted by itself. Reading back takes little more.
    """

    def __init__(self, folder: Path, name: str, limit: int):
        self._files = [folder / f"{name}-{number:03d}" for number in range(BUCKETS)]
        self._limit = limit
        self._blocks: list[np.ndarray] = []
        self._bytes = 0
        self.spilled = False
        self._fresh()

    def _fresh(self) -> None:
        self._keys, self._values = bytearray(), bytearray()
        self._key_lows, self._value_lows = array("H"), array("H")

    def append(self, key: bytes, key_low: int, value: bytes, value_low: int) -> None:
        """Two digests of 8 bytes, each with a number below 4096 for its low bits."""
        self._keys += key
        self._values += value
        self._key_lows.append(key_low)
        self._value_lows.append(value_low)
        if len(self._key_lows) >= _BLOCK:
            self._close_block()

    def _close_block(self) -> None:
        keys, values = self._keys, self._values
        pairs = np.stack([_joined(keys, self._key_lows), _joined(values, self._value_lows)], axis=1)
        self._fresh()
        self.extend(pairs)

    def extend(self, pairs: np.ndarray) -> None:
        """Pairs as an array uint64 [n, 2]."""
        if not len(pairs):
            return
        self._blocks.append(pairs)
        self._bytes += pairs.nbytes
        if self._bytes > self._limit:
            self._to_disk()

    def _to_disk(self) -> None:
        self.spilled = True
        for block in self._blocks:
            buckets = (block[:, 0] >> np.uint64(56)).astype(np.intp)
            order = np.argsort(buckets, kind="stable")
            ends = np.searchsorted(buckets[order], np.arange(BUCKETS), side="right")
            ordered, start = block[order], 0
            for path, end in zip(self._files, ends.tolist(), strict=True):
                if end > start:
                    with path.open("ab") as file:
                        ordered[start:end].tofile(file)
                start = end
        self._blocks, self._bytes = [], 0

    def groups(self) -> Iterator[np.ndarray]:
        """Sorted pairs [n, 2], ascending over all parts; equal keys are always in one part.

        Empties the table.
        """
        if self._key_lows:
            self._close_block()
        if not self.spilled:
            blocks, self._blocks = self._blocks, []
            # Sorting copies, so that it goes by parts of a few megabytes here, too.
            parts = min(self._bytes // _PART + 1, BUCKETS)
            for part in range(parts):
                chosen = [block[_part(block, parts) == part] for block in blocks]
                pairs = np.concatenate(chosen) if chosen else np.zeros((0, 2), np.uint64)
                if len(pairs):
                    yield _sorted(pairs)
            return
        self._to_disk()
        for path in self._files:
            if path.exists():
                pairs = np.fromfile(path, np.uint64).reshape(-1, 2)
                path.unlink()
                yield _sorted(pairs)


class Keys:
    """Ascending 64-bit numbers in a file, searched through a memory map."""

    def __init__(self, path: Path):
        self._path = path
        self._count = 0
        self._map: np.ndarray | set[int] | None = None
        path.write_bytes(b"")

    def extend(self, keys: np.ndarray) -> None:
        with self._path.open("ab") as file:
            keys.tofile(file)
        self._count += len(keys)

    def __len__(self) -> int:
        return self._count

    def __contains__(self, key: int) -> bool:
        if not self._count:
            return False
        if self._map is None:
            keys = np.memmap(self._path, np.uint64, "r")
            self._map = set(keys.tolist()) if self._count <= _FEW else keys
        if isinstance(self._map, set):
            return key in self._map
        place = int(np.searchsorted(self._map, np.uint64(key)))
        return place < self._count and int(self._map[place]) == key


def number(digest: bytes, low: int) -> int:
    """The number that `Spill.append` makes of a digest and its low bits."""
    return int.from_bytes(digest, "little") & ~int(LOW) | low


def _joined(digests: bytearray, lows: array) -> np.ndarray:
    return np.frombuffer(digests, "<u8") & ~LOW | np.asarray(lows, np.uint64)


def _part(pairs: np.ndarray, parts: int) -> np.ndarray:
    """The part of each pair, by the leading byte of its key."""
    return (pairs[:, 0] >> np.uint64(56)) * np.uint64(parts) // np.uint64(BUCKETS)


def _sorted(pairs: np.ndarray) -> np.ndarray:
    return pairs[np.lexsort((pairs[:, 1], pairs[:, 0]))]
