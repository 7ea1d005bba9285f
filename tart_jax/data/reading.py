"""What a reader learns from: passages before the input, and one of the answers, in fixed shapes."""

import copy
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from tart_jax.data.batching import Batch
from tart_jax.data.examples import TrainingExample
from tart_jax.data.tokenization import Tokenizer, pad
from tart_jax.types import InputError

NOTHING = "no passage"  # the id of the document that stands for none, as an example must have one


class ReadingRow(NamedTuple):
    """An input, the passages that are read with it, best first, and the text to be written."""

    query: str
    passages: tuple[str, ...]
    answer: str
    query_id: str


def passages_of(example: TrainingExample, count: int) -> tuple[str, ...]:
    """The first `count` of an example's positives: what a retriever found, or the gold ones."""
    found = [d.contents() for d in example.positives if d.doc_id != NOTHING]
    return tuple(found[:count])


class ReadingSampler(NamedTuple):
    """One of an example's answers, drawn anew each time it comes."""

    passages: int

    def __call__(self, example: TrainingExample, rng: np.random.Generator) -> ReadingRow:
        """InputError: an example without an answer."""
        if not example.answers:
            raise InputError(
                f"query {example.query_id!r} of {example.task!r} has no answer; a reader learns"
                " from examples with the key 'answers'."
            )
        answer = example.answers[int(rng.integers(len(example.answers)))]
        passages = passages_of(example, self.passages)
        return ReadingRow(example.query, passages, answer, example.query_id)


class ReadingCollator:
    """Rows to input_tokens int32 [b k m], input_mask, answer_tokens int32 [b t] and answer_mask.

    fusion: each passage is read with the input by itself (Izacard and Grave 2021), k of them; else
    all stand before the input (KILT's BART with DPR) and k is 1. The passages are cut first.
    """

    def __init__(
        self,
        tokenizer: Tokenizer,
        *,
        passages: int,
        fusion: bool,
        input_length: int,
        answer_length: int,
    ):
        if fusion and passages < 1:
            raise InputError("config.data.fusion needs data.passages of 1 or more.")
        self._inputs, self._answers = copy.deepcopy(tokenizer), copy.deepcopy(tokenizer)
        self.passages, self.fusion = passages, fusion
        self.input_length, self.answer_length = input_length, answer_length

    def __call__(self, rows: Sequence[ReadingRow]) -> Batch:
        answers = self._answers.encode([row.answer for row in rows], self.answer_length)
        pad_id = self._answers.pad_id
        tokens, mask = pad(answers, len(rows), self.answer_length, pad_id)
        return {**self.inputs(rows), "answer_tokens": tokens, "answer_mask": mask}

    def inputs(self, rows: Sequence[ReadingRow]) -> Batch:
        """Without answers: what is read."""
        k = self.passages if self.fusion else 1
        pairs = [(text, row.query) for row in rows for text in self._texts(row, k)]
        found = [ids for ids, _ in self._inputs.encode_pairs(pairs, self.input_length)]
        tokens, mask = pad(found, len(pairs), self.input_length, self._inputs.pad_id)
        shape = (len(rows), k, self.input_length)
        return {"input_tokens": tokens.reshape(shape), "input_mask": mask.reshape(shape)}

    def _texts(self, row: ReadingRow, k: int) -> list[str]:
        """Of each of the k parts what stands before the input; "" for want of a passage."""
        if not self.fusion:
            return [" ".join(row.passages)]
        return [*row.passages, *[""] * (k - len(row.passages))]
