"""The records that stages exchange, and the one error that means "your input, not our code".

Axis letters used in shapes everywhere: b queries, n documents per query, l tokens, d width,
h heads, k head width, v vocabulary, c corpus.
"""

from typing import NamedTuple


class InputError(ValueError):
    """Bad input: one sentence with the file, line or key, the value seen, and the way out.

    The command line prints it without a traceback and exits with status 2.
    """


class DivergedError(RuntimeError):
    """The loss of update `step` exploded or is no number; the last checkpoint is from before.

    The command line prints it without a traceback and exits with status 1.
    """

    def __init__(self, message: str, step: int = 0):
        super().__init__(message)
        self.step = step


class EndedError(RuntimeError):
    """The run ended early by a signal (and what it had is saved), or what it checks does not hold.

    The command line prints it without a traceback and exits with `status`.
    """

    def __init__(self, message: str, status: int):
        super().__init__(message)
        self.status = status


class Query(NamedTuple):
    """What a user asks for; `instruction` says what kind of document answers it, or is empty."""

    query_id: str
    text: str
    instruction: str = ""


class Document(NamedTuple):
    """A document of a corpus. Instructions never reach documents."""

    doc_id: str
    text: str
    title: str = ""

    def contents(self, separator: str = "") -> str:
        """What encoder and BM25 read: `title text`, or the text alone (TART; BEIR's way).

        separator: stands between the two, as DPR has its `[SEP]`.
        """
        between = f" {separator} " if separator else " "
        return f"{self.title}{between}{self.text}".strip() if self.title else self.text


class ScoredDocument(NamedTuple):
    """One hit of a run."""

    doc_id: str
    score: float


# A run: query_id -> hits, best first. Qrels: query_id -> doc_id -> relevance (0: not relevant).
Run = dict[str, list[ScoredDocument]]
Qrels = dict[str, dict[str, int]]
