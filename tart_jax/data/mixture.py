"""Several sources as one stream of training examples: which tasks, and how much of each."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

import numpy as np

from tart_jax.data.examples import TrainingExample
from tart_jax.data.sources import ExampleSource, JsonlSource, open_source
from tart_jax.types import InputError

MIXINGS = ("proportional", "temperature", "equal", "downsample", "explicit")


class View:
    """Some examples of sources, read where they lie."""

    def __init__(self, sources: Sequence[ExampleSource], places: np.ndarray):
        """places: positions in the sources laid end to end."""
        self._sources = list(sources)
        self._ends = np.cumsum([len(source) for source in sources])
        self.places = places

    def __len__(self) -> int:
        return len(self.places)

    def __getitem__(self, index: int) -> TrainingExample:
        place = int(self.places[index])
        number = int(np.searchsorted(self._ends, place, side="right"))
        return self._sources[number][place - (int(self._ends[number - 1]) if number else 0)]


class Component(NamedTuple):
    """One task of a mixture. `share`: of the examples drawn, in the long run; all sum to 1."""

    task: str
    examples: View
    share: float


@dataclass(frozen=True)
class Mixture:
    """What a run trains on. `fingerprint` changes with any example and any option of the mixture.

    together: all examples, where shares are proportional: one shuffle of them, so that a pass holds
    each once. None: each task is shuffled on its own and drawn at its share.
    epoch: examples that count as one pass. uninstructed: tasks with examples that take their
    instruction from a table.
    """

    components: tuple[Component, ...]
    together: View | None
    epoch: int
    uninstructed: frozenset[str]
    fingerprint: str


def open_sources(paths: str) -> dict[str, ExampleSource]:
    """path -> source of a comma-separated list of files, TFDS folders and folders of such.

    InputError: a path that does not exist or holds no training data.
    """
    found: dict[str, ExampleSource] = {}
    for word in (word.strip() for word in paths.split(",")):
        if not word or not Path(word).exists():
            raise InputError(
                f"config.data.train names {word!r}, which does not exist; name your examples, or"
                " make some: tart-jax prepare --config=configs/prepare/python_library.py"
                " --workdir=runs/python_library"
            )
        found |= {str(path): open_source(path) for path in _expand(Path(word))}
    return found


def _expand(path: Path) -> list[Path]:
    if path.is_file() or (path / "dataset_info.json").is_file():
        return [path]
    files = sorted(path.glob("*.jsonl"))
    # A TFDS corpus lies beside its examples; only the latter have queries.
    sets = [info.parent for info in sorted(path.rglob("features.json")) if _has_queries(info)]
    if not files and not sets:
        raise InputError(f"folder {path} holds neither .jsonl files nor TFDS folders of examples.")
    return files + sets


def _has_queries(features: Path) -> bool:
    return '"query"' in features.read_text("utf-8")


def mix(
    sources: Mapping[str, ExampleSource],
    *,
    mixing: str,
    temperature: float = 1.0,
    weights: Mapping[str, float] | None = None,
    cap: int = 0,
    limit: int = 0,
    held_out: Sequence[str] = (),
    seed: int = 0,
) -> Mixture:
    """The mixture of all tasks of all sources; the same task in several sources is one component.

    mixing: shares are "proportional" to the tasks' sizes, to size^(1/temperature) ("temperature",
    as mT5), "equal" (as one of multi-task DPR's two), to min(size, limit) ("downsample", its other:
    the larger sets are drawn more seldom, over time whole), or the `weights` ("explicit").
    cap: at most so many examples of a task, always the same ones; 0: all. held_out: tasks left out.
    InputError: a task or an option that does not fit.
    """
    if mixing not in MIXINGS:
        raise InputError(f"config.data.mixing {mixing!r} is not one of {', '.join(MIXINGS)}.")
    # In the order of their content, so that batches do not depend on where files lie.
    ordered = sorted(sources.values(), key=lambda source: source.fingerprint)
    places = by_task(ordered)
    _check_names(held_out, places, "held_out")
    kept = {task: _capped(p, cap, seed) for task, p in places.items() if task not in held_out}
    if not kept:
        raise InputError("config.data.held_out leaves no task to train on.")
    sizes = {task: len(p) for task, p in kept.items()}
    raw = _raw_shares(sizes, mixing, temperature, weights or {}, limit)
    kept = {task: p for task, p in kept.items() if raw[task]}
    total = sum(raw.values())
    components = tuple(Component(t, View(ordered, p), raw[t] / total) for t, p in kept.items())
    everything = np.sort(np.concatenate(list(kept.values())))
    return Mixture(
        components,
        View(ordered, everything) if mixing == "proportional" else None,
        round(total) if mixing == "downsample" else len(everything),
        frozenset(kept).intersection(*[[t for s in ordered for t in s.tasks]]),
        _fingerprint(
            [source.fingerprint for source in ordered],
            [mixing, temperature, sorted((weights or {}).items()), limit],
            [cap, sorted(held_out), seed if cap else 0],
        ),
    )


def _fingerprint(digests: list[str], shares: list, choice: list) -> str:
    """One source as it is keeps its own: the SHA-256 of its file."""
    if len(digests) == 1 and shares[0] == "proportional" and choice == [0, [], 0]:
        return digests[0]
    return hashlib.sha256(json.dumps([digests, shares, choice]).encode()).hexdigest()


def by_task(sources: Sequence[ExampleSource]) -> dict[str, np.ndarray]:
    """task -> positions in the sources laid end to end. A TFDS folder is of its first's task."""
    found: dict[str, list[np.ndarray]] = {}
    start = 0
    for source in sources:
        whole = {source[0].task: np.arange(len(source))}
        places = source.places() if isinstance(source, JsonlSource) else whole
        for task, positions in places.items():
            found.setdefault(task, []).append(start + positions)
        start += len(source)
    return {task: np.concatenate(parts) for task, parts in sorted(found.items())}


