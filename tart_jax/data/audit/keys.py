"""What an item is compared by: digests of its query, its documents, and of the whole."""

import hashlib
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

from tart_jax.data.audit import texts
from tart_jax.data.audit.leakage import TestTexts
from tart_jax.data.audit.records import CORPUS, Item

EMPTY = b""  # the digest of a text that says nothing: never a duplicate, never a leak


@dataclass
class Keys:
    """Digests of 8 bytes, EMPTY for empty texts; documents in the order of the item's."""

    query: bytes  # the query's text, without `nan [SEP]`
    asked: bytes  # task, query and instruction
    query_id: bytes
    whole: bytes  # everything but the ids
    documents: list[bytes]
    ids: list[bytes]
    folded: list[bytes]  # the query, then the documents; not kept beyond the item


def of(item: Item) -> Keys:
    contents = [doc.contents() for doc in item.documents]
    query = item.query or ""
    folded_query = texts.fold(texts.without_leading_separator(texts.without_nan(query)))
    folded = [folded_query, *map(texts.fold, contents)]
    digests = [texts.digest(text) if text else EMPTY for text in folded]
    scope = _scope(item.task)
    instruction = texts.fold(item.instruction or "")
    asked = texts.digest(scope + instruction + b"\0" + folded_query)
    return Keys(
        digests[0],
        asked,
        of_id(item.task, item.query_id, "query"),
        _whole(asked, item, digests[1:]),
        digests[1:],
        [of_id(item.task, doc.doc_id, "document") for doc in item.documents],
        folded,
    )


def of_id(task: str, identifier: str, what: Literal["query", "document"]) -> bytes:
    """The digest of an id, which is unique in its task only."""
    return texts.digest(what.encode() + _scope(task) + identifier.encode("utf-8", "surrogatepass"))


@lru_cache(1 << 12)
def _scope(task: str) -> bytes:
    return b"\0" + task.encode("utf-8", "surrogatepass") + b"\0"


def _whole(asked: bytes, item: Item, documents: list[bytes]) -> bytes:
    kinds = bytes(doc.kind for doc in item.documents)
    if (
        not item.is_example
    ):  # a query of a BEIR folder is no example: it is never the same as another
        return texts.digest(asked + item.query_id.encode("utf-8", "surrogatepass"))
    parts = sorted(kind.to_bytes() + text for kind, text in zip(kinds, documents, strict=True))
    return hashlib.blake2b(asked + b"".join(parts), digest_size=8).digest()


def own_negatives(item: Item, keys: Keys) -> dict[int, str]:
    """place of a negative that is a positive of the same example -> the fault that it is."""
    if not item.is_example:
        return {}
    positives = [place for place, doc in enumerate(item.documents) if doc.kind == 0]
    ids = {item.documents[place].doc_id for place in positives}
    contents = {keys.documents[place] for place in positives} - {EMPTY}
    found = {}
    for place, doc in enumerate(item.documents):
        if not 0 < doc.kind < CORPUS:
            continue
        if doc.doc_id in ids:
            found[place] = "positive_is_negative_id"
        elif keys.documents[place] in contents:
            found[place] = "positive_is_negative_text"
    return found


@dataclass
class Leaks:
    """What of an item is a test text (True), or shares a run of words with one."""

    query: bool
    documents: list[bool]
    query_run: bool
    document_runs: list[bool]

    def document(self, place: int) -> bool:
        return self.documents[place] or self.document_runs[place]


def leaks(item: Item, keys: Keys, tests: TestTexts) -> Leaks | None:
    """None where there are no test texts."""
    if not len(tests):
        return None
    asked = [keys.query] if keys.query else []
    bare = texts.bare_query(item.query) if item.query else None
    folded_bare = texts.fold(bare) if bare else b""
    if folded_bare:
        asked.append(texts.digest(folded_bare))
    known = [digest or bytes(8) for digest in keys.documents]
    same = tests.same([*asked, *known])
    query = any(same[: len(asked)])
    documents = [
        hit and digest != EMPTY
        for hit, digest in zip(same[len(asked) :], keys.documents, strict=True)
    ]
    if not tests.ngrams:
        return Leaks(query, documents, False, [False] * len(documents))
    runs = [
        not hit and tests.shares_run(folded)
        for hit, folded in zip([query, *documents], keys.folded, strict=True)
    ]
    return Leaks(query, documents, runs[0], runs[1:])
