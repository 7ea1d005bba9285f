"""Instances to read: of each task the same few at every run, whatever their order in the file."""

import heapq
import textwrap

from tart_jax.data.audit import texts
from tart_jax.data.audit.faults import printable
from tart_jax.data.audit.records import KINDS, Item

SHOWN = 400  # characters of a text
DOCUMENTS = 2  # documents of a kind


class Reservoir:
    """The `size` items of each task with the smallest hash of seed, query and first document."""

    def __init__(self, size: int, seed: int):
        self._size, self._seed = size, seed
        self._heaps: dict[str, list[tuple[int, int, Item]]] = {}
        self._seen = 0

    def add(self, item: Item) -> None:
        if not self._size or item.problem:
            return
        first = item.documents[0].contents() if item.documents else ""
        named = f"{self._seed}\0{item.query_id}\0{item.query}\0{first}"
        hashed = int.from_bytes(texts.digest(named.encode("utf-8", "surrogatepass")), "big")
        self._seen += 1
        entry, heap = (-hashed, self._seen, item), self._heaps.setdefault(item.task, [])
        if len(heap) < self._size:
            heapq.heappush(heap, entry)
        elif entry[0] > heap[0][0]:
            heapq.heapreplace(heap, entry)

    def items(self) -> list[Item]:
        """By task; within one in order of hash."""
        return [
            item
            for task in sorted(self._heaps)
            for _, _, item in sorted(self._heaps[task], key=lambda entry: (-entry[0], entry[1]))
        ]


def described(item: Item) -> str:
    """An item in plain lines; control characters are shown, not obeyed."""
    rows = [f"[{printable(item.task)}] {item.where}"]
    if item.instruction:
        rows.append(f"  instruction: {_cut(item.instruction)}")
    if item.query is not None:
        rows.append(f"  query: {_cut(item.query)}")
    for kind, name in enumerate(KINDS):
        documents = [doc for doc in item.documents if doc.kind == kind]
        for doc in documents[:DOCUMENTS]:
            label = f"  {name} {printable(doc.doc_id)}: "
            rows.append(
                textwrap.fill(
                    _cut(doc.contents()), 110, initial_indent=label, subsequent_indent=" " * 6
                )
            )
        if len(documents) > DOCUMENTS:
            rows.append(f"  ... {len(documents) - DOCUMENTS:,} more {name}")
    return "\n".join(rows)


def _cut(text: str) -> str:
    shown = printable(" ".join(text[: SHOWN + 1].split()))
    return shown if len(text) <= SHOWN else f"{shown} ..."
