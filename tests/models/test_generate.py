"""Greedy and beam search against transformers' `generate`, and what they promise by themselves."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tart_jax.models import generate, names_t5, t5_decoder
from tart_jax.types import InputError

pytestmark = pytest.mark.slow  # each search is a program of its own to compile
# Sums of up to 12 log probabilities in float32, each of them right to 1e-5 or so.
TOLERANCE = 1e-4
NEW_TOKENS = 12
# Written by scripts/reference/make_t5_reference.py, with the options it used.
SEARCHES = {
    "default": {"num_beams": 4},
    "three": {"num_beams": 3, "num_return_sequences": 3},
    "early": {
        "num_beams": 4,
        "num_return_sequences": 2,
        "early_stopping": True,
        "length_penalty": 2.0,
    },
    "never": {
        "num_beams": 2,
        "num_return_sequences": 2,
        "early_stopping": "never",
        "length_penalty": 2.0,
    },
    "long": {"num_beams": 4, "length_penalty": 2.0, "num_return_sequences": 2},
    "short": {"num_beams": 4, "length_penalty": -1.0, "num_return_sequences": 2},
}


def run(function, reference, *, scan=False, mask=None, **options):
    config = reference.config
    params, _ = names_t5.from_hf(reference.tensors, config, "here", scan=scan)
    graph = t5_decoder.graphdef(config, scan=scan)
    search = jax.jit(functools.partial(function, graph, max_new_tokens=NEW_TOKENS, **options))
    mask = reference.mask if mask is None else mask
    return search(params, jnp.asarray(reference.tokens), jnp.asarray(mask))


def padded(sequences):
    """As ours: 13 long, padding (0) after the end (1), where transformers' beams may put ends."""
    wide = np.zeros((len(sequences), 1 + NEW_TOKENS), np.int32)
    wide[:, : sequences.shape[1]] = sequences
    ended = np.cumsum(wide == 1, axis=1) - (wide == 1) > 0
    return np.where(ended, 0, wide)


def assert_beams_agree(reference, search, options, **changes):
    texts, scores = run(generate.beam, reference, **options | changes)
    count = options.get("num_return_sequences", 1)
    assert texts.shape == (6, count, 1 + NEW_TOKENS)
    np.testing.assert_array_equal(
        texts.reshape(-1, 1 + NEW_TOKENS), padded(reference.arrays[f"beam/{search}"])
    )
    np.testing.assert_allclose(
        scores.ravel(), reference.arrays[f"score/{search}"], atol=TOLERANCE, rtol=1e-5
    )


def test_greedy_texts_are_those_of_transformers(t5_reference):
    texts = run(generate.greedy, t5_reference)
    np.testing.assert_array_equal(texts, padded(t5_reference.arrays["greedy"]))


@pytest.mark.parametrize("search", SEARCHES)
def test_beams_and_their_scores_are_those_of_transformers(t5_reference, search):
    assert_beams_agree(t5_reference, search, SEARCHES[search])


@pytest.mark.parametrize(
    "search,change",
    [
        ("short", {"length_penalty": 1.0}),
        ("early", {"early_stopping": False}),
        ("never", {"early_stopping": False}),
        ("default", {"num_beams": 2}),
    ],
)
def test_other_options_give_other_beams(mt5, search, change):
    with pytest.raises(AssertionError):
        assert_beams_agree(mt5, search, SEARCHES[search], **change)


def test_the_padding_of_a_text_is_not_seen(mt5):
    """The twins: with the padding read as text, greedy and beams are others."""
    seen = np.ones_like(mt5.mask)
    with pytest.raises(AssertionError):
        assert_beams_agree(mt5, "default", SEARCHES["default"], mask=seen)
    texts = run(generate.greedy, mt5, mask=seen)
    assert (np.asarray(texts) != padded(mt5.arrays["greedy"])).any()


def test_texts_that_end_early_are_among_those_compared(gated, mt5):
    """Or what stands behind the end would not be tested by them ("never", "long" favour length)."""
    for reference in (gated, mt5):
        for name in ("greedy", "beam/default", "beam/three", "beam/early", "beam/short"):
            assert (padded(reference.arrays[name])[:, :-1] == 1).any(), name


def test_stacked_layers_generate_the_same(mt5):
    assert_beams_agree(mt5, "three", SEARCHES["three"], scan=True)
    texts = run(generate.greedy, mt5, scan=True)
    np.testing.assert_array_equal(texts, padded(mt5.arrays["greedy"]))


def test_one_beam_is_the_greedy_text(mt5):
    texts, _ = run(generate.beam, mt5, num_beams=1)
    np.testing.assert_array_equal(texts[:, 0], run(generate.greedy, mt5))


def test_the_score_of_a_beam_is_its_log_probability_by_its_length(mt5):
    texts, scores = run(generate.beam, mt5, num_beams=3, length_penalty=0.5)
    params, _ = names_t5.from_hf(mt5.tensors, mt5.config, "here")
    logits = jax.jit(functools.partial(t5_decoder.logits, t5_decoder.graphdef(mt5.config)))(
        params, jnp.asarray(mt5.tokens), jnp.asarray(mt5.mask), texts[:, 0, :-1]
    )
    shares = np.asarray(jax.nn.log_softmax(logits))
    for row, (text, score) in enumerate(zip(np.asarray(texts)[:, 0], scores, strict=True)):
        ends = np.flatnonzero(text == 1)
        length = ends[0] if len(ends) else NEW_TOKENS
        total = sum(shares[row, place, text[place + 1]] for place in range(length))
        assert float(score[0]) == pytest.approx(total / length**0.5, abs=TOLERANCE)


@pytest.mark.parametrize(
    "options,named",
    [
        ({"early_stopping": "always"}, "early_stopping 'always' is none of"),
        ({"num_return_sequences": 4}, "num_return_sequences 4 is not in 1 to num_beams, 3"),
    ],
)
def test_options_that_cannot_be_are_refused(mt5, options, named):
    with pytest.raises(InputError, match=named):
        run(generate.beam, mt5, num_beams=3, **options)