def reread(mixture: Mixture, source: JsonlSource) -> Mixture:
    """The mixture, its examples now read from `source`, which has each task's in the same order.

    So what they hold may change, and no draw of them does. InputError: it has other numbers.
    """
    places = source.places()
    for task, examples, _ in mixture.components:
        found = len(places.get(task, ()))
        if found != len(examples):
            raise InputError(
                f"{source.path} holds {found} examples of {task} where the training data have"
                f" {len(examples)}; remove it, and it is made anew."
            )
    components = tuple(
        Component(task, View([source], places[task]), share)
        for task, _, share in mixture.components
    )
    together = None
    if mixture.together is not None:
        # There the tasks may be mingled, as in the files; here each stands apart.
        before = np.concatenate([part.examples.places for part in mixture.components])
        now = np.concatenate([places[part.task] for part in components])
        together = View([source], now[np.argsort(before)])
    digest = hashlib.sha256(f"{mixture.fingerprint} {source.fingerprint}".encode()).hexdigest()
    return replace(mixture, components=components, together=together, fingerprint=digest)


def _capped(places: np.ndarray, cap: int, seed: int) -> np.ndarray:
    if not cap or len(places) <= cap:
        return places
    return np.sort(np.random.default_rng(seed).permutation(places)[:cap])


def _raw_shares(
    sizes: Mapping[str, int],
    mixing: str,
    temperature: float,
    weights: Mapping[str, float],
    limit: int,
) -> dict[str, float]:
    if weights and mixing != "explicit":
        raise InputError(f"config.data.weights need mixing 'explicit', not {mixing!r}.")
    if mixing == "temperature":
        if temperature <= 0:
            raise InputError(
                f"config.data.temperature is {temperature}; 1 is proportional, 3 usual."
            )
        return {task: size ** (1 / temperature) for task, size in sizes.items()}
    if mixing == "downsample":
        if limit < 1:
            raise InputError("mixing 'downsample' needs config.data.limit, examples of a task.")
        return {task: float(min(size, limit)) for task, size in sizes.items()}
    if mixing == "explicit":
        _check_names(weights, sizes, "weights")
        missing = sorted(set(sizes) - set(weights))
        if missing or min(weights.values()) < 0 or not any(weights.values()):
            raise InputError(
                f"config.data.weights should give every task a number of 0 or more, not all 0;"
                f" {', '.join(missing) or 'none'} missing, there are {dict(weights)}."
            )
        return dict(weights)
    return {task: float(size) if mixing == "proportional" else 1.0 for task, size in sizes.items()}


def _check_names(names: Sequence[str] | Mapping[str, float], tasks: Mapping, key: str) -> None:
    unknown = sorted(set(names) - set(tasks))
    if unknown:
        raise InputError(
            f"config.data.{key} names the task {unknown[0]!r}; the data have"
            f" {', '.join(sorted(tasks))}."
        )


def parse_weights(words: Sequence[str]) -> dict[str, float]:
    """("nq=2", "fever=0.5") as a dictionary. InputError: not of that form."""
    weights = {}
    for word in words:
        task, _, number = word.rpartition("=")
        try:
            weights[task] = float(number)
        except ValueError:
            task = ""
        if not task:
            raise InputError(f"config.data.weights: {word!r} should look like 'task=2.5'.")
    return weights
