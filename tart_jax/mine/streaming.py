"""Statistics in one pass and bounded memory: the best few, a histogram, a share with interval."""

import hashlib
import heapq
import math
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

BINS = 64  # at most, of a histogram
FINEST = -20  # its narrowest bins are 2**-20 wide
FARTHEST = 2**50  # and so many of its bins lie between zero and a value
Z = 1.959964  # of a normal distribution: 95% lie within
T = TypeVar("T")


def digest(text: str) -> int:
    """64 bits of the very text: ids that differ in case are two."""
    hashed = hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8)
    return int.from_bytes(hashed.digest(), "little")


class Best(Generic[T]):
    """The `size` items of the greatest keys among those seen; of equal keys the first."""

    def __init__(self, size: int):
        self._size = size
        self._heap: list[tuple[Any, int, T]] = []
        self._seen = 0

    def wants(self, key: Any) -> bool:
        return len(self._heap) < self._size or (self._size > 0 and key > self._heap[0][0])

    def add(self, key: Any, item: T) -> None:
        if not self.wants(key):
            return
        self._seen += 1
        entry = (key, -self._seen, item)
        if len(self._heap) < self._size:
            heapq.heappush(self._heap, entry)
        else:
            heapq.heapreplace(self._heap, entry)

    def items(self) -> list[tuple[Any, T]]:
        """(key, item), the greatest key first."""
        ordered = sorted(self._heap, key=lambda entry: entry[:2], reverse=True)
        return [(key, item) for key, _, item in ordered]


class Histogram:
    """Counts of values by series in at most `BINS` bins, over a range that need not be known.

    A bin is as wide as the least power of two that spans all values with so many, and begins at a
    multiple of its width: the counts depend on the values alone, not on their order.
    """

    def __init__(self, series: Iterable[str]):
        self._exponent = FINEST
        self._counts = {name: Counter[int]() for name in series}
        self._low = self._high = 0
        self._empty = True

    def add(self, series: str, value: float) -> None:
        place = math.floor(math.ldexp(value, -self._exponent))
        if self._empty:
            self._low = self._high = place
            self._empty = False
        self._low, self._high = min(self._low, place), max(self._high, place)
        self._counts[series][place] += 1
        # Farther from zero, floats could not tell the ends of such narrow bins.
        while self._high - self._low >= BINS or max(self._high, -self._low) >= FARTHEST:
            self._widen()

    def _widen(self) -> None:
        self._exponent += 1
        self._low, self._high = self._low >> 1, self._high >> 1
        for series, counts in self._counts.items():
            wider = Counter[int]()
            for place, count in counts.items():
                wider[place >> 1] += count
            self._counts[series] = wider

    def to_json(self) -> dict[str, Any]:
        """`edges`, one more than there are bins, and the `counts` of each series."""
        if self._empty:
            return {"edges": [], "counts": {}}
        places = range(self._low, self._high + 2)
        edges = [math.ldexp(place, self._exponent) for place in places]
        counts = {
            series: [counts[place] for place in places[:-1]]
            for series, counts in self._counts.items()
        }
        return {"edges": edges, "counts": counts}


@dataclass
class Share:
    """A share of documents that were drawn by query, with its interval.

    The documents of a query share their fate, more or less. Wilson's interval is taken at the
    number of independent documents that tell as much: theirs over the design effect, the variance
    over queries divided by the binomial one (Kish, Survey Sampling, 1965). Where none or all of
    them count, that cannot be told, and each is taken for one.
    """

    count: int = 0
    of: int = 0
    queries: int = 0
    _products: list[int] = field(default_factory=lambda: [0, 0, 0])  # of count and of, by query

    def add(self, count: int, of: int) -> None:
        """One query's; a query without such documents tells nothing."""
        if of:
            self.count, self.of, self.queries = self.count + count, self.of + of, self.queries + 1
            for place, product in enumerate((count * count, count * of, of * of)):
                self._products[place] += product

    def independent(self) -> float:
        """How many independent documents would tell as much; those of one query tell as one."""
        if self.queries < 2 or self.count in (0, self.of):
            return float(self.of if self.queries > 1 else self.queries)
        share = self.count / self.of
        squares, crossed, whole = self._products
        spread = squares - 2 * share * crossed + share * share * whole
        effect = spread * self.queries / (self.queries - 1) / (self.of * share * (1 - share))
        return self.of / max(effect, 1.0)

    def to_json(self) -> dict[str, Any]:
        """low and high: the ends of the 95% interval; None where there is no document."""
        said = {"count": self.count, "of": self.of, "queries": self.queries}
        if not self.of:
            return {**said, "share": None, "low": None, "high": None}
        share, size = self.count / self.of, self.independent()
        shrunk = 1 + Z * Z / size
        middle = (share + Z * Z / (2 * size)) / shrunk
        half = Z * math.sqrt(share * (1 - share) / size + (Z / (2 * size)) ** 2) / shrunk
        # Rounding must not leave the share outside its interval where it is 0 or 1.
        low, high = max(0.0, min(middle - half, share)), min(1.0, max(middle + half, share))
        return {**said, "share": share, "low": low, "high": high}
