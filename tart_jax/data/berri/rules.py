"""The rules that all BERRI tasks share: what a converter gives becomes examples, documents, counts.

Nothing here depends on the order of records, so builds on one or many workers agree.
"""

import hashlib
import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import NamedTuple

from tart_jax.data import examples
from tart_jax.data.berri.task import Dropped, Instance, Task, Text
from tart_jax.data.examples import TrainingExample
from tart_jax.types import Document, InputError


class Lost(NamedTuple):
    """Something that left the build. what: "record" (an instance) or "text" (of an instance)."""

    what: str
    reason: str


def refined(task: Task, paths: Sequence[Path]) -> Iterator[TrainingExample | Document | Lost]:
    """The documents of a unit, its examples (without random negatives), and what was lost.

    Every document of the source comes out, also those of instances that are dropped; not yet each
    once. InputError: from the converter, or a key that is no text.
    """
    for item in task.convert(tuple(paths)):
        if isinstance(item, Dropped):
            yield Lost("record", item.reason)
        elif isinstance(item, Text):
            found = document(item)
            yield found or Lost("text", "empty document")
        else:
            yield from _refined_instance(task, item)


def _refined_instance(
    task: Task, instance: Instance
) -> Iterator[TrainingExample | Document | Lost]:
    if not isinstance(instance.key, str) or not instance.key.strip():
        raise InputError(f"task {task.name}: a converter gave the key {instance.key!r}, no text.")
    positives: dict[str, Document] = {}
    for text in instance.positives:
        found = document(text)
        if not found or found.doc_id in positives:
            yield Lost("text", "repeated positive" if found else "empty positive")
        else:
            yield found
            positives[found.doc_id] = found
    negatives: dict[str, Document] = {}
    for text in instance.hard_negatives:
        found = document(text)
        if not found or found.doc_id in negatives:
            yield Lost("text", "repeated negative" if found else "empty negative")
            continue
        yield found
        if same_text(found, positives.values()):
            yield Lost("text", "negative equal to a positive")
        else:
            negatives[found.doc_id] = found
    query = cleaned(instance.query)
    if not query:
        yield Lost("record", "empty query")
    elif len(query) < task.shortest_query:
        yield Lost("record", "short query")
    elif not positives:
        yield Lost("record", "no positive")
    else:
        yield TrainingExample(
            task.name,
            instance.key,
            query,
            tuple(positives.values()),
            hard_negatives=tuple(negatives.values()),
        )


def document(text: Text) -> Document | None:
    """With its id; None where the text is empty or no text."""
    body, title = cleaned(text.text), cleaned(text.title)
    return Document(doc_id(body, title), body, title) if body else None


def cleaned(value: object) -> str:
    """Without NUL bytes, lone surrogates (no UTF-8 can hold them) and outer white space."""
    if not isinstance(value, str):
        return ""
    value = value.replace("\0", "")
    if not value.isascii():
        value = value.encode("utf-8", "ignore").decode("utf-8")
    return value.strip()


def even(text: str) -> str:
    """With each run of white space made one space."""
    return " ".join(text.split())


def doc_id(text: str, title: str = "") -> str:
    """20 hex characters of title and text with white space evened out: equal texts are one."""
    content = f"{even(title)}\0{even(text)}".encode()
    return hashlib.blake2b(content, digest_size=10).hexdigest()


def same_text(document: Document, others: Iterable[Document]) -> bool:
    """Whether one of the others has this text, whatever their titles."""
    text = even(document.text)
    return any(text == even(other.text) for other in others)


def key_hash(key: str) -> int:
    """64 bits: where an instance stands when a cap keeps the smallest."""
    return _hash(key)


def content_hash(example: TrainingExample) -> int:
    """64 bits of the query and the positives; two instances that share them are one."""
    ids = sorted(document.doc_id for document in example.positives)
    return _hash("\0".join([even(example.query), *ids]))


def _hash(text: str) -> int:
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "little")


def draws(seed: int, key: str, count: int, size: int) -> list[int]:
    """`count` different positions of `size` (all, where there are fewer), a function of the rest.

    Made of hashes, so that they are the same with any version of any library.
    """
    count = min(count, size)
    found: dict[int, None] = {}
    turn = 0
    while len(found) < count:
        found[_hash(f"{seed}\0{key}\0{turn}") % size] = None
        turn += 1
    return list(found)


def candidates(example: TrainingExample, num_negatives: int, seed: int, size: int) -> list[int]:
    """Positions in a corpus of `size` where random negatives are looked for: some more than needed,
    as positives may be met."""
    if not num_negatives:
        return []
    count = num_negatives + 2 * len(example.positives)
    return draws(seed, example.query_id, count, size)


def with_negatives(
    example: TrainingExample, documents: Iterable[Document], num_negatives: int
) -> TrainingExample:
    """The example with the first of the documents whose text is no positive's."""
    chosen = (d for d in documents if not same_text(d, example.positives))
    return replace(example, negatives=tuple(islice(chosen, num_negatives)))


def document_json(document: Document) -> bytes:
    """What the builders store of a document, on its way to TFDS."""
    fields = {"doc_id": document.doc_id, "title": document.title, "text": document.text}
    return json.dumps(fields, ensure_ascii=False).encode()


def example_json(example: TrainingExample) -> bytes:
    """What the builders store of an example; unfollowing negatives and instructions come later."""
    record = examples.to_record(example)
    del record["unfollowing_negatives"]
    return json.dumps(record, ensure_ascii=False).encode()


def parse_json(value: bytes) -> TrainingExample:
    return examples.parse(json.loads(value), "converted instance")
