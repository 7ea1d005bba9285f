"""From examples to fixed-shape arrays: documents, instruction, tokens, masks and hashes."""

import copy
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from jaxtyping import UInt32

from tart_jax.data import instructions
from tart_jax.data.examples import TrainingExample
from tart_jax.data.tokenization import Tokenizer, pad
from tart_jax.types import Document, InputError

DUPLICATES = ("id", "text", "none")
Batch = dict[str, np.ndarray]

# Kinds of document, as in `document_kind`.
POSITIVE, RANDOM, HARD, UNFOLLOWING, PADDING = 0, 1, 2, 3, -1
KINDS = {"random": RANDOM, "hard": HARD, "unfollowing": UNFOLLOWING}  # of negatives


class Row(NamedTuple):
    """One sampled query: text with instruction, documents (the positive first), their kinds.

    positives: every known positive, the sampled one first; what must not count as a negative.
    scores: a teacher's for each document, None where there is none. query_id: for messages alone;
    task: for its class.
    """

    query: str
    documents: tuple[Document, ...]
    kinds: tuple[int, ...]
    positives: tuple[Document, ...]
    scores: tuple[float | None, ...]
    query_id: str
    task: str = ""


@dataclass(frozen=True)
class Sampler:
    """TART's sampling (appendix C.1 and its code): one positive and `num_negatives` negatives.

    Binomial(num_negatives, hard_ratio) of them are hard or unfollowing, drawn from both together,
    the rest random; without replacement and no more than the example has. At most `unfollowing_cap`
    are unfollowing (None: any number); hard ones take the place of more. An instruction is drawn
    from those that `table` has for the example's task, and left out with probability
    `instruction_dropout`.
    """

    table: Mapping[str, tuple[str, ...]]
    num_negatives: int
    hard_ratio: float
    instruction_dropout: float
    order: instructions.Order
    separator: str
    unfollowing_cap: int | None = None

    def __call__(self, example: TrainingExample, rng: np.random.Generator) -> Row:
        """All randomness comes from `rng`, so a row is a function of the example and its seed."""
        chosen = int(rng.integers(len(example.positives)))
        positive = example.positives[chosen]
        others = example.positives[:chosen] + example.positives[chosen + 1 :]
        num_hard = int(rng.binomial(self.num_negatives, self.hard_ratio))
        hard = [(document, HARD) for document in example.hard_negatives]
        hard += [(document, UNFOLLOWING) for document in example.unfollowing_negatives]
        hard = _draw(hard, num_hard, rng, self.unfollowing_cap)
        plain = [(document, RANDOM) for document in example.negatives]
        negatives = _draw(plain, self.num_negatives - len(hard), rng) + hard
        instruction = self._instruction(example, rng)
        query = instructions.join(
            example.query, instruction, order=self.order, separator=self.separator
        )
        documents, kinds = zip((positive, POSITIVE), *negatives, strict=True)
        scores = tuple(example.scores.get(document.doc_id) for document in documents)
        return Row(
            query, documents, kinds, (positive, *others), scores, example.query_id, example.task
        )

    def _instruction(self, example: TrainingExample, rng: np.random.Generator) -> str:
        dropped = rng.random() < self.instruction_dropout
        if example.instruction is not None:
            return "" if dropped else example.instruction
        if not self.table:
            return ""
        if example.task not in self.table:
            raise InputError(
                f"the instruction table has no row for the task {example.task!r} of query"
                f" {example.query_id!r}; it has {', '.join(sorted(self.table))}."
            )
        wordings = self.table[example.task]
        wording = wordings[int(rng.integers(len(wordings)))]
        return "" if dropped else wording


def _draw(
    documents: list[tuple[Document, int]],
    count: int,
    rng: np.random.Generator,
    unfollowing_cap: int | None = None,
) -> list[tuple[Document, int]]:
    order = rng.permutation(len(documents)).tolist()
    if unfollowing_cap is not None:
        unfollowing = [index for index in order if documents[index][1] == UNFOLLOWING]
        over = set(unfollowing[unfollowing_cap:])
        order = [index for index in order if index not in over]
    return [documents[index] for index in order[:count]]


