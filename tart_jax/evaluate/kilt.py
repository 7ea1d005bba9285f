"""KILT's scores of retrieval and of answers, as its own scripts compute them.

Petroni et al. 2021, "KILT: a Benchmark for Knowledge Intensive Language Tasks", section 4. Gold
evidence of an item is a list of outputs; each output's provenance is one evidence set.
"""

import re
import string
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from tart_jax.types import InputError

PAGE = ("wikipedia_id",)
PASSAGE = ("wikipedia_id", "end_paragraph_id")  # as the multi-task retriever counts passages
CUTOFFS = (1, 5, 10, 20)
Item = Mapping[str, Any]  # a line of a KILT file


def retrieval(
    gold: Sequence[Item],
    guesses: Mapping[str, Item],
    *,
    keys: Sequence[str] = PAGE,
    cutoffs: Sequence[int] = CUTOFFS,
) -> dict[str, dict[str, float]]:
    """Rprec, precision@k, and for k > 1 recall@k and success_rate@k, by item id.

    gold: items of a KILT file; guesses: by id, one output each. keys: what makes a page or a
    passage. InputError: a guess is missing or has not exactly one output.
    """
    scores: dict[str, dict[str, float]] = {}
    for item in gold:
        guess = _only_output(guesses, str(item["id"]))
        found = list(dict.fromkeys(_ids(guess, keys)))
        # Equal sets are one; an output that has an empty provenance is a set that none can find.
        outputs = [x for x in item["output"] if "provenance" in x]
        sets = list({frozenset(_ids(output, keys)): None for output in outputs})
        ranked = _ranked(found, sets)
        row = {"Rprec": _r_precision(found, [_ids(output, keys) for output in item["output"]])}
        for k in cutoffs:
            hits = sum(ranked[:k])
            row[f"precision@{k}"] = hits / k
            if k > 1:
                row[f"recall@{k}"] = hits / len(sets) if sets else 0.0
                row[f"success_rate@{k}"] = float(hits > 0)
        if not sets:
            row = {name: value if name == "Rprec" else 0.0 for name, value in row.items()}
        scores[str(item["id"])] = row
    return scores


def downstream(gold: Sequence[Item], guesses: Mapping[str, Item]) -> dict[str, dict[str, float]]:
    """accuracy, em, f1, rougel and their KILT- forms, by item id.

    A KILT- score counts only where the page-level R-precision is 1.
    """
    pages = retrieval(gold, guesses, cutoffs=())
    scores = {}
    for item in gold:
        name = str(item["id"])
        answer = str(_only_output(guesses, name).get("answer") or "").strip()
        golds = [str(x["answer"]).strip() for x in item["output"] if x.get("answer")]
        row = {
            "accuracy": float(bool(answer) and answer in golds),
            "em": _best(_exact, answer, golds),
            "f1": _best(_f1, answer, golds),
            "rougel": _best(rouge_l, answer, golds),
        }
        right = pages[name]["Rprec"] == 1
        scores[name] = row | {f"KILT-{key}": right * value for key, value in row.items()}
    return scores


def means(scores: Mapping[str, Mapping[str, float]]) -> dict[str, float]:
    """The plain mean over items of each score."""
    names = next(iter(scores.values()), {})
    return {name: sum(row[name] for row in scores.values()) / len(scores) for name in names}


def _only_output(guesses: Mapping[str, Item], name: str) -> Mapping[str, Any]:
    outputs = guesses[name]["output"] if name in guesses else []
    if len(outputs) != 1:
        raise InputError(
            f"item {name}: KILT wants exactly one output in a prediction, there are {len(outputs)}."
        )
    return outputs[0]


def _ids(output: Mapping[str, Any], keys: Sequence[str]) -> list[str]:
    rows = output.get("provenance") or []
    if lacking := [key for row in rows for key in keys if key not in row]:
        raise InputError(
            f"a provenance has no {lacking[0]}: {str(rows[0])[:80]}; entity linking names pages"
            " alone, score it by Rprec, not passage-Rprec."
        )
    return ["+".join(str(row[key]).strip() for key in keys) for row in rows]


def _r_precision(found: Sequence[str], golds: Sequence[Sequence[str]]) -> float:
    """The best over gold outputs of the share of its R ids that stand among the first R."""
    best = 0.0
    for gold in golds:
        wanted = set(gold)
        if wanted:
            best = max(best, len(wanted & set(found[: len(wanted)])) / len(wanted))
    return best


def _ranked(found: Sequence[str], sets: Sequence[frozenset[str]]) -> list[bool]:
    """Hits and misses, where an evidence set stands at the place of its last member.

    Members of a set that is not complete yet take no place; one that never is leaves a miss.
    """
    left = [set(one) for one in sets]
    places: list[tuple[int, bool]] = []
    seen: dict[int, int] = {}
    for place, name in enumerate(found):
        inside = [number for number, one in enumerate(sets) if name in one]
        if not inside:
            places.append((place, False))
        for number in inside:
            left[number].discard(name)
            seen[number] = place
            if not left[number]:
                places.append((place, True))
    places += [(seen[n], False) for n, one in enumerate(left) if one and n in seen]
    return [hit for _, hit in sorted(places, key=lambda pair: pair[0])]


def _best(score: Callable[[str, str], float], answer: str, golds: Sequence[str]) -> float:
    return max((score(answer, gold) for gold in golds), default=0.0) if answer else 0.0


def _normalised(text: str) -> str:
    """SQuAD's: lower case, without punctuation, articles and further white space."""
    text = "".join(char for char in text.lower() if char not in string.punctuation)
    return " ".join(re.sub(r"\b(a|an|the)\b", " ", text).split())


def _exact(answer: str, gold: str) -> float:
    return float(_normalised(answer) == _normalised(gold))


def _f1(answer: str, gold: str) -> float:
    ours, theirs = _normalised(answer).split(), _normalised(gold).split()
    same = sum((Counter(ours) & Counter(theirs)).values())
    if not same:
        return 0.0
    precision, recall = same / len(ours), same / len(theirs)
    return 2 * precision * recall / (precision + recall)


def rouge_l(answer: str, gold: str) -> float:
    """F of the summary-level ROUGE-L of rouge 1.0.1, which KILT uses.

    Sentences end at "."; of each gold sentence the union over the answer's sentences of the words
    on a longest common subsequence, over sets of words. A perfect match is 0.999999995.
    """
    ours, theirs = _sentences(answer), _sentences(gold)
    if not ours or not theirs:
        return 0.0
    common = set[str]()
    for sentence in theirs:
        for other in ours:
            common |= set(_common_subsequence(sentence, other))
    recall = len(common) / len({word for sentence in theirs for word in sentence})
    precision = len(common) / len({word for sentence in ours for word in sentence})
    return 2 * precision * recall / (precision + recall + 1e-8)


def _sentences(text: str) -> list[list[str]]:
    return [part.split() for part in text.split(".") if part.split()]


def _common_subsequence(one: Sequence[str], other: Sequence[str]) -> list[str]:
    table = [[0] * (len(other) + 1) for _ in range(len(one) + 1)]
    for i, word in enumerate(one, start=1):
        for j, candidate in enumerate(other, start=1):
            same = table[i - 1][j - 1] + 1
            table[i][j] = same if word == candidate else max(table[i - 1][j], table[i][j - 1])
    found, i, j = [], len(one), len(other)
    while i and j:
        if one[i - 1] == other[j - 1]:
            found.append(one[i - 1])
            i, j = i - 1, j - 1
        elif table[i - 1][j] > table[i][j - 1]:
            i -= 1
        else:
            j -= 1
    return found[::-1]
