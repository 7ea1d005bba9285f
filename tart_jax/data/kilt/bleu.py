"""BLEU of one text against one reference (Papineni et al., 2002), without smoothing."""

import math
from collections import Counter
from collections.abc import Sequence

ORDER = 4


def bleu(hypothesis: Sequence[str], reference: Sequence[str]) -> float:
    """Geometric mean of the clipped n-gram precisions, n up to 4, times the brevity penalty.

    Texts shorter than four words count n-grams up to their own length, as KILT's scores do
    (sacrebleu smooths instead, and splits words its own way). 0 where either text is empty.
    """
    order = min(ORDER, len(hypothesis), len(reference))
    if not order:
        return 0.0
    logs = 0.0
    for n in range(1, order + 1):
        ours, theirs = _ngrams(hypothesis, n), _ngrams(reference, n)
        matches = (ours & theirs).total()  # each n-gram as often as the reference has it, at most
        if not matches:
            return 0.0
        logs += math.log(matches / ours.total())
    brevity = min(0.0, 1 - len(reference) / len(hypothesis))
    return math.exp(brevity + logs / order)


def _ngrams(words: Sequence[str], n: int) -> Counter[tuple[str, ...]]:
    return Counter(tuple(words[i : i + n]) for i in range(len(words) - n + 1))
