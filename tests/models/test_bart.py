"""BART against PyTorch's: states, logits, its cache, greedy and beam search, names both ways."""

import dataclasses
import functools
import json
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from tart_jax.models import bart, generate, names_bart
from tart_jax.models.bart_config import BartConfig
from tart_jax.types import InputError

DATA = Path(__file__).parent / "data"  # written by scripts/reference/make_bart_reference.py
# float32 sums in another order than PyTorch's, of logits up to 13.
TOLERANCE = 2e-5
NEW_TOKENS = 12
SEARCHES = {
    "default": {"num_beams": 4},
    "early": {"num_beams": 4, "num_return_sequences": 2, "early_stopping": True,
              "length_penalty": 2.0},
}  # fmt: skip


class Reference:
    def __init__(self, name):
        with np.load(DATA / f"bart_{name}.npz") as file:
            self.arrays = dict(file)
        self.hf_config = json.loads(str(self.arrays["config"]))
        self.config = BartConfig.from_hf(self.hf_config)
        self.tensors = {
            key.removeprefix("weight/"): value.astype(np.float32)
            for key, value in self.arrays.items()
            if key.startswith("weight/")
        }
        self.params = names_bart.from_hf(self.tensors.items(), self.config, "here")


@pytest.fixture(scope="module", params=["plain", "forced"])
def reference(request):
    return Reference(request.param)


@pytest.fixture(scope="module")
def plain():
    return Reference("plain")


def outputs(reference, config=None, params=None, mask=None, key=None):
    graph = bart.graphdef(config or reference.config)
    arrays = reference.arrays
    mask = arrays["mask"] if mask is None else mask

    @jax.jit
    def run(params, tokens, mask, targets):
        model = nnx.merge(graph, params)
        rngs = None if key is None else nnx.Rngs(dropout=key)
        hidden = model.encode(tokens, mask, rngs=rngs)
        return hidden, model.decode(targets, hidden, mask, rngs=rngs)

    params = reference.params if params is None else params
    return [np.asarray(x) for x in run(params, arrays["tokens"], mask, arrays["targets"])]


def test_states_and_logits_agree_with_torch(reference):
    hidden, logits = outputs(reference)
    shown = reference.arrays["mask"]
    np.testing.assert_allclose(hidden[shown], reference.arrays["hidden"][shown], atol=TOLERANCE)
    np.testing.assert_allclose(logits, reference.arrays["logits"], atol=TOLERANCE)


@pytest.mark.parametrize(
    "change",
    ["scale_embedding", "activation", "offset", "bias", "padding"],
)
def test_a_model_that_is_wrong_in_one_part_does_not_agree(plain, change, monkeypatch):
    config, params, mask = plain.config, plain.params, None
    if change == "scale_embedding":
        config = dataclasses.replace(config, scale_embedding=True)
    if change == "activation":
        config = dataclasses.replace(config, activation_function="relu")
    if change == "offset":
        monkeypatch.setattr(bart, "OFFSET", 1)
    if change == "bias":
        params = {**params, "bias": np.zeros_like(params["bias"])}
    if change == "padding":
        mask = np.ones_like(plain.arrays["mask"])
    _, logits = outputs(plain, config, params, mask)
    assert np.abs(logits - plain.arrays["logits"]).max() > 10 * TOLERANCE


def test_steps_through_the_cache_give_the_teacher_forced_logits(reference):
    graph, arrays = bart.graphdef(reference.config), reference.arrays
    tokens, mask, targets = (jnp.asarray(arrays[name]) for name in ("tokens", "mask", "targets"))

    @jax.jit
    def all_steps(params):
        model = nnx.merge(graph, params)
        memory = model.decoder.remember(model.encode(tokens, mask))

        def step(cache, place):
            last = jax.lax.dynamic_slice_in_dim(targets, place, 1, axis=1)
            hidden, cache = model.decoder.step(model.tokens(last), place, cache, memory, mask)
            return cache, model.logits(hidden)[:, 0]

        cache = model.decoder.empty_cache(len(tokens), targets.shape[1] + 3)
        return jax.lax.scan(step, cache, jnp.arange(targets.shape[1]))[1]

    logits = np.asarray(all_steps(reference.params)).transpose(1, 0, 2)
    np.testing.assert_allclose(logits, arrays["logits"], atol=TOLERANCE, rtol=1e-5)


