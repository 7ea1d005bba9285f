"""Texts that repeat held-out texts: equal, or nearly so, in the words they use."""

import re
from collections import Counter, defaultdict
from collections.abc import Sequence
from typing import NamedTuple

WORD = re.compile(r"\w+")
SHINGLE_WORDS = 3


class Repeats(NamedTuple):
    """Positions of the texts that repeat a held-out text; the two sets are disjoint."""

    equal: set[int]
    near: set[int]


def words(text: str) -> tuple[str, ...]:
    """The words of a text in lower case, or its other signs where it has no word."""
    return tuple(WORD.findall(text.lower())) or tuple(text.split())


def shingles(tokens: tuple[str, ...]) -> set[tuple[str, ...]]:
    """All runs of three words; a shorter text is its own single shingle."""
    last = max(1, len(tokens) - SHINGLE_WORDS + 1)
    return {tokens[i : i + SHINGLE_WORDS] for i in range(last)}


def jaccard(first: set[tuple[str, ...]], second: set[tuple[str, ...]]) -> float:
    """Shared share of two sets of shingles, 0 to 1."""
    shared = len(first & second)
    return shared / (len(first) + len(second) - shared)


def find_repeats(texts: Sequence[str], held_out: Sequence[str], *, threshold: float) -> Repeats:
    """The texts equal to a held-out one, or near it: Jaccard of their shingles >= threshold.

    Exact, not sampled: two sets of Jaccard >= t share a shingle among the rarest (1 - t) n + 1 of
    each, in any one order (prefix filtering: Chaudhuri et al., ICDE 2006), so that only these
    are looked up. The order is by rarity, then by the words: no hash seed decides anything.
    """
    known = [words(text) for text in dict.fromkeys(held_out)]
    known_set = set(known)
    known_shingles = [shingles(tokens) for tokens in known]
    candidates = [words(text) for text in texts]
    equal = {i for i, tokens in enumerate(candidates) if tokens in known_set}
    counts = Counter(shingle for each in known_shingles for shingle in each)

    def prefix(each: set[tuple[str, ...]]) -> list[tuple[str, ...]]:
        size = (
            int((1 - threshold) * len(each) + 1e-9) + 1
        )  # 1 - 0.8 is a little under 0.2 in floats
        return sorted(each, key=lambda shingle: (counts[shingle], shingle))[:size]

    postings: dict[tuple[str, ...], list[int]] = defaultdict(list)
    for position, each in enumerate(known_shingles):
        for shingle in prefix(each):
            postings[shingle].append(position)
    near = set()
    for position, tokens in enumerate(candidates):
        if position in equal:
            continue
        each = shingles(tokens)
        rivals = {rival for shingle in prefix(each) for rival in postings.get(shingle, ())}
        if any(jaccard(each, known_shingles[rival]) >= threshold for rival in rivals):
            near.add(position)
    return Repeats(equal, near)
