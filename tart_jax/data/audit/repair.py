"""A cleaned copy of training data, and the count of every change."""

import json
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from tart_jax import io
from tart_jax.data import examples
from tart_jax.data.audit import keys as keying
from tart_jax.data.audit import texts
from tart_jax.data.audit.leakage import TestTexts
from tart_jax.data.audit.records import DOCUMENT_FIELDS, Item
from tart_jax.data.audit.spill import LOW_BITS, Keys, Spill
from tart_jax.types import InputError

Changes = Counter[str]  # fault -> what was changed or removed on its account


def repair(
    items: Iterable[Item], path: Path, *, tests: TestTexts, folder: Path, limit: int
) -> tuple[Changes, int]:
    """Writes the cleaned examples to `path`; returns the changes and how many examples remain.

    Repeats are told on the cleaned examples: what differed by a control character only is one, too.
    """
    changes: Changes = Counter()
    wholes = Spill(folder, "cleaned", limit // 4)
    draft = folder / "draft.jsonl"
    with draft.open("w", encoding="utf-8") as file:
        for ordinal, (line, whole) in enumerate(_cleaned(items, tests, changes)):
            wholes.append(whole, 0, (ordinal << LOW_BITS).to_bytes(8, "little"), 0)
            file.write(line)
    repeats = _repeats(wholes, folder)
    changes["duplicate_example"] += len(repeats)
    kept = 0
    with io.writing(path) as aside, draft.open(encoding="utf-8", newline="\n") as source:
        with aside.open("w", encoding="utf-8", newline="\n") as file:
            for ordinal, line in enumerate(source):
                if ordinal not in repeats:
                    file.write(line)
                    kept += 1
    draft.unlink()
    return +changes, kept


def _repeats(wholes: Spill, folder: Path) -> Keys:
    """The ordinals of examples that equal an earlier one."""
    ordinals = Spill(folder, "ordinals", 1 << 24)
    for part in wholes.groups():
        again = np.flatnonzero(part[1:, 0] == part[:-1, 0]) + 1
        ordinals.extend(np.repeat(part[again, 1:] >> np.uint64(LOW_BITS), 2, axis=1))
    keys = Keys(folder / "repeats")
    for part in ordinals.groups():
        keys.extend(part[:, 0])
    return keys


def _cleaned(
    items: Iterable[Item], tests: TestTexts, changes: Changes
) -> Iterator[tuple[str, bytes]]:
    """The line of each example that stays, and the digest by which it is compared."""
    for item in items:
        if item.problem:
            changes["malformed"] += 1
            continue
        if not item.is_example:  # a corpus
            continue
        item = clean(item, changes)
        keys = keying.of(item)
        reason = _remove_documents(item, keys, tests, changes)
        if reason:
            changes[reason] += 1
            continue
        record = to_record(item)
        try:
            examples.parse(record, item.where)
        except InputError:
            changes["malformed"] += 1
            continue
        yield _line(record), keying.of(item).whole


def _line(record: dict[str, Any]) -> str:
    return json.dumps(record, ensure_ascii=False) + "\n"


def clean(item: Item, changes: Changes) -> Item:
    """The item without control characters, surrogates, unknown keys and stray separators."""
    if item.extra:
        changes["unknown_key"] += 1
    query = _strip(item.query or "", changes)
    instruction = None if item.instruction is None else texts.clean(item.instruction)
    found = texts.separator_oddities(query, instruction)
    if "nan_instruction" in found:
        changes["nan_instruction"] += 1
        query = texts.without_nan(query)
        if (instruction or "").strip().lower() == "nan":
            instruction = None
    if "instruction_twice" in found:
        changes["instruction_twice"] += 1
        query = texts.bare_query(query) or ""
    bare = texts.without_leading_separator(query)
    changes["leading_separator"] += bare != query
    documents = []
    for doc in item.documents:
        contents = doc.contents()
        if contents.isascii() and contents.isprintable():
            documents.append(doc)
            continue
        _strip(contents, changes)
        doc_id, text, title = map(texts.clean, (doc.doc_id, doc.text, doc.title))
        documents.append(doc._replace(doc_id=doc_id, text=text, title=title))
    return replace(
        item,
        task=texts.clean(item.task),
        query_id=texts.clean(item.query_id),
        query=bare,
        instruction=instruction,
        documents=documents,
        extra=(),
    )


def _strip(text: str, changes: Changes) -> str:
    without = texts.without_controls(text)
    changes["control_character"] += without != text
    cleaned = texts.clean(without)
    changes["lone_surrogate"] += cleaned != without
    return cleaned


def _remove_documents(item: Item, keys: keying.Keys, tests: TestTexts, changes: Changes) -> str:
    """Takes out documents in place; why the whole example goes, "" where it stays."""
    if not keys.query:
        return "empty_query"
    if not any(doc.kind == 0 for doc in item.documents):
        return "no_positive"
    leaked = keying.leaks(item, keys, tests)
    if leaked is not None and (leaked.query or leaked.query_run):
        return "leaked_query" if leaked.query else "ngram_leak"
    own = keying.own_negatives(item, keys)
    reasons = {}
    for place, text in enumerate(keys.documents):
        if not text:
            reasons[place] = "empty_document"
        elif leaked is not None and leaked.document(place):
            reasons[place] = "leaked_document" if leaked.documents[place] else "ngram_leak"
        elif place in own:
            reasons[place] = own[place]
    changes.update(reasons.values())
    if reasons:
        item.documents = [doc for place, doc in enumerate(item.documents) if place not in reasons]
    return "" if any(doc.kind == 0 for doc in item.documents) else "last_positive"


def to_record(item: Item) -> dict[str, Any]:
    """The JSON object of a training example."""
    record: dict[str, Any] = {"task": item.task, "query_id": item.query_id, "query": item.query}
    for key in DOCUMENT_FIELDS:
        record[key] = []
    for doc in item.documents:
        fields = {"doc_id": doc.doc_id, "title": doc.title, "text": doc.text}
        scored = {} if doc.score is None else {"score": doc.score}
        record[DOCUMENT_FIELDS[doc.kind]].append(fields | scored)
    if item.instruction is not None:
        record["instruction"] = item.instruction
    return record
