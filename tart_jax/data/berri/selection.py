"""Which instances of a task stay: each once, and under a cap those of the smallest hashes."""

from array import array

import numpy as np

from tart_jax.data.berri import rules
from tart_jax.data.examples import TrainingExample
from tart_jax.types import InputError


class Selection:
    """Two passes over the same instances in any order: add all, choose, then ask of each.

    Keeps 16 bytes an instance. Of instances with equal query and positives the one of the smallest
    key hash stands for all.
    """

    def __init__(self) -> None:
        self._keys, self._contents = array("Q"), array("Q")
        self._kept = np.zeros((2, 0), np.uint64)
        self._suspects: set[int] = set()
        self._contents_of: dict[str, int] = {}
        self.found = self.distinct = self.kept = 0

    def add(self, example: TrainingExample) -> None:
        self._keys.append(rules.key_hash(example.query_id))
        self._contents.append(rules.content_hash(example))

    def choose(self, cap: int | None) -> None:
        keys = np.frombuffer(self._keys, np.uint64)
        contents = np.frombuffer(self._contents, np.uint64)
        order = np.lexsort((keys, contents))
        first = np.ones(len(order), bool)
        first[1:] = contents[order[1:]] != contents[order[:-1]]
        keys, contents = keys[order[first]], contents[order[first]]
        order = np.lexsort((contents, keys))
        keys, contents = keys[order], contents[order]
        self._suspects = set(keys[1:][keys[1:] == keys[:-1]].tolist())
        self._kept = np.stack([keys[:cap], contents[:cap]])
        self.found, self.distinct, self.kept = len(self._keys), len(keys), self._kept.shape[1]
        self._keys, self._contents = array("Q"), array("Q")

    def keeps(self, example: TrainingExample) -> bool:
        """InputError: its key is that of another instance."""
        key, content = rules.key_hash(example.query_id), rules.content_hash(example)
        if key in self._suspects:  # two instances of one key, or (once in 10^4 builds) of one hash
            if self._contents_of.setdefault(example.query_id, content) != content:
                raise InputError(repeated_key(example.task, example.query_id))
        begin = np.searchsorted(self._kept[0], np.uint64(key), "left")
        end = np.searchsorted(self._kept[0], np.uint64(key), "right")
        return content in self._kept[1, begin:end].tolist()


def repeated_key(task: str, key: str) -> str:
    return f"task {task}: two different instances have the key {key!r}; keys are unique."
