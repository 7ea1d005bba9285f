"""Texts out of T5 and BART: greedy and beam search with a cache, in fixed shapes.

Equal to what transformers' `generate` (5.x, and 4.50 on) gives for do_sample=False with
max_new_tokens, num_beams, length_penalty, early_stopping (False, True or "never") and
num_return_sequences; it has many options more, and none of them is here. What follows the end
token is always the padding token, where beams of transformers may carry the end token instead.
"""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Bool, Float, Int

from tart_jax.models.bart import Bart
from tart_jax.models.t5_decoder import T5, Pair, Params
from tart_jax.types import InputError

Model = T5 | Bart
NEVER = -1e9  # the score of what must not be chosen; sums of it stay finite


def greedy(
    graphdef: nnx.GraphDef,
    params: Params,
    tokens: Int[Array, "b *k m"],
    mask: Bool[Array, "b *k m"],
    *,
    max_new_tokens: int,
) -> Int[Array, "b t"]:
    """The likeliest next token, again and again: [b, 1 + max_new_tokens], start token first.

    tokens [b m], or [b k m], see `read`.
    A pure function to be jitted by its caller; ends when every text has its end token.
    """
    model = nnx.merge(graphdef, params)
    config, rows = model.config, tokens.shape[0]
    next_logits, cache = _prepared(model, tokens, mask, max_new_tokens, copies=1)

    def step(state: tuple[Array, Array, Array, Pair]) -> tuple[Array, Array, Array, Pair]:
        place, written, ended, cache = state
        logits, cache = next_logits(written[:, place], place, cache)
        chosen = jnp.where(ended, config.pad_token_id, jnp.argmax(logits, axis=-1))
        written = written.at[:, place + 1].set(chosen)
        return place + 1, written, ended | (chosen == config.eos_token_id), cache

    def unfinished(state: tuple[Array, Array, Array, Pair]) -> Array:
        return (state[0] < max_new_tokens) & ~jnp.all(state[2])

    start = (jnp.int32(0), _started(model, (rows,), max_new_tokens), jnp.zeros(rows, bool), cache)
    return jax.lax.while_loop(unfinished, step, start)[1]


class Beams(NamedTuple):
    """The state of a search: n open beams and the n best finished texts of each row."""

    place: Array  # of the last token written
    open: Array  # [b n t]
    open_scores: Array  # [b n], sums of log probabilities
    done: Array  # [b n t]
    done_scores: Array  # [b n], over length ** length_penalty; best first
    finished: Array  # [b n], whether `done` holds a text
    hopeful: Array  # [b 1], whether an open beam may still win
    stuck: Array  # [], whether no candidate of the last step can go on
    cache: Pair


def beam(
    graphdef: nnx.GraphDef,
    params: Params,
    tokens: Int[Array, "b *k m"],
    mask: Bool[Array, "b *k m"],
    *,
    max_new_tokens: int,
    num_beams: int,
    length_penalty: float = 1.0,
    early_stopping: bool | str = False,
    num_return_sequences: int = 1,
) -> tuple[Int[Array, "b r t"], Float[Array, "b r"]]:
    """The best texts found, best first, and their scores: log probability / length ** penalty.

    early_stopping: True ends a row when it has num_beams finished texts; False when its best open
    beam, at its present length, is no better than the worst of them; "never" takes the longest
    length for that where the penalty favours length. A pure function to be jitted by its caller.
    """
    if early_stopping not in (True, False, "never"):
        raise InputError(f"early_stopping {early_stopping!r} is none of True, False, 'never'.")
    if not 1 <= num_return_sequences <= num_beams:
        raise InputError(
            f"num_return_sequences {num_return_sequences} is not in 1 to num_beams, {num_beams}."
        )
    model = nnx.merge(graphdef, params)
    search = _Search(model.config.eos_token_id, max_new_tokens, length_penalty, early_stopping)
    next_logits, cache = _prepared(model, tokens, mask, max_new_tokens, copies=num_beams)

    def step(beams: Beams) -> Beams:
        logits, cache = next_logits(beams.open[:, :, beams.place].ravel(), beams.place, beams.cache)
        shares = jax.nn.log_softmax(logits).reshape(*beams.open_scores.shape, -1)
        return search.step(beams._replace(cache=cache), shares)

    shape = (tokens.shape[0], num_beams)
    empty = _started(model, shape, max_new_tokens)
    first = Beams(
        place=jnp.int32(0),
        open=empty,
        # All beams start equal: only the first counts, or they would stay equal.
        open_scores=jnp.tile(jnp.where(jnp.arange(num_beams) == 0, 0.0, NEVER), (shape[0], 1)),
        done=empty,
        done_scores=jnp.full(shape, NEVER),
        finished=jnp.zeros(shape, bool),
        hopeful=jnp.ones((shape[0], 1), bool),
        stuck=jnp.zeros((), bool),
        cache=cache,
    )
    last = jax.lax.while_loop(search.unfinished, step, first)
    return last.done[:, :num_return_sequences], last.done_scores[:, :num_return_sequences]


