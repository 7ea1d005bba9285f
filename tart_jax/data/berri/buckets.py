"""Records sorted by a hash of their key, on disk: what a builder needs to shuffle more than memory.

TFDS's own writer holds a split in memory, and past 1 GB needs TensorFlow for its temporary files.
The order is that writer's (and of its Beam twin): md5 of the split's name and the key.
"""

import hashlib
import struct
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

NUMBER = 256  # of buckets, by the first byte of the hash; one bucket at a time is in memory
BUFFER = 64 << 20  # bytes held back before they are appended to the files
_HEAD = struct.Struct(">16sI")


class Settled(NamedTuple):
    """records: how many; size: bytes of their values; largest: the largest hash."""

    records: int
    size: int
    largest: int


class Buckets:
    """Add in any order, settle once, then read sorted, each key once (its smallest value)."""

    def __init__(self, directory: Path, salt: str):
        directory.mkdir(parents=True)
        self._paths = [directory / f"{number:03d}" for number in range(NUMBER)]
        self._salt = salt.encode()
        self._buffers = [bytearray() for _ in range(NUMBER)]
        self._held = 0

    def add(self, key: str, value: bytes) -> None:
        digest = hashlib.md5(self._salt + key.encode(), usedforsecurity=False).digest()
        self._buffers[digest[0]] += _HEAD.pack(digest, len(value)) + value
        self._held += _HEAD.size + len(value)
        if self._held >= BUFFER:
            self._flush()

    def settle(self, encode: Callable[[bytes], bytes]) -> Settled:
        """Sorts each bucket, keeps the smallest value of a key, and stores them encoded."""
        self._flush()
        count = size = largest = 0
        for path in self._paths:
            if not path.exists():
                continue
            records = sorted(_read(path), reverse=True)
            unique = dict(records)  # of equal keys the last, the smallest value, stays
            with path.open("wb") as file:
                for digest in reversed(unique):
                    value = encode(unique[digest])
                    file.write(_HEAD.pack(digest, len(value)) + value)
                    count, size = count + 1, size + len(value)
                    largest = max(largest, int.from_bytes(digest, "big"))
        return Settled(count, size, largest)

    def read(self) -> Iterator[tuple[int, bytes]]:
        """(128-bit hash, encoded value) in the order of the hashes."""
        for path in self._paths:
            if path.exists():
                for digest, value in _read(path):
                    yield int.from_bytes(digest, "big"), value

    def _flush(self) -> None:
        for path, buffer in zip(self._paths, self._buffers, strict=True):
            if buffer:
                with path.open("ab") as file:
                    file.write(buffer)
                buffer.clear()
        self._held = 0


def _read(path: Path) -> Iterator[tuple[bytes, bytes]]:
    with path.open("rb") as file:
        while head := file.read(_HEAD.size):
            digest, length = _HEAD.unpack(head)
            yield digest, file.read(length)
