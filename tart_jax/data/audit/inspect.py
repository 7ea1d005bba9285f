"""The faults of one item that can be told without any other."""

from collections.abc import Container

from tart_jax.data.audit import texts
from tart_jax.data.audit.faults import Tally
from tart_jax.data.audit.keys import EMPTY, Keys, Leaks, own_negatives
from tart_jax.data.audit.records import KINDS, Item


def inspect(
    item: Item, keys: Keys, leaked: Leaks | None, tally: Tally, instructed: Container[str] | None
) -> None:
    """Counts the item's own faults. instructed: tasks of the instruction table, None: no table."""
    if item.extra:
        tally.add("unknown_key", item.task, item.where, ", ".join(item.extra))
    if item.query is not None:
        _query(item, keys, tally)
    if item.is_example:
        if not any(doc.kind == 0 for doc in item.documents):
            tally.add("no_positive", item.task, item.where, item.query or "")
        if instructed is not None and _uninstructed(item) and item.task not in instructed:
            tally.add("missing_instruction", item.task, item.where, f"task {item.task}")
        for place, fault in own_negatives(item, keys).items():
            doc = item.documents[place]
            excerpt = f"{KINDS[doc.kind]}: {doc.doc_id}: {doc.contents()[:200]}"
            tally.add(fault, item.task, item.where, excerpt)
    _documents(item, keys, tally)
    if leaked is not None:
        _leaks(item, leaked, tally)


def _uninstructed(item: Item) -> bool:
    """The query waits for an instruction of the table: none of its own, none joined to it."""
    return item.instruction is None and texts.bare_query(item.query or "") is None


def _query(item: Item, keys: Keys, tally: Tally) -> None:
    query = item.query or ""
    faults = texts.separator_oddities(query, item.instruction)
    if keys.query == EMPTY:
        faults.append("empty_query")
    faults += texts.oddities(query, keys.folded[0])
    for fault in faults:
        tally.add(fault, item.task, item.where, f"query: {around(query, fault)}")


def _documents(item: Item, keys: Keys, tally: Tally) -> None:
    for doc, folded in zip(item.documents, keys.folded[1:], strict=True):
        if not folded:
            tally.add("empty_document", item.task, item.where, f"{KINDS[doc.kind]}: {doc.doc_id}")
        contents = doc.contents()
        faults = texts.oddities(contents, folded)
        if ("]" in contents or ">" in contents) and texts.SPECIAL.search(contents):
            faults.append("special_in_document")
        for fault in faults:
            excerpt = f"{KINDS[doc.kind]}: {doc.doc_id}: {around(contents, fault)}"
            tally.add(fault, item.task, item.where, excerpt)


def around(text: str, fault: str) -> str:
    """The part of a text where the fault stands."""
    pattern = texts.PATTERNS.get(fault)
    found = pattern.search(text) if pattern else None
    start = max(found.start() - 30, 0) if found else 0
    return text[start : start + 200]


def _leaks(item: Item, leaked: Leaks, tally: Tally) -> None:
    query = item.query or ""
    if leaked.query:
        tally.add("leaked_query", item.task, item.where, f"query: {query[:200]}")
    if leaked.query_run:
        tally.add("ngram_leak", item.task, item.where, f"query: {query[:200]}")
    for place, doc in enumerate(item.documents):
        fault = "leaked_document" if leaked.documents[place] else "ngram_leak"
        if leaked.document(place):
            excerpt = f"{KINDS[doc.kind]}: {doc.doc_id}: {doc.contents()[:200]}"
            tally.add(fault, item.task, item.where, excerpt)
