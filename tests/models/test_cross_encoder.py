"""The cross-encoder gives PyTorch's logits, and its pairs are tokenized as Hugging Face does."""

import dataclasses
import json
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tart_jax.data.tokenization import Tokenizer, pad
from tart_jax.models import checkpoint_layouts, checkpoint_params, cross_encoder
from tart_jax.models.bert import BertConfig
from tart_jax.models.cross_encoder import CrossEncoderConfig
from tart_jax.models.t5_config import T5Config
from tart_jax.types import InputError

DATA = Path(__file__).parent / "data"  # written by scripts/reference/make_cross_reference.py


class Reference:
    """One tiny cross-encoder of PyTorch, its inputs and logits."""

    def __init__(self, name: str):
        with np.load(DATA / f"cross_{name}.npz") as file:
            arrays = dict(file)
        hf, t5 = json.loads(str(arrays["config"])), name == "t5"
        encoder = T5Config.from_hf(hf) if t5 else BertConfig.from_hf(hf)
        self.config = CrossEncoderConfig(encoder, num_labels=1 if name == "bert_1" else 2)
        tensors = {
            name.removeprefix("weight/"): value.astype(np.float32)
            for name, value in arrays.items()
            if name.startswith("weight/")
        }
        layout = checkpoint_layouts.NAMES["enc_t5" if t5 else "bert_classifier"]
        self.params, _ = checkpoint_params.read(tensors, layout, self.config, "reference")
        self.expected = arrays["logits"]
        self.feed = {name: jnp.asarray(arrays[name]) for name in ("tokens", "mask", "types")}

    def logits(self, params=None, *, config=None, key=None, **feed) -> np.ndarray:
        graph = cross_encoder.graphdef(config or self.config)
        return np.asarray(
            cross_encoder.logits(graph, params or self.params, **self.feed | feed, key=key)
        )


@pytest.fixture(params=["bert_1", "bert_2", "t5"])
def reference(request: pytest.FixtureRequest) -> Reference:
    return Reference(request.param)


@pytest.fixture(params=["bert_1", "bert_2"])
def bert(request: pytest.FixtureRequest) -> Reference:
    return Reference(request.param)


def test_logits_are_those_of_pytorch(reference):
    assert reference.expected.shape == (4, reference.config.num_labels)
    # float32 sums in another order; logits of size 1 to 5
    np.testing.assert_allclose(reference.logits(), reference.expected, atol=1e-5)


def differs(reference: Reference, logits: np.ndarray) -> bool:
    return bool(np.abs(logits - reference.expected).max() > 1e-2)


def test_a_bert_without_one_of_its_parts_gives_other_logits(bert):
    assert differs(bert, bert.logits(types=jnp.zeros_like(bert.feed["types"])))
    # a pooler that is linear near 0 stands for one without its tanh
    small = jax.tree.map(lambda leaf: leaf * 1e-3, bert.params["pooler"])
    large = jax.tree.map(lambda leaf: leaf * 1e3, bert.params["classifier"])
    large["bias"] = bert.params["classifier"]["bias"]
    assert differs(bert, bert.logits(bert.params | {"pooler": small, "classifier": large}))
    for part in ("kernel", "bias"):
        changed = bert.params["pooler"] | {part: bert.params["pooler"][part] * 0}
        assert differs(bert, bert.logits(bert.params | {"pooler": changed}))


def test_tart_full_reads_the_first_position_and_no_types():
    t5 = Reference("t5")
    np.testing.assert_array_equal(t5.logits(types=jnp.zeros_like(t5.feed["types"])), t5.logits())
    assert "pooler" not in t5.params
    moved = {name: jnp.roll(value, 1, axis=1) for name, value in t5.feed.items()}
    assert differs(t5, t5.logits(**moved))


def test_padding_that_is_read_gives_other_logits(reference):
    assert differs(reference, reference.logits(mask=jnp.ones_like(reference.feed["mask"])))


