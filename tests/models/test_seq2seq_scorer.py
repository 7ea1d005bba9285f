"""MonoT5's and UPR's prompts and scores against PyTorch's, and what is refused at loading."""

import dataclasses
import functools
import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import safetensors.numpy
import tokenizers

from tart_jax.data import tokenization
from tart_jax.models import names_t5, seq2seq_scorer, t5_decoder
from tart_jax.models.seq2seq_scorer import load
from tart_jax.types import InputError

# float32 sums in another order than PyTorch's; scores are of 0.3 to 16.
TOLERANCE = 1e-5
NAMES = ("relu_tied", "gated")


def compile_likelihood():
    """Anew, for a test that changes what it calls."""
    scored = functools.partial(seq2seq_scorer.likelihood)
    return jax.jit(scored, static_argnames=("graphdef",))


truth = jax.jit(seq2seq_scorer.truth, static_argnames=("graphdef", "answers"))
likelihood = compile_likelihood()


@pytest.fixture(params=NAMES)
def both(request, make_seq2seq):
    """A model and what PyTorch made of it."""
    folder, arrays = make_seq2seq(request.param)
    return load(folder), arrays


@pytest.fixture
def gated_both(make_seq2seq):
    folder, arrays = make_seq2seq()
    return load(folder), arrays


def pairs_of(arrays):
    return [tuple(pair) for pair in json.loads(str(arrays["pairs"]))]


def prompts(kind, model, arrays):
    pairs, length = pairs_of(arrays), int(arrays["max_length"])
    if kind == "monot5":
        return seq2seq_scorer.monot5_prompts(model.tokenizer, pairs, length)
    return seq2seq_scorer.upr_prompts(model.tokenizer, [text for _, text in pairs], length)


def score(kind, model, arrays, *, whole_mask=False, answers=None, question_mask=None, fresh=False):
    rows = prompts(kind, model, arrays)
    tokens, mask = tokenization.pad(rows, len(rows), int(arrays["max_length"]), 0)
    inputs = [jnp.asarray(tokens), jnp.asarray(mask | whole_mask)]
    if kind == "monot5":
        chosen = answers or seq2seq_scorer.answers(model)
        return truth(model.graphdef(), model.params, *inputs, answers=chosen)
    asked = model.tokenizer.encode([query for query, _ in pairs_of(arrays)], 128)
    question, real = tokenization.pad(asked, len(asked), max(map(len, asked)), 0)
    real = real if question_mask is None else question_mask(real)
    inputs += [jnp.asarray(question), jnp.asarray(real)]
    compute = compile_likelihood() if fresh else likelihood
    return compute(model.graphdef(), model.params, *inputs)


def difference(kind, both, **options):
    model, arrays = both
    return float(np.abs(score(kind, model, arrays, **options) - arrays[kind]).max())


@pytest.mark.parametrize("kind", ["monot5", "upr"])
def test_prompts_are_pytorchs_and_keep_their_end_where_the_document_is_cut(both, kind):
    model, arrays = both
    rows = prompts(kind, model, arrays)
    tokens, _ = tokenization.pad(rows, len(rows), int(arrays["max_length"]), 0)
    np.testing.assert_array_equal(tokens, arrays[f"ids/{kind}"])
    end = {"monot5": "Relevant:", "upr": "Please write a question based on this passage."}[kind]
    tail = model.tokenizer.encode([end], 99)[0]
    assert any(len(row) == len(tokens[0]) for row in rows)  # some are cut
    assert all(row[-len(tail) :].tolist() == tail.tolist() for row in rows)


@pytest.mark.parametrize("kind", ["monot5", "upr"])
def test_scores_are_pytorchs(both, kind):
    assert np.ptp(both[1][kind]) > 0.2
    assert difference(kind, both) < TOLERANCE


@pytest.mark.parametrize(
    "kind,broken",
    [
        ("monot5", {"whole_mask": True}),
        ("upr", {"whole_mask": True}),
        ("upr", {"question_mask": lambda real: real | True}),  # padding counts
        ("upr", {"question_mask": lambda real: np.roll(real, -1, axis=1)}),  # no end token
    ],
)
def test_a_broken_twin_has_other_scores(both, kind, broken):
    assert difference(kind, both, **broken) > 1000 * TOLERANCE


