"""Hard negatives: near a query by a retriever's score, and no answer to it."""

import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from tart_jax.data import duplicates
from tart_jax.data.splits import text_hash
from tart_jax.types import Document, InputError, ScoredDocument

SAMPLINGS = ("top", "random")


@dataclass(frozen=True)
class Rules:
    """Which candidates may become negatives, as in sentence-transformers' `mine_hard_negatives`.

    first_rank, last_rank: the window, from 1, both ends in it, of the ranks among the candidates
    that are no positives and that the bounds on scores leave. min_score, max_score: of the
    retriever's score. absolute_margin, relative_margin: a candidate scores at most the positive's
    score less the margin, and less that share of it; of several positives the one with the least
    score counts. count: negatives of a query. sampling: the best, or drawn from the window.
    near_duplicate: Jaccard similarity of three-word runs from which a candidate repeats a positive
    or the query; None: only the same text does. answer_checked: a passage that holds one of the
    example's answers is no negative (DPR).
    """

    first_rank: int = 1
    last_rank: int = 100
    min_score: float | None = None
    max_score: float | None = None
    absolute_margin: float | None = None
    relative_margin: float | None = None
    count: int = 8
    sampling: str = "top"
    near_duplicate: float | None = 0.8
    answer_checked: bool = True

    def __post_init__(self) -> None:
        if not 1 <= self.first_rank <= self.last_rank:
            raise InputError(
                f"the ranks {self.first_rank} to {self.last_rank} are no window; ranks begin at 1"
                " and first_rank is at most last_rank."
            )
        if self.sampling not in SAMPLINGS:
            raise InputError(f"sampling {self.sampling!r} is not one of {', '.join(SAMPLINGS)}.")
        if self.count < 0:
            raise InputError(f"count {self.count} is negative; 0 takes no negative at all.")
        if self.near_duplicate is not None and not 0 < self.near_duplicate <= 1:
            raise InputError(
                f"near_duplicate {self.near_duplicate} is not in (0, 1]; 1 leaves out the same"
                " runs of words only, None nothing but the same text."
            )

    @property
    def needs_positive_scores(self) -> bool:
        return self.absolute_margin is not None or self.relative_margin is not None

    def ceiling(self, positive_scores: Sequence[float]) -> float:
        """The highest score that the margins allow; without positives or margins, none."""
        if not self.needs_positive_scores or not positive_scores:
            return math.inf
        least = min(positive_scores)
        # Of a negative score a share is added, not taken: the ceiling stays below the positive.
        relative = least - abs(least) * (self.relative_margin or 0.0)
        return min(relative, least - (self.absolute_margin or 0.0))


class Known:
    """What answers a query, and the query itself: no candidate may repeat them.

    By id, by text (case and white space aside), and by the share of common three-word runs.
    """

    def __init__(self, query: str, positives: Sequence[Document], threshold: float | None):
        self.ids = {document.doc_id for document in positives}
        texts = [query, *(text for p in positives for text in {p.text, p.contents()})]
        self._hashes = {text_hash(text) for text in texts}
        self._seen: set[int] = set()
        near = texts if threshold is not None else ()
        self._shingles = [duplicates.shingles(duplicates.words(text)) for text in near]
        self._threshold = threshold or 1.0

    def first(self, document: Document) -> bool:
        """Whether this is the first candidate with its text; the next one is not."""
        before = len(self._seen)
        self._seen.add(text_hash(document.contents()))
        return len(self._seen) > before

    def repeats(self, document: Document) -> str:
        """Why the document may be no negative: "positive", "near duplicate", or "" for neither."""
        texts = {document.text, document.contents()}
        if document.doc_id in self.ids or any(text_hash(text) in self._hashes for text in texts):
            return "positive"
        for text in texts if self._shingles else ():
            words = duplicates.words(text)
            # A set of fewer runs than a share of the other's cannot have that share in common.
            rivals = [k for k in self._shingles if len(words) >= self._threshold * len(k)]
            each = duplicates.shingles(words) if rivals else set()
            if any(duplicates.jaccard(each, known) >= self._threshold for known in rivals):
                return "near duplicate"
        return ""


def in_window(
    hits: Sequence[ScoredDocument],
    rules: Rules,
    positive_scores: Sequence[float],
    drops: Counter[str],
) -> list[ScoredDocument]:
    """The hits (best first, no positive) that scores, margins and ranks allow; `drops` counts."""
    ceiling = rules.ceiling(positive_scores)
    left = []
    for hit in hits:
        if hit.score > ceiling:
            drops["within the margin"] += 1
        elif rules.max_score is not None and hit.score > rules.max_score:
            drops["above max_score"] += 1
        elif rules.min_score is not None and hit.score < rules.min_score:
            drops["below min_score"] += 1
        else:
            left.append(hit)
    kept = left[rules.first_rank - 1 : rules.last_rank]
    drops["outside the ranks"] += len(left) - len(kept)
    return kept


def allowed(
    hits: Sequence[ScoredDocument],
    texts: Mapping[str, Document],
    known: Known,
    drops: Counter[str],
    *,
    held_out: Callable[[Document], bool],
    answers: Callable[[str], bool] | None = None,
) -> list[ScoredDocument]:
    """The hits that are no positive, no near duplicate of one or of each other, nor held out.

    answers: whether a text holds an answer to the query (DPR: such a passage is no negative).
    Called again with further hits of the query, it remembers the texts of the earlier ones.
    """
    kept = []
    for hit in hits:
        document = texts[hit.doc_id]
        why = known.repeats(document)
        if not why and held_out(document):
            why = "held out"
        if not why and answers is not None and answers(document.contents()):
            why = "holds the answer"
        if not why and not known.first(document):
            why = "same text twice"
        if why:
            drops[why] += 1
        else:
            kept.append(hit)
    return kept


def choose(
    hits: Sequence[ScoredDocument], rules: Rules, seed: int, query_id: str, drops: Counter[str]
) -> list[ScoredDocument]:
    """`count` of the hits: the best, or a draw that is a function of (seed, query_id)."""
    drops["over count"] += max(0, len(hits) - rules.count)
    if rules.sampling == "top" or len(hits) <= rules.count:
        return list(hits[: rules.count])
    draw = np.random.default_rng(text_hash(f"{seed} {query_id}"))
    places = sorted(draw.choice(len(hits), rules.count, replace=False).tolist())
    return [hits[place] for place in places]
