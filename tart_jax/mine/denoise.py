"""A cross-encoder's second look at candidates: relabelling, and scores to distil (TART, 4.2)."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from tart_jax.search.rerank import scaled
from tart_jax.types import InputError, ScoredDocument

NORMALIZATIONS = ("sigmoid", "min_max", "none")


@dataclass(frozen=True)
class Thresholds:
    """What a teacher's score makes of a candidate.

    Normalised, below `negative_below` it is a hard negative, above `positive_above` a positive,
    between them it is dropped. normalization: "sigmoid" of a logit (or of the difference of two:
    the probability of relevant), "min_max" over the query's candidates, or "none".
    """

    negative_below: float = 0.1
    positive_above: float = 0.9
    normalization: str = "sigmoid"

    def __post_init__(self) -> None:
        if self.normalization not in NORMALIZATIONS:
            raise InputError(
                f"normalization {self.normalization!r} is not one of {', '.join(NORMALIZATIONS)}."
            )
        if self.negative_below > self.positive_above:
            raise InputError(
                f"negative_below {self.negative_below} is more than positive_above"
                f" {self.positive_above}: a candidate would be both; lower it."
            )

    def normalized(self, scores: Float[np.ndarray, " n"]) -> Float[np.ndarray, " n"]:
        """float64, of one query's candidates."""
        values = scores.astype(np.float64)
        if self.normalization == "sigmoid":
            return 0.5 * (1 + np.tanh(values / 2))  # does not overflow
        return scaled(values) if self.normalization == "min_max" else values


def relabel(
    hits: Sequence[ScoredDocument],
    scores: Mapping[str, float],
    thresholds: Thresholds,
    counts: Counter[str],
) -> tuple[list[ScoredDocument], list[ScoredDocument]]:
    """(new positives, hard negatives) among the hits, each in the order of the hits.

    scores: doc_id -> the teacher's score, for every hit.
    """
    values = thresholds.normalized(np.array([scores[hit.doc_id] for hit in hits], np.float64))
    positives = [h for h, v in zip(hits, values, strict=True) if v > thresholds.positive_above]
    negatives = [h for h, v in zip(hits, values, strict=True) if v < thresholds.negative_below]
    counts["teacher says positive"] += len(positives)
    counts["teacher says negative"] += len(negatives)
    counts["teacher is unsure"] += len(hits) - len(positives) - len(negatives)
    return positives, negatives