def test_false_for_true_and_an_unshifted_question_give_other_scores(gated_both, monkeypatch):
    both = gated_both
    swapped = seq2seq_scorer.answers(both[0])[::-1]
    assert difference("monot5", both, answers=swapped) > 1000 * TOLERANCE
    monkeypatch.setattr(t5_decoder, "shift_right", lambda labels, config: labels)
    assert difference("upr", both, fresh=True) > 1000 * TOLERANCE


@pytest.mark.parametrize("places", [1, 40])  # one at a time, four of ten rows
def test_logits_of_some_places_at_a_time_give_the_same(gated_both, monkeypatch, places):
    monkeypatch.setattr(seq2seq_scorer, "PLACES", places)
    assert difference("upr", gated_both, fresh=True) < TOLERANCE


def test_stacked_layers_give_the_same_scores(make_seq2seq):
    folder, arrays = make_seq2seq()
    both = load(folder, scan=True), arrays
    assert difference("monot5", both) < TOLERANCE and difference("upr", both) < TOLERANCE
    assert both[0].weights_sha256 == load(folder).weights_sha256


def test_bfloat16_stays_near_and_scores_are_float32(make_seq2seq):
    folder, arrays = make_seq2seq()
    both = load(folder, dtype="bfloat16"), arrays
    assert score("upr", *both).dtype == np.float32
    # 2^-8 a rounding, some dozens on the way
    assert 1e-3 < difference("upr", both) < 1.0


def test_a_sure_answer_does_not_saturate(make_seq2seq, monkeypatch):
    model = load(make_seq2seq()[0])
    false, true = answers = seq2seq_scorer.answers(model)
    logits = jnp.zeros((4, 1, model.config.vocab_size)).at[:, 0, true].set([-1.0, 20.0, 40.0, 60.0])
    monkeypatch.setattr(t5_decoder.T5, "encode", lambda self, *_: None)
    monkeypatch.setattr(t5_decoder.T5, "decode", lambda self, *_: logits)
    tokens, mask = jnp.ones((4, 6), jnp.int32), jnp.ones((4, 6), bool)
    found = seq2seq_scorer.truth(model.graphdef(), model.params, tokens, mask, answers=answers)
    exact = -np.log1p(np.exp(-np.array([-1.0, 20.0, 40.0, 60.0])))
    np.testing.assert_allclose(found, exact, rtol=1e-6)
    lost = jax.nn.log_softmax(logits[:, 0, jnp.array([false, true])])[:, 1]
    assert lost[1] == lost[2] == lost[3] == 0  # what a ranking by log_softmax would lose


def test_a_random_models_scores_are_those_of_torch_where_that_is_installed(make_seq2seq, key):
    torch, transformers = map(pytest.importorskip, ("torch", "transformers"))
    folder, arrays = make_seq2seq()
    config = dataclasses.replace(load(folder).config, num_layers=1, d_ff=20)
    params = t5_decoder.init(config, key)
    peer = transformers.T5ForConditionalGeneration(transformers.T5Config(**config.to_hf())).eval()
    peer.lm_head.weight = torch.nn.Parameter(torch.empty(config.vocab_size, config.d_model))
    tensors = {k: torch.tensor(v) for k, v in names_t5.to_hf(params, config).items()}
    assert peer.load_state_dict(tensors, strict=False).unexpected_keys == []
    model = dataclasses.replace(load(folder), config=config, params=params)
    words = tokenizers.Tokenizer.from_file(str(folder / "tokenizer.json"))
    false, true = seq2seq_scorer.answers(model)
    want: dict[str, list[float]] = {"monot5": [], "upr": []}
    with torch.inference_mode():
        for (query, _), mono, upr in zip(
            pairs_of(arrays),
            prompts("monot5", model, arrays),
            prompts("upr", model, arrays),
            strict=True,
        ):
            start, label = torch.zeros((1, 1), dtype=int), torch.tensor([words.encode(query).ids])
            logits = peer(
                input_ids=torch.from_numpy(mono)[None].long(),
                decoder_input_ids=start,
                decoder_attention_mask=start + 1,
            ).logits[0, 0]
            want["monot5"].append(float(torch.log_softmax(logits[[false, true]], dim=0)[1]))
            loss = peer(
                input_ids=torch.from_numpy(upr)[None].long(),
                labels=label,
                decoder_attention_mask=torch.ones_like(label),
            ).loss
            want["upr"].append(-float(loss))
    for kind in ("monot5", "upr"):
        np.testing.assert_allclose(
            score(kind, model, arrays), want[kind], rtol=TOLERANCE, atol=TOLERANCE
        )