class _Search(NamedTuple):
    end: int
    max_new_tokens: int
    length_penalty: float
    early_stopping: bool | str

    def step(self, beams: Beams, shares: Float[Array, "b n v"]) -> Beams:
        rows, n, vocabulary = shares.shape
        total = (shares + beams.open_scores[..., None]).reshape(rows, -1)
        # Twice as many as beams: should n of them end here, n others can go on.
        scores, index = jax.lax.top_k(total, 2 * n)
        parent, chosen = index // vocabulary, index % vocabulary
        place = beams.place + 1
        texts = _take(beams.open, parent).at[:, :, place].set(chosen)
        ends = (chosen == self.end) | (place == self.max_new_tokens)
        open_scores, kept = jax.lax.top_k(jnp.where(ends, scores + NEVER, scores), n)
        done, done_scores, finished = self._finish(beams, texts, scores, ends, place)
        sources = _take(parent, kept) + n * jnp.arange(rows)[:, None]
        after = beams._replace(
            place=place,
            open=_take(texts, kept),
            open_scores=open_scores,
            done=done,
            done_scores=done_scores,
            finished=finished,
            stuck=jnp.all(ends),
            cache=jax.tree.map(lambda x: x[:, sources.ravel()], beams.cache),
        )
        return after._replace(hopeful=self._hopeful(after))

    def unfinished(self, beams: Beams) -> Array:
        filled = jnp.all(beams.finished) & (self.early_stopping is True)
        return jnp.any(beams.hopeful) & ~filled & ~beams.stuck

    def _finish(
        self, beams: Beams, texts: Array, scores: Array, ends: Array, place: Array
    ) -> tuple[Array, Array, Array]:
        """The best n of the finished texts and of those candidates that end here."""
        n = beams.finished.shape[1]
        ends = ends & (jnp.arange(2 * n) < n)[None]  # the further candidates are a reserve only
        full = jnp.all(beams.finished, axis=1, keepdims=True) & (self.early_stopping is True)
        barred = NEVER * full + NEVER * ~beams.hopeful + NEVER * ~ends
        scores = scores / place.astype(jnp.float32) ** self.length_penalty + barred
        best, kept = jax.lax.top_k(jnp.concatenate([beams.done_scores, scores], axis=1), n)
        done = _take(jnp.concatenate([beams.done, texts], axis=1), kept)
        return done, best, _take(jnp.concatenate([beams.finished, ends], axis=1), kept)

    def _hopeful(self, beams: Beams) -> Array:
        longest = self.early_stopping == "never" and self.length_penalty > 0.0
        length = jnp.float32(self.max_new_tokens) if longest else beams.place.astype(jnp.float32)
        best = beams.open_scores[:, :1] / length**self.length_penalty
        worst = jnp.min(beams.done_scores, axis=1, keepdims=True)
        worst = jnp.where(beams.finished, worst, NEVER)
        return beams.hopeful & jnp.any(best > worst, axis=1, keepdims=True)


def read(
    model: Model, tokens: Int[Array, "*b m"], mask: Bool[Array, "*b m"], rngs: nnx.Rngs | None
) -> tuple[Float[Array, "b l d"], Bool[Array, "b l"]]:
    """The encoder's states, and their mask. tokens [b k m]: k texts of each row, encoded apart and
    put one after the other for the decoder (Izacard and Grave 2021, Fusion-in-Decoder)."""
    if tokens.ndim == 2:
        return model.encode(tokens, mask, rngs=rngs), mask
    b, k, m = tokens.shape
    states = model.encode(tokens.reshape(b * k, m), mask.reshape(b * k, m), rngs=rngs)
    return states.reshape(b, k * m, -1), mask.reshape(b, k * m)


def _prepared(
    model: Model, tokens: Array, mask: Array, length: int, *, copies: int
) -> tuple[Callable[[Array, Array, Pair], tuple[Array, Pair]], Pair]:
    """A function from the tokens at a place, [b * copies], to logits [b * copies, v], its cache."""
    states, mask = read(model, tokens, mask, None)
    memory = model.decoder.remember(states)
    memory = jax.tree.map(lambda x: jnp.repeat(x, copies, axis=1), memory)
    wide = jnp.repeat(mask, copies, axis=0)

    def next_logits(last: Array, place: Array, cache: Pair) -> tuple[Array, Pair]:
        hidden, cache = model.decoder.step(model.tokens(last[:, None]), place, cache, memory, wide)
        return forced(model.logits(hidden)[:, 0], place), cache

    def forced(logits: Array, place: Array) -> Array:
        # BART's first and last token, where its config names them.
        for name, at in (("forced_bos_token_id", 0), ("forced_eos_token_id", length - 1)):
            if (token := getattr(model.config, name, None)) is not None:
                only = jnp.where(jnp.arange(logits.shape[-1]) == token, 0.0, 10 * NEVER)[None]
                logits = jnp.where(place == at, only, logits)
        return logits

    return next_logits, model.decoder.empty_cache(len(wide), length)


def _started(model: Model, shape: tuple[int, ...], max_new_tokens: int) -> Array:
    config = model.config
    written = jnp.full((*shape, 1 + max_new_tokens), config.pad_token_id, jnp.int32)
    return written.at[..., 0].set(config.decoder_start_token_id)


def _take(x: Array, index: Array) -> Array:
    """The chosen of axis 1 in each row."""
    return jnp.take_along_axis(x, index.reshape(*index.shape, *(1,) * (x.ndim - 2)), axis=1)
