"""The judgements (qrels) of a BEIR folder against its queries and documents."""

import numpy as np

from tart_jax.data.audit import records
from tart_jax.data.audit.faults import Tally
from tart_jax.data.audit.keys import Keys, of_id
from tart_jax.data.audit.records import Item, Source

POSITIVE, NEGATIVE = 0, 1  # kinds of document, as in `records.KINDS`


class Judgements:
    """About 40 bytes per judgement; no texts and no ids."""

    def __init__(self, source: Source):
        self._source = source
        queries, documents, relevant = bytearray(), bytearray(), bytearray()
        for _, query_id, doc_id, relevance in records.judgements(source.path):
            queries += of_id(source.name, query_id, "query")
            documents += of_id(source.name, doc_id, "document")
            relevant.append(relevance > 0)
        self._relevant = np.frombuffer(relevant, np.uint8).astype(bool)
        self._query_ids, self._queries = _numbered(queries)
        self._doc_ids, self._documents = _numbered(documents)
        self._query_seen = np.zeros(len(self._query_ids), bool)
        self._doc_seen = np.zeros(len(self._doc_ids), bool)
        self._doc_texts = np.zeros(len(self._doc_ids), np.uint64)
        count = len(self._doc_ids)
        self._positive = np.bincount(self._documents[self._relevant], minlength=count) > 0
        self._negative = np.bincount(self._documents[~self._relevant], minlength=count) > 0

    def __len__(self) -> int:
        return len(self._relevant)

    def see(self, item: Item, keys: Keys) -> list[int]:
        """Notes a query or document of the folder; the kinds as which a document serves."""
        if item.query is not None:
            place = _place(self._query_ids, keys.query_id)
            if place >= 0:
                self._query_seen[place] = True
            return []
        place = _place(self._doc_ids, keys.ids[0])
        if place < 0:
            return []
        self._doc_seen[place] = True
        self._doc_texts[place] = _number(keys.documents[0] or keys.ids[0])
        kinds = ((POSITIVE, self._positive), (NEGATIVE, self._negative))
        return [kind for kind, known in kinds if known[place]]

    def check(self, tally: Tally) -> None:
        """Counts judgements of unknown ids, and those that contradict another."""
        if not len(self):
            return
        dangling = ~(self._query_seen[self._queries] & self._doc_seen[self._documents])
        pairs = np.stack([self._query_ids[self._queries], self._doc_texts[self._documents]], axis=1)
        _, group = np.unique(pairs, axis=0, return_inverse=True)
        group = group.reshape(-1)
        count = int(group.max()) + 1
        both = (np.bincount(group[self._relevant], minlength=count) > 0) & (
            np.bincount(group[~self._relevant], minlength=count) > 0
        )
        conflicting = both[group] & ~dangling
        task = self._source.name
        tally.count("dangling_judgement", task, int(dangling.sum()))
        tally.count("conflicting_judgement", task, int(conflicting.sum()))
        if not (dangling.any() or conflicting.any()):
            return
        for place, (where, *judged) in enumerate(records.judgements(self._source.path)):
            if dangling[place]:
                tally.show("dangling_judgement", where, " ".join(map(str, judged)))
            if conflicting[place]:
                tally.show("conflicting_judgement", where, " ".join(map(str, judged)))


def _numbered(digests: bytearray) -> tuple[np.ndarray, np.ndarray]:
    """Distinct numbers in order, and the place of each digest among them."""
    values, places = np.unique(np.frombuffer(digests, "<u8"), return_inverse=True)
    return values, places.reshape(-1)


def _number(digest: bytes) -> int:
    return int.from_bytes(digest, "little")


def _place(ordered: np.ndarray, digest: bytes) -> int:
    """The place of a digest, -1 where it is not there."""
    value = np.uint64(_number(digest))
    place = int(np.searchsorted(ordered, value))
    return place if place < len(ordered) and ordered[place] == value else -1
