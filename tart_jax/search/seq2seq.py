"""MonoT5 and UPR as scorers of pairs: an encoder-decoder in the batches of `BucketScorer`."""

import functools
import logging
from collections.abc import Iterator, Sequence
from typing import Any

import jax
import numpy as np
from flax import nnx
from jax.sharding import Mesh
from jaxtyping import Array, Bool, Float, Int

from tart_jax.data import tokenization
from tart_jax.encode.encoder import bucket
from tart_jax.models import seq2seq_scorer
from tart_jax.models.encoders import T5_LENGTH
from tart_jax.models.seq2seq_scorer import QUESTION_LENGTH, PretrainedT5
from tart_jax.search.scorer import BucketScorer, Pair, Row

log = logging.getLogger(__name__)


class MonoT5Scorer(BucketScorer):
    """log P("true") against "false" of a MonoT5, 0 at most."""

    def __init__(
        self,
        model: PretrainedT5,
        *,
        max_length: int = T5_LENGTH,
        tokens_per_batch: int | None = None,
        mesh: Mesh | None = None,
    ):
        """max_length: tokens of the prompt. InputError: see `seq2seq_scorer.answers`."""
        self._answers = seq2seq_scorer.answers(model)
        if model.config.model_type == "mt5":
            log.warning(
                "%s is an mT5: those of mMARCO answer 'yes' and 'no', which are not looked at.",
                model.source,
            )
        super().__init__(model, max_length=max_length, tokens_per_batch=tokens_per_batch, mesh=mesh)
        self._graphdef = model.graphdef()

    def _encode(self, pairs: Sequence[Pair]) -> Sequence[Row]:
        prompts = seq2seq_scorer.monot5_prompts(self._tokenizer, pairs, self.max_length)
        return [(ids,) for ids in prompts]

    def _run(self, batch: list[Row], *shape: int) -> Array:
        rows, length = shape
        inputs = tokenization.pad([row[0] for row in batch], rows, length, self._tokenizer.pad_id)
        placed = self._placed(inputs)
        return _truth(self._graphdef, self._params, *placed, answers=self._answers)


class UPRScorer(BucketScorer):
    """Mean log probability of the query's tokens, given the document, of any instructed T5.

    A query's tokens count in a batch's budget as the document's do, and are cut after 128.
    """

    def __init__(
        self,
        model: PretrainedT5,
        *,
        max_length: int = T5_LENGTH,
        tokens_per_batch: int | None = None,
        mesh: Mesh | None = None,
    ):
        """max_length: tokens of the prompt with the document."""
        super().__init__(model, max_length=max_length, tokens_per_batch=tokens_per_batch, mesh=mesh)
        self._graphdef = model.graphdef()

    def _encode(self, pairs: Sequence[Pair]) -> Sequence[Row]:
        documents = [document for _, document in pairs]
        prompts = seq2seq_scorer.upr_prompts(self._tokenizer, documents, self.max_length)
        questions = self._tokenizer.encode([query for query, _ in pairs], QUESTION_LENGTH)
        return list(zip(prompts, questions, strict=True))

    def _size(self, row: Row) -> int:
        return len(row[0]) + len(row[1])

    def _plan(self, rows: Sequence[Row]) -> Iterator[tuple[np.ndarray, tuple[int, ...]]]:
        """Batches of one bucket of question lengths each, or short ones would be padded to long."""
        lengths = np.array([len(row[0]) for row in rows])
        questions = np.array([bucket(len(row[1]), QUESTION_LENGTH) for row in rows])
        for size in map(int, np.unique(questions)):
            group = np.flatnonzero(questions == size)
            for where, length, count in self._batches(lengths[group], beside=size):
                yield group[where], (count, length, size)

    def _run(self, batch: list[Row], *shape: int) -> Array:
        rows, length, size = shape
        pad_id = self._tokenizer.pad_id
        inputs = tokenization.pad([row[0] for row in batch], rows, length, pad_id)
        question = tokenization.pad([row[1] for row in batch], rows, size, pad_id)
        return _likelihood(self._graphdef, self._params, *self._placed((*inputs, *question)))


# At module level, with the model's structure as a static argument: scorers share the compilations.
@functools.partial(jax.jit, static_argnames=("graphdef", "answers"))
def _truth(
    graphdef: nnx.GraphDef,
    params: dict[str, Any],
    tokens: Int[Array, "b m"],
    mask: Bool[Array, "b m"],
    *,
    answers: tuple[int, int],
) -> Float[Array, " b"]:
    return seq2seq_scorer.truth(graphdef, params, tokens, mask, answers=answers)


@functools.partial(jax.jit, static_argnames=("graphdef",))
def _likelihood(
    graphdef: nnx.GraphDef,
    params: dict[str, Any],
    tokens: Int[Array, "b m"],
    mask: Bool[Array, "b m"],
    question: Int[Array, "b t"],
    question_mask: Bool[Array, "b t"],
) -> Float[Array, " b"]:
    return seq2seq_scorer.likelihood(graphdef, params, tokens, mask, question, question_mask)
