"""Whether a passage holds an answer, as DPR decides it (Karpukhin et al. 2020, its code).

Text and answer are decomposed (NFD) and cut into runs of letters, numbers and marks, and other
single signs; an answer is held where its tokens follow each other, case aside.
"""

import unicodedata
from collections.abc import Iterable

import regex

TOKEN = regex.compile(r"[\p{L}\p{N}\p{M}]+|[^\p{Z}\p{C}]")


def tokens(text: str) -> list[str]:
    return [token.lower() for token in TOKEN.findall(unicodedata.normalize("NFD", text))]


class Answers:
    """The answers of one query, ready to be looked for. One of no token is in no passage."""

    def __init__(self, answers: Iterable[str]):
        self._answers = [cut for cut in map(tokens, answers) if cut]

    def held_by(self, text: str) -> bool:
        read = tokens(text) if self._answers else []
        return any(_follow(read, answer) for answer in self._answers)


def _follow(read: list[str], answer: list[str]) -> bool:
    size = len(answer)
    return any(
        read[begin : begin + size] == answer
        for begin, token in enumerate(read[: len(read) - size + 1])
        if token == answer[0]
    )