def test_stacked_layers_give_the_same_logits():
    t5 = Reference("t5")
    config = dataclasses.replace(t5.config, scan=True)
    layout = checkpoint_layouts.NAMES["enc_t5"]
    tensors = checkpoint_params.write(t5.params, layout, t5.config)
    params, report = checkpoint_params.read(tensors, layout, config, "reference")
    np.testing.assert_allclose(t5.logits(params, config=config), t5.expected, atol=1e-5)
    back = checkpoint_params.write(params, layout, config)
    assert set(back) == set(tensors) == set(report.matched)
    for key, value in back.items():
        np.testing.assert_array_equal(value, tensors[key])


def test_padding_does_not_change_the_logits(reference):
    wider = {
        name: jnp.pad(value, ((0, 0), (0, 3)))  # mask False, whatever the tokens are
        for name, value in reference.feed.items()
    }
    wider["tokens"] = wider["tokens"].at[:, -3:].set(7)
    np.testing.assert_allclose(reference.logits(**wider), reference.logits(), atol=1e-5)


def test_dropout_needs_a_key_and_obeys_it(reference):
    one, same, other = (reference.logits(key=jax.random.key(k)) for k in (0, 0, 1))
    np.testing.assert_array_equal(one, same)
    assert np.abs(one - other).max() > 1e-3
    np.testing.assert_array_equal(reference.logits(), reference.logits())


def test_the_score_of_two_logits_is_their_difference_and_does_not_saturate():
    logits = jnp.array([[0.0, 30.0], [0.0, 31.0], [2.0, -1.0]])
    np.testing.assert_array_equal(cross_encoder.scores(logits), [30.0, 31.0, -3.0])
    softmax = jax.nn.softmax(logits)[:, 1]
    assert softmax[0] == softmax[1]  # what a ranking by probability would lose
    probability = cross_encoder.probability(cross_encoder.scores(logits))
    np.testing.assert_allclose(probability, softmax, rtol=1e-6)


def test_the_score_of_one_logit_is_the_logit():
    np.testing.assert_array_equal(cross_encoder.scores(jnp.array([[2.0], [-1.0]])), [2.0, -1.0])


def test_bfloat16_keeps_the_ranking_and_float32_logits(reference):
    half = reference.logits(config=dataclasses.replace(reference.config, dtype="bfloat16"))
    assert half.dtype == np.float32
    # eight bits of mantissa through two layers of wide random weights
    np.testing.assert_allclose(half, reference.expected, atol=0.5)


def test_other_numbers_of_labels_are_refused():
    with pytest.raises(InputError, match="num_labels 3"):
        CrossEncoderConfig(BertConfig(), num_labels=3)


@pytest.fixture(scope="module")
def pairs():
    with np.load(DATA / "pairs.npz") as file:
        return dict(file)


@pytest.fixture
def words(pairs, tmp_path) -> Tokenizer:
    vocabulary = json.loads(str(pairs["vocabulary"]))
    (tmp_path / "vocab.txt").write_text("\n".join(vocabulary) + "\n", "utf-8")
    return Tokenizer.load(tmp_path)


@pytest.mark.parametrize("length", [9, 16, 20])
def test_pairs_are_tokenized_and_cut_as_hugging_face_does(words, pairs, length):
    texts = [tuple(pair) for pair in json.loads(str(pairs["pairs"]))]
    rows = words.encode_pairs(texts, length)
    tokens, mask = pad([ids for ids, _ in rows], len(rows), length, words.pad_id)
    types, _ = pad([types for _, types in rows], len(rows), length, 0)
    np.testing.assert_array_equal(tokens, pairs[f"{length}/input_ids"])
    np.testing.assert_array_equal(mask, pairs[f"{length}/attention_mask"])
    np.testing.assert_array_equal(types, pairs[f"{length}/token_type_ids"])
    swapped = words.encode_pairs([pair[::-1] for pair in texts], length)
    assert any(list(ids) != list(other) for (ids, _), (other, _) in zip(rows, swapped, strict=True))


def test_a_start_token_counts_and_is_of_the_first_text(words):
    plain = words.encode_pairs([("a b", "c " * 30)], 11)[0]
    started = words.encode_pairs([("a b", "c " * 30)], 12, start=60)[0]
    assert started[0].tolist() == [60, *plain[0].tolist()]
    assert started[1].tolist() == [0, *plain[1].tolist()]
    assert len(started[0]) == 12