def padded(sequences):
    """As ours: 13 long, padding (1) after the end (2), where transformers' beams may put ends."""
    wide = np.ones((len(sequences), 1 + NEW_TOKENS), np.int32)
    wide[:, : sequences.shape[1]] = sequences
    after = wide[:, 1:]  # the start token is the end token, too
    ended = np.cumsum(after == 2, axis=1) - (after == 2) > 0
    return np.concatenate([wide[:, :1], np.where(ended, 1, after)], axis=1)


def search(function, reference, **options):
    graph = bart.graphdef(reference.config)
    run = jax.jit(functools.partial(function, graph, max_new_tokens=NEW_TOKENS, **options))
    return run(reference.params, reference.arrays["tokens"], reference.arrays["mask"])


def test_greedy_answers_are_those_of_transformers(reference):
    found = search(generate.greedy, reference)
    np.testing.assert_array_equal(found, padded(reference.arrays["greedy"]))


@pytest.mark.slow
@pytest.mark.parametrize("name", SEARCHES)
def test_beams_are_those_of_transformers(reference, name):
    texts, scores = search(generate.beam, reference, **SEARCHES[name])
    wanted = padded(reference.arrays[f"beam/{name}"])
    np.testing.assert_array_equal(texts.reshape(-1, 1 + NEW_TOKENS), wanted)
    # Sums of up to 12 log probabilities in float32, each of them right to 1e-5 or so.
    np.testing.assert_allclose(scores.ravel(), reference.arrays[f"score/{name}"], atol=2e-4)


def test_fused_passages_of_one_are_the_passage_and_two_are_both(plain):
    graph, arrays = bart.graphdef(plain.config), plain.arrays
    tokens, mask = jnp.asarray(arrays["tokens"]), jnp.asarray(arrays["mask"])

    @jax.jit
    def read(params, tokens, mask):
        return generate.read(nnx.merge(graph, params), tokens, mask, None)

    alone, _ = read(plain.params, tokens, mask)
    one, seen = read(plain.params, tokens[:, None], mask[:, None])
    np.testing.assert_allclose(one, alone, atol=TOLERANCE)  # of another number of rows
    both, seen = read(
        plain.params, jnp.stack([tokens, tokens[::-1]], 1), jnp.stack([mask, mask[::-1]], 1)
    )
    np.testing.assert_allclose(both[:, 15:], np.asarray(alone)[::-1], atol=TOLERANCE)
    np.testing.assert_array_equal(seen, np.concatenate([mask, mask[::-1]], axis=1))


def test_dropout_changes_the_logits_and_a_key_gives_the_same_again(plain):
    key = jax.random.key(0)
    first, again = (outputs(plain, key=key)[1] for _ in range(2))
    np.testing.assert_array_equal(first, again)
    assert np.abs(first - plain.arrays["logits"]).max() > 0.1


def test_names_go_both_ways(reference):
    tensors = names_bart.to_hf(reference.params, reference.config)
    assert set(tensors) == set(reference.tensors)
    for name, tensor in tensors.items():
        np.testing.assert_array_equal(tensor, reference.tensors[name])


@pytest.mark.parametrize(
    "change, said",
    [
        ({"model.shared.weight": None}, "1 missing: model.shared.weight"),
        ({"model.extra.weight": np.zeros(3)}, "1 unexpected: model.extra.weight"),
        ({"model.encoder.layers.0.fc1.weight": np.zeros((3, 4))}, "of the wrong shape"),
    ],
)
def test_tensors_that_do_not_match_are_errors_with_their_keys(plain, change, said):
    tensors = {k: v for k, v in {**plain.tensors, **change}.items() if v is not None}
    with pytest.raises(InputError, match=said):
        names_bart.from_hf(tensors.items(), plain.config, "here")


@pytest.mark.parametrize(
    "change, said",
    [
        ({"model_type": "t5"}, "not 'bart'"),
        ({"d_model": None}, "'d_model' is missing"),
        ({"encoder_attention_heads": 5}, "do not divide d_model"),
        ({"activation_function": "swish2"}, "is not one of"),
        ({"tie_word_embeddings": False}, "tie_word_embeddings is False"),
    ],
)
def test_configs_that_are_not_understood_are_told(plain, change, said):
    record = {k: v for k, v in (plain.hf_config | change).items() if v is not None}
    with pytest.raises(InputError, match=said):
        BartConfig.from_hf(record)


def test_a_text_beyond_the_positions_is_an_error(plain):
    model = nnx.merge(bart.graphdef(plain.config), plain.params)
    with pytest.raises(ValueError, match="33 tokens, and the model has 32 positions"):
        model.encode(jnp.ones((1, 33), jnp.int32), jnp.ones((1, 33), bool))
