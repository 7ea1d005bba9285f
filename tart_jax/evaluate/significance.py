"""Whether a difference is more than the choice of queries: paired bootstrap and permutation."""

import statistics
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from tart_jax.types import InputError

BLOCK = 4_000_000  # numbers drawn at a time


class Interval(NamedTuple):
    """A mean and the ends of its confidence interval."""

    mean: float
    low: float
    high: float


def bootstrap(
    values: Sequence[float] | Float[np.ndarray, " n"],
    *,
    resamples: int = 10_000,
    level: float = 0.95,
    seed: int = 0,
) -> Interval:
    """The percentile bootstrap interval of a mean over queries (Efron, 1979; Sakai, SIGIR 2006).

    With per-query differences of two systems as the values, this is the paired bootstrap.
    """
    values = np.asarray(values, np.float64)
    if not len(values):
        raise InputError("there are no per-query scores to resample.")
    rng = np.random.default_rng(seed)
    means = np.concatenate(
        [
            values[rng.integers(0, len(values), (rows, len(values)))].mean(axis=1)
            for rows in _blocks(resamples, len(values))
        ]
    )
    low, high = np.quantile(means, [(1 - level) / 2, (1 + level) / 2])
    return Interval(float(values.mean()), float(low), float(high))


def paired_bootstrap(
    ours: Mapping[str, float],
    theirs: Mapping[str, float],
    *,
    resamples: int = 10_000,
    level: float = 0.95,
    seed: int = 0,
) -> Interval:
    """The interval of the mean difference `ours - theirs` over the same queries.

    ours, theirs: query_id -> score, as `Evaluation.per_query[measure]`. InputError: other queries.
    """
    return bootstrap(_differences(ours, theirs), resamples=resamples, level=level, seed=seed)


def permutation_p_value(
    ours: Mapping[str, float],
    theirs: Mapping[str, float],
    *,
    resamples: int = 10_000,
    seed: int = 0,
) -> float:
    """Two-sided p of Fisher's randomisation test: how often random signs move the mean as far."""
    differences = _differences(ours, theirs)
    rng = np.random.default_rng(seed)
    # Sums over the same numbers in another order differ in the last bits; they are ties.
    bar = abs(differences.sum()) * (1 - 1e-12)
    reached = 0
    for rows in _blocks(resamples, len(differences)):
        signs = rng.integers(0, 2, (rows, len(differences)), np.int8) * 2 - 1
        reached += int((np.abs(signs @ differences) >= bar).sum())
    return (reached + 1) / (resamples + 1)


def holm(p_values: Mapping[str, float]) -> dict[str, float]:
    """p adjusted for the number of tests (Holm, 1979): reject where it is below the level."""
    adjusted, highest = {}, 0.0
    for place, name in enumerate(sorted(p_values, key=lambda name: p_values[name])):
        highest = max(highest, min(1.0, (len(p_values) - place) * p_values[name]))
        adjusted[name] = highest
    return {name: adjusted[name] for name in p_values}


def win_tie_loss(ours: Mapping[str, float], theirs: Mapping[str, float]) -> tuple[int, int, int]:
    """The queries on which ours is better, as good and worse; 1e-9 apart is as good."""
    differences = _differences(ours, theirs)
    wins, losses = int((differences > 1e-9).sum()), int((differences < -1e-9).sum())
    return wins, len(differences) - wins - losses, losses


def detectable_difference(
    ours: Mapping[str, float],
    theirs: Mapping[str, float],
    *,
    level: float = 0.05,
    power: float = 0.8,
) -> float:
    """The smallest true mean difference that a two-sided paired test of these queries would find.

    With that power at that level, by the normal approximation (Sakai, 2016, "Topic set size
    design"): (z of 1 - level/2, plus z of power) standard errors of the differences' mean.
    """
    differences = _differences(ours, theirs)
    if len(differences) < 2:
        return float("inf")
    quantile = statistics.NormalDist().inv_cdf
    error = differences.std(ddof=1) / np.sqrt(len(differences))
    return float((quantile(1 - level / 2) + quantile(power)) * error)


def macro_bootstrap(
    systems: Mapping[str, Sequence[np.ndarray]],
    *,
    resamples: int = 10_000,
    level: float = 0.95,
    seed: int = 0,
    weights: Sequence[float] | None = None,
) -> dict[str, Interval]:
    """For each system the mean over tasks of its mean over queries, with its percentile interval.

    systems: name -> one array of per-query scores for each task, queries in the same order in every
    system. Queries are resampled within their task, the same ones for all systems: the intervals
    are paired, and differences may be given as systems. weights: of the tasks; None: all the same.
    InputError: arrays of other lengths.
    """
    names = list(systems)
    shapes = {tuple(len(scores) for scores in systems[name]) for name in names}
    if len(shapes) != 1 or not all(next(iter(shapes))):
        raise InputError(f"paired scores need the same queries; the systems have {sorted(shapes)}.")
    rng = np.random.default_rng(seed)
    means = np.zeros((len(names), resamples))
    tasks = list(zip(*systems.values(), strict=True))
    parts = np.ones(len(tasks)) if weights is None else np.asarray(weights, np.float64)
    parts = parts / parts.sum()
    for part, arrays in zip(parts, tasks, strict=True):
        scores = np.stack([np.asarray(array, np.float64) for array in arrays])
        begin = 0
        for rows in _blocks(resamples, scores.size):
            drawn = rng.integers(0, scores.shape[1], (rows, scores.shape[1]))
            means[:, begin : begin + rows] += scores[:, drawn].mean(axis=2) * part
            begin += rows
    ends = np.quantile(means, [(1 - level) / 2, (1 + level) / 2], axis=1)
    centres = [float(parts @ [np.mean(array) for array in systems[name]]) for name in names]
    return {
        name: Interval(centre, float(low), float(high))
        for name, centre, low, high in zip(names, centres, *ends, strict=True)
    }


def _differences(ours: Mapping[str, float], theirs: Mapping[str, float]) -> np.ndarray:
    other = set(ours) ^ set(theirs)
    if other or not ours:
        raise InputError(
            f"paired scores need the same queries; {len(other)} of"
            f" {len(set(ours) | set(theirs))} are only in one of the two."
        )
    return np.array([ours[query_id] - theirs[query_id] for query_id in ours])


def _blocks(resamples: int, width: int) -> Iterator[int]:
    rows = max(1, BLOCK // width)
    for begin in range(0, resamples, rows):
        yield min(rows, resamples - begin)
