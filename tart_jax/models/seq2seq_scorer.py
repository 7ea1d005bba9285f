"""A whole T5 as a scorer: MonoT5's "true" against "false", UPR's likelihood of the question."""

import dataclasses
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Array, Bool, Float, Int

from tart_jax import io
from tart_jax.data.tokenization import Tokenizer
from tart_jax.models import names_t5, pretrained_cross, t5_decoder, weights
from tart_jax.models.t5_config import T5Config
from tart_jax.types import InputError

# What the encoder reads: the first part is cut where both are too long, the second never is.
# MonoT5: Nogueira et al. 2020 (arXiv:2003.06713), section 3; its code cuts the end of the whole,
# "Relevant:" with it. UPR: Sachan et al. 2022 (arXiv:2204.07496), whose code does the same.
MONOT5 = ("Query: {query} Document: {document}", "Relevant:")
UPR = ("Passage: {document}.", "Please write a question based on this passage.")
ANSWERS = ("false", "true")  # MonoT5's, one token each; 6136 and 1176 in T5's vocabulary
QUESTION_LENGTH = 128  # tokens of UPR's question, as in its code
ROOM = 16  # tokens that a prompt must leave for its texts, "Query:" and the like included
PLACES = 2048  # whose logits are in memory at once: 0.3 GB of T5's vocabulary


@dataclasses.dataclass
class PretrainedT5:
    """An encoder-decoder ready to score. params: nested dict of float32 arrays, see `load`."""

    config: T5Config
    params: dict[str, Any]
    tokenizer: Tokenizer
    weights_sha256: str
    source: str
    dtype: str = "float32"
    scan: bool = False

    def graphdef(self) -> nnx.GraphDef:
        """The model without its parameters."""
        return t5_decoder.graphdef(self.config, dtype=self.dtype, scan=self.scan)


def load(source: str | Path, *, dtype: str = "float32", scan: bool = False) -> PretrainedT5:
    """Loads a T5ForConditionalGeneration or MT5ForConditionalGeneration without PyTorch.

    source: a directory, a weight file with config and tokenizer beside it, or a hub id. dtype,
    scan: see `T5Encoder`. InputError: another kind of model, an encoder alone, keys that are
    missing, misshaped or unexpected, a tokenizer that is not T5's.
    """
    directory, file = pretrained_cross.locate(source, pretrained_cross.PATTERNS)
    path = io.existing(directory / "config.json", "the model's")
    try:
        config = T5Config.from_hf(io.read_json(path))
    except InputError as error:
        raise InputError(f"{path}: {error}") from error
    names: list[str] = []

    def noted() -> Iterator[tuple[str, np.ndarray]]:
        tensors = weights.read_file(file).items() if file else weights.iterate(directory)
        for name, tensor in tensors:
            names.append(name)
            yield name, tensor

    try:
        params, _ = names_t5.from_hf(noted(), config, str(source), scan=scan)
    except InputError as error:
        if not any("decoder." in name for name in names):
            raise InputError(
                f"{source} is a T5's encoder alone; the scorers monot5 and upr need its decoder."
            ) from error
        raise
    tokenizer = Tokenizer.load(directory)
    pretrained_cross.check_vocabulary(tokenizer, config, source)
    _check_tokenizer(tokenizer, config, source)
    sha256 = weights.params_sha256(params)
    return PretrainedT5(config, params, tokenizer, sha256, str(source), dtype, scan)


def _check_tokenizer(tokenizer: Tokenizer, config: T5Config, source: str | Path) -> None:
    """InputError: it does not end a text with `</s>`, or words are not apart; prompts need both."""
    both, first, second = (ids.tolist() for ids in tokenizer.encode(["a b", "a", "b"], 64))
    if second[-1:] != [config.eos_token_id] or both != first[:-1] + second:
        raise InputError(
            f"{source}: the tokenizer gives {both} for 'a b', {first} for 'a', {second} for 'b';"
            f" T5's cuts at spaces and puts {config.eos_token_id} at the end, and nothing else."
        )