class Collator:
    """Rows to arrays whose shapes depend on nothing but the options (n = 1 + num_negatives).

    query_tokens int32 [b lq], query_mask bool [b lq], document_tokens int32 [b n l],
    document_mask bool [b n l], document_valid bool [b n], document_kind int8 [b n],
    document_score float32 [b n], NaN without a teacher's score, document_hash uint32 [b n 2],
    positive_hash uint32 [b p 2]: all known positives (up to `known_positives`), the sampled one
    repeated where there are fewer; with `classes` (task -> number) query_class int32 [b], all one.
    """

    def __init__(
        self,
        tokenizer: Tokenizer,
        *,
        num_negatives: int,
        query_length: int,
        document_length: int,
        duplicates: str,
        known_positives: int,
        title_separator: str = "",
        classes: Mapping[str, int] | None = None,
    ):
        if duplicates not in DUPLICATES:
            raise InputError(f"duplicates {duplicates!r} is not one of {', '.join(DUPLICATES)}.")
        # A tokenizer keeps its last length as state: with one copy for each length, threads do not
        # get into each other's way, nor into that of an evaluation while batches are prepared.
        self._query, self._document = copy.deepcopy(tokenizer), copy.deepcopy(tokenizer)
        self._query.encode([""], query_length)
        # An unused place still runs through the encoder: it holds the empty text, not no tokens.
        self._empty = self._document.encode([""], document_length)[0]
        self.num_documents = 1 + num_negatives
        self.query_length, self.document_length = query_length, document_length
        self.duplicates, self.known_positives = duplicates, known_positives
        self.title_separator, self._classes = title_separator, classes

    def __call__(self, rows: Sequence[Row]) -> Batch:
        b, n, between = len(rows), self.num_documents, self.title_separator
        texts = [document.contents(between) for row in rows for document in row.documents]
        encoded = iter(self._document.encode(texts, self.document_length))
        hashes = np.zeros((b, n, 2), np.uint32)
        filled = []
        for i, row in enumerate(rows):
            count = len(row.documents)
            filled += [next(encoded) for _ in range(count)] + [self._empty] * (n - count)
            if self.duplicates != "none":
                hashes[i, :count] = [hash_of(d, self.duplicates) for d in row.documents]
        queries = self._query.encode([row.query for row in rows], self.query_length)
        pad_id = self._query.pad_id
        query_tokens, query_mask = pad(queries, b, self.query_length, pad_id)
        tokens, mask = pad(filled, b * n, self.document_length, pad_id)
        return {
            "query_tokens": query_tokens,
            "query_mask": query_mask,
            "document_tokens": tokens.reshape(b, n, -1),
            "document_mask": mask.reshape(b, n, -1),
            "document_hash": hashes,
            "positive_hash": np.stack([self._positives(row) for row in rows]),
            **_labels(rows, n),
            **self._class(rows),
        }

    def _class(self, rows: Sequence[Row]) -> Batch:
        """InputError: a task without a class, or a batch of more than one class."""
        if not self._classes:
            return {}
        if unknown := sorted({row.task for row in rows} - set(self._classes)):
            raise InputError(
                f"config.model.query_towers has no class for the task {unknown[0]!r}; it has"
                f" {', '.join(self._classes)}."
            )
        found = np.array([self._classes[row.task] for row in rows], np.int32)
        if len(set(found.tolist())) > 1:
            raise InputError(
                "a batch holds queries of several classes, and a step trains one class's tower; set"
                " config.data.homogeneous=True."
            )
        return {"query_class": found}

    def _positives(self, row: Row) -> UInt32[np.ndarray, "p 2"]:
        if self.duplicates == "none":  # documents hash to 0 and 0 there: nothing ever matches
            return np.ones((self.known_positives, 2), np.uint32)
        known = row.positives[: self.known_positives]
        known += (row.positives[0],) * (self.known_positives - len(known))
        return np.stack([hash_of(document, self.duplicates) for document in known])


class PairCollator:
    """Rows to arrays of (query with instruction, document) pairs, for a cross-encoder.

    pair_tokens, pair_types int32 [b n l], pair_mask bool [b n l], document_valid bool [b n],
    document_kind int8 [b n] (0 is relevant), document_score float32 [b n], NaN without a teacher's
    score (n = 1 + num_negatives). The longer text is cut first, token by token. start: a token put
    before all, as TART-full's `<s>`.
    """

    def __init__(
        self, tokenizer: Tokenizer, *, num_negatives: int, pair_length: int, start: int | None
    ):
        self._tokenizer = copy.deepcopy(tokenizer)  # a tokenizer keeps its last length as state
        self._empty = self._tokenizer.encode_pairs([("", "")], pair_length, start=start)[0]
        self.num_documents, self.pair_length, self.start = 1 + num_negatives, pair_length, start

    def __call__(self, rows: Sequence[Row]) -> Batch:
        b, n, length = len(rows), self.num_documents, self.pair_length
        pairs = [(row.query, document.contents()) for row in rows for document in row.documents]
        encoded = iter(self._tokenizer.encode_pairs(pairs, length, start=self.start))
        filled = []
        for row in rows:
            count = len(row.documents)
            filled += [next(encoded) for _ in range(count)] + [self._empty] * (n - count)
        arrays = pad_pairs(filled, b * n, length, self._tokenizer.pad_id)
        return {
            f"pair_{name}": array.reshape(b, n, length) for name, array in arrays.items()
        } | _labels(rows, n)


def pad_pairs(
    pairs: Sequence[tuple[np.ndarray, np.ndarray]], rows_to: int, length: int, pad_id: int
) -> dict[str, np.ndarray]:
    """`tokens`, `mask` and `types` [rows_to, length] of what `Tokenizer.encode_pairs` returned."""
    tokens, mask = pad([tokens for tokens, _ in pairs], rows_to, length, pad_id)
    types, _ = pad([types for _, types in pairs], rows_to, length, 0)
    return {"tokens": tokens, "mask": mask, "types": types}


def _labels(rows: Sequence[Row], n: int) -> Batch:
    """What is known of each document, in the same places as the documents."""
    kinds = np.full((len(rows), n), PADDING, np.int8)
    scores = np.full((len(rows), n), np.nan, np.float32)
    for i, row in enumerate(rows):
        kinds[i, : len(row.kinds)] = row.kinds
        scores[i, : len(row.scores)] = np.asarray(row.scores, np.float32)
    return {"document_valid": kinds != PADDING, "document_kind": kinds, "document_score": scores}


def hash_of(document: Document, duplicates: str) -> UInt32[np.ndarray, "2"]:
    """64 bits of the document's id, or of its text with case and white space evened out."""
    key = document.doc_id
    if duplicates == "text" or not key:
        key = " ".join(document.contents().casefold().split())
    return np.frombuffer(hashlib.blake2b(key.encode("utf-8"), digest_size=8).digest(), "<u4")