def test_an_encoder_alone_is_refused_in_one_sentence(make_seq2seq, tmp_path):
    folder, _ = make_seq2seq(drop="decoder")
    with pytest.raises(InputError, match="is a T5's encoder alone; the scorers monot5 and upr"):
        load(folder)
    folder, _ = make_seq2seq(drop="decoder.block.1")
    with pytest.raises(InputError, match=r"missing: decoder\.block\.1"):
        load(folder)


def test_another_kind_of_model_is_refused(make_seq2seq, tiny_model):
    with pytest.raises(InputError, match="config.json: model_type 'bert' is not supported"):
        load(tiny_model)
    folder, _ = make_seq2seq(vocab_size=9)
    with pytest.raises(
        InputError, match=r"wrong shape: .*shared.weight \[76, 24\] instead of \[9, 24\]"
    ):
        load(folder)


def test_a_file_loads_as_its_directory_does(make_seq2seq):
    folder, _ = make_seq2seq()
    assert load(folder / "model.safetensors").weights_sha256 == load(folder).weights_sha256


def rewritten(folder, change):
    """The folder with its tokenizer.json changed."""
    path = folder / "tokenizer.json"
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))
    return folder


def test_a_tokenizer_that_is_not_t5s_is_refused(make_seq2seq):
    def no_end(content):
        content["post_processor"] = None

    def no_words(content):
        content["pre_tokenizer"] = None

    for change in (no_end, no_words):
        with pytest.raises(InputError, match="T5's cuts at spaces and puts 1 at the end"):
            load(rewritten(make_seq2seq()[0], change))
    folder, _ = make_seq2seq()
    tensors = safetensors.numpy.load_file(folder / "model.safetensors")
    tensors |= {key: tensors[key][:40].copy() for key in ("shared.weight", "lm_head.weight")}
    safetensors.numpy.save_file(tensors, folder / "model.safetensors")
    config = json.loads((folder / "config.json").read_text()) | {"vocab_size": 40}
    (folder / "config.json").write_text(json.dumps(config))
    with pytest.raises(InputError, match="they do not belong together"):
        load(folder)


@pytest.mark.parametrize("word,missing", [("true", "letters"), ("false", "unknown")])
def test_a_tokenizer_without_the_answers_is_refused(make_seq2seq, word, missing):
    def change(content):
        for piece in content["model"]["vocab"]:
            if piece[0] == f"\u2581{word}" or (missing == "unknown" and piece[0] == word[0]):
                piece[0] = f"\u2581gone{piece[0]}"

    model = load(rewritten(make_seq2seq()[0], change))
    with pytest.raises(InputError, match=f"has no token '{word}' .* this is no MonoT5"):
        seq2seq_scorer.answers(model)


def test_the_answers_are_false_and_true(both):
    model, arrays = both
    words = tokenizers.Tokenizer.from_str(str(arrays["tokenizer"]))
    want = tuple(words.token_to_id(f"\u2581{word}") for word in ("false", "true"))
    assert seq2seq_scorer.answers(model) == want


def test_a_length_without_room_for_the_document_is_refused(both):
    words = both[0].tokenizer
    with pytest.raises(InputError, match="max_length 25 leaves 15 tokens beside 'Please .* to 26"):
        seq2seq_scorer.upr_prompts(words, ["a"], 25)
    assert len(seq2seq_scorer.upr_prompts(words, ["a " * 30], 26)[0]) == 26