def answers(model: PretrainedT5) -> tuple[int, int]:
    """The tokens of `ANSWERS`. InputError: the tokenizer has no single token for one of them."""
    found = []
    for word, ids in zip(ANSWERS, model.tokenizer.encode(ANSWERS, 64), strict=True):
        if len(ids) != 2 or model.tokenizer.decode(ids[:1]).strip() != word:
            raise InputError(
                f"{model.source}: the tokenizer has no token {word!r} (it gives {ids.tolist()});"
                " MonoT5 answers with it, so this is no MonoT5."
            )
        found.append(int(ids[0]))
    return found[0], found[1]


def monot5_prompts(
    tokenizer: Tokenizer, pairs: Sequence[tuple[str, str]], max_length: int
) -> list[Int[np.ndarray, " l"]]:
    """`Query: {query} Document: {document} Relevant:` as token ids, of (query, document).

    The document is cut so that all else stays, and the query's end where that leaves no room.
    """
    texts = [MONOT5[0].format(query=query, document=document) for query, document in pairs]
    return _prompts(tokenizer, texts, MONOT5[1], max_length)


def upr_prompts(
    tokenizer: Tokenizer, documents: Sequence[str], max_length: int
) -> list[Int[np.ndarray, " l"]]:
    """`Passage: {document}. Please write a question based on this passage.` as token ids."""
    return _prompts(tokenizer, [UPR[0].format(document=d) for d in documents], UPR[1], max_length)


def _prompts(
    tokenizer: Tokenizer, texts: Sequence[str], end: str, max_length: int
) -> list[Int[np.ndarray, " l"]]:
    """Each text, cut so that all of `end` follows it within max_length tokens."""
    tail = tokenizer.encode([end], QUESTION_LENGTH)[0]
    room = max_length - len(tail)
    if room < ROOM:
        raise InputError(
            f"max_length {max_length} leaves {room} tokens beside {end!r}; raise it to"
            f" {ROOM + len(tail)} at least."
        )
    cut = tokenizer.encode(texts, room + 1)  # one more: their own end token goes
    return [np.concatenate([ids[:-1], tail]) for ids in cut]


def truth(
    graphdef: nnx.GraphDef,
    params: dict[str, Any],
    tokens: Int[Array, "b m"],
    mask: Bool[Array, "b m"],
    *,
    answers: tuple[int, int],
) -> Float[Array, " b"]:
    """MonoT5's score: log of softmax over the logits of "false" and "true" at "true".

    answers: their tokens, "false" first. Of one decoder step from the start token.
    """
    model = nnx.merge(graphdef, params)
    start = jnp.full((tokens.shape[0], 1), model.config.decoder_start_token_id, jnp.int32)
    logits = model.decode(start, model.encode(tokens, mask), mask)[:, 0]
    false, true = (logits[:, answer] for answer in answers)
    # The same by way of the difference: log_softmax is 0 from a difference of 17 on in float32,
    # and a ranking would be lost.
    return jax.nn.log_sigmoid(true - false)


def likelihood(
    graphdef: nnx.GraphDef,
    params: dict[str, Any],
    tokens: Int[Array, "b m"],
    mask: Bool[Array, "b m"],
    question: Int[Array, "b t"],
    question_mask: Bool[Array, "b t"],
) -> Float[Array, " b"]:
    """UPR's score: mean log probability of the question's tokens, its end token among them.

    Equation 2 of the paper (arXiv:2204.07496); its code takes the sum, which ranks the documents
    of a question alike.
    """
    model = nnx.merge(graphdef, params)
    memory = model.encode(tokens, mask)
    read = model.tokens(t5_decoder.shift_right(question, model.config))
    hidden = model.decoder(read, memory, mask, None)

    def at_place(one: tuple[Array, Array]) -> Array:
        hidden, wanted = one  # [b d], [b]
        logits = model.logits(hidden[:, None])[:, 0]
        chosen = jnp.take_along_axis(logits, wanted[:, None], axis=1)[:, 0]
        return chosen - jax.nn.logsumexp(logits, axis=1)

    # Some places at a time: logits of all would be far larger than anything else in the model.
    places = max(1, PLACES // tokens.shape[0])
    shares = jax.lax.map(at_place, (hidden.swapaxes(0, 1), question.T), batch_size=places).T
    count = jnp.maximum(jnp.sum(question_mask, axis=1), 1)
    return jnp.sum(jnp.where(question_mask, shares, 0.0), axis=1) / count
