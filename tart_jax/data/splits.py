"""The one rule by which real data without a training split are divided."""

import hashlib
from collections.abc import Iterable

SHARES = (("train", 0.70), ("dev", 0.10), ("test", 0.20))


def split_of(query: str) -> str:
    """train, dev or test, by a hash of the query's folded text: 70, 10 and 20 percent.

    By text, so that a question asked in two data sets stands on the same side in both.
    """
    place = text_hash(query) / 2**64
    for name, share in SHARES[:-1]:
        if place < share:
            return name
        place -= share
    return SHARES[-1][0]


def fold(text: str) -> str:
    """Case and white space evened out: what "the same text" means here."""
    return " ".join(text.casefold().split())


def text_hash(text: str) -> int:
    """64 bits of the folded text."""
    digest = hashlib.blake2b(fold(text).encode("utf-8"), digest_size=8).digest()
    return int.from_bytes(digest, "little")


class HeldOutTexts:
    """Texts that no training example may hold, as hashes, and where each came from."""

    def __init__(self) -> None:
        self._tasks: dict[int, set[str]] = {}

    def __len__(self) -> int:
        return len(self._tasks)

    def add(self, texts: Iterable[str], task: str) -> None:
        for text in texts:
            self._tasks.setdefault(text_hash(text), set()).add(task)

    def holds(self, text: str, *, but: str = "") -> bool:
        """Whether the text is held out by a task other than `but`."""
        return bool(self._tasks.get(text_hash(text), set()) - {but})
