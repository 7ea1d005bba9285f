"""BERT and T5 in one face, and T5 as the tower of a dual encoder: loading, scan, export."""

import dataclasses
import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import safetensors.numpy
from tokenizers import Tokenizer as FastTokenizer
from tokenizers import models, pre_tokenizers, processors

from tart_jax.data.tokenization import Tokenizer, pad
from tart_jax.encode.encoder import Encoder
from tart_jax.models import cross_encoder, dual_encoder, encoders, weights
from tart_jax.models.bert import BertConfig
from tart_jax.models.cross_encoder import CrossEncoderConfig
from tart_jax.models.dual_encoder import DualEncoderConfig
from tart_jax.models.pretrained import Format, export, load
from tart_jax.types import InputError

FORMAT = Format("query_first", None, 9, 15)
LETTERS = "abcdefghijklmnopqrstuvwxyz"


@pytest.fixture
def t5_directory(gated, tmp_path):
    """A Hugging Face directory of the reference's whole model, with a tokenizer of letters."""
    directory = tmp_path / "t5"
    directory.mkdir()
    pieces = [("<pad>", 0.0), ("</s>", 0.0), ("<unk>", 0.0), ("▁", -2.0)]
    pieces += [(letter, -3.0) for letter in LETTERS] + [(f"▁{letter}", -2.5) for letter in LETTERS]
    fast = FastTokenizer(models.Unigram(pieces, unk_id=2))
    split = [pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Metaspace()]  # T5's
    fast.pre_tokenizer = pre_tokenizers.Sequence(split)
    fast.post_processor = processors.TemplateProcessing("$A </s>", special_tokens=[("</s>", 1)])
    fast.add_special_tokens(["<pad>", "</s>", "<unk>"])
    fast.save(str(directory / "tokenizer.json"))
    options = {"tokenizer_class": "T5TokenizerFast", "pad_token": "<pad>", "eos_token": "</s>"}
    (directory / "tokenizer_config.json").write_text(json.dumps(options))
    (directory / "config.json").write_text(json.dumps(gated.hf_config))
    safetensors.numpy.save_file(gated.tensors, directory / "model.safetensors")
    return directory


def embed(model, tokens, mask, tower="document"):
    graph = dual_encoder.graphdef(model.config)
    tokens, mask = jnp.asarray(tokens), jnp.asarray(mask)
    return np.asarray(dual_encoder.encode(graph, model.params, tokens, mask, tower=tower))


@pytest.mark.parametrize("scan", [False, True])
def test_a_t5_directory_is_a_tower_and_its_decoder_is_ignored(t5_directory, gated, scan):
    model = load(t5_directory, scan=scan)
    assert model.config == DualEncoderConfig(gated.config, scan=scan)
    assert model.ignored[-1] == "lm_head.weight" and len(model.ignored) > 20
    means = [row[real].mean(axis=0) for row, real in zip(gated.hidden, gated.mask, strict=True)]
    # float32 sums in another order than PyTorch's
    np.testing.assert_allclose(embed(model, gated.tokens, gated.mask), means, atol=1e-5)


@pytest.mark.parametrize("scan", [False, True])
@pytest.mark.parametrize("changes", [{}, {"pooling": "last", "normalize": True}, {"tied": False}])
def test_export_then_import_is_the_identity_of_a_t5_tower(t5_directory, tmp_path, scan, changes):
    model = load(t5_directory, scan=scan, **changes)
    params = model.params
    if not model.config.tied:
        params = params | {"query": jax.tree.map(lambda leaf: leaf + 0.25, params["query"])}
    parts = {"format": FORMAT, "tokenizer": model.tokenizer}
    export(tmp_path / "out", config=model.config, params=params, **parts)
    back = load(tmp_path / "out", scan=scan)
    assert back.config.encoder == dataclasses.replace(model.config.encoder)
    assert back.config == model.config
    assert (back.format, back.format_known, back.ignored) == (FORMAT, True, ())
    assert back.tokenizer.fingerprint() == model.tokenizer.fingerprint()
    jax.tree.map(np.testing.assert_array_equal, back.params, params)


def test_sentence_transformers_embeds_by_an_exported_t5_as_we_do(t5_directory, tmp_path):
    library = pytest.importorskip("sentence_transformers")
    model = load(t5_directory, normalize=True)
    parts = {"format": FORMAT, "tokenizer": model.tokenizer}
    export(tmp_path / "out", config=model.config, params=model.params, **parts)
    texts = ["read a file", "a </s> b", "the quick brown fox jumps over"]
    rows = model.tokenizer.encode(texts, 15)
    ours = embed(model, *pad(rows, len(rows), 15, model.tokenizer.pad_id))
    theirs = library.SentenceTransformer(str(tmp_path / "out"), device="cpu").encode(texts)
    np.testing.assert_allclose(ours, theirs, atol=1e-5)


def test_stacked_layers_have_the_hash_of_layers_apart(t5_directory):
    apart, together = (load(t5_directory, scan=scan) for scan in (False, True))
    assert apart.weights_sha256 == together.weights_sha256
    assert len(jax.tree.leaves(together.params)) < len(jax.tree.leaves(apart.params))
    swapped = jax.tree.map(lambda leaf: leaf, together.params)
    norm = swapped["document"]["encoder"]["stack"]["layers"]["attention_norm"]
    norm["scale"] = norm["scale"][::-1]
    assert weights.params_sha256(swapped) != apart.weights_sha256


def test_a_trainers_file_with_two_t5_towers_loads_untied(t5_directory, gated):
    encoder = {k: v for k, v in gated.tensors.items() if k.startswith(("encoder", "shared"))}
    both = {f"q_encoder.{name}": tensor + 0.5 for name, tensor in encoder.items()}
    both |= {f"p_encoder.{name}": tensor for name, tensor in encoder.items()}
    path = t5_directory / "both.safetensors"
    safetensors.numpy.save_file(both, path)
    model, single = load(path), load(t5_directory)
    assert not model.config.tied
    jax.tree.map(np.testing.assert_array_equal, model.params["document"], single.params["document"])
    query = model.params["query"]["encoder"]["tokens"]["embedding"]
    np.testing.assert_array_equal(query, gated.tensors["shared.weight"] + 0.5)


def test_a_t5_reads_512_tokens_by_default_and_longer_texts_when_asked(t5_directory):
    model = load(t5_directory)
    assert model.format == Format(query_length=512, document_length=512)
    encoder = Encoder(model, tower="document", max_length=600)
    assert encoder.max_length == 600
    tokens, mask = pad([np.full(600, 7, np.int32)], 1, 600, model.tokenizer.pad_id)
    assert np.isfinite(embed(model, tokens, mask)).all()


def test_the_separator_of_a_t5_is_its_end_token(t5_directory):
    tokenizer = Tokenizer.load(t5_directory)
    assert tokenizer.separator == "</s>"
    assert list(tokenizer.encode(["a </s> b"], 9)[0][-1:]) == [1]


def test_positions_are_those_of_the_table_or_none():
    assert encoders.positions(BertConfig(max_position_embeddings=9)) == 9
    assert encoders.positions(encoders.T5Config()) is None


def test_a_configuration_is_told_by_its_model_type(gated, tiny):
    assert encoders.config_from_hf(gated.hf_config) == gated.config
    assert encoders.config_from_hf(tiny.hf_config) == tiny.config
    assert encoders.config_from_hf({}) == BertConfig()
    with pytest.raises(InputError, match="model_type 'roberta' is not supported; 'bert', 't5'"):
        encoders.config_from_hf({"model_type": "roberta"})


@pytest.mark.parametrize("kind", [DualEncoderConfig, CrossEncoderConfig])
def test_stacked_layers_of_a_bert_are_refused(tiny, kind):
    with pytest.raises(InputError, match="scan=True stacks the layers of a T5"):
        kind(tiny.config, scan=True)


def test_stacked_layers_of_a_bert_directory_are_refused(safetensors_directory):
    with pytest.raises(InputError, match="scan=True stacks the layers of a T5"):
        load(safetensors_directory, scan=True)


@pytest.mark.parametrize("scan", [False, True])
def test_a_t5_cross_encoder_reads_the_first_position_through_a_linear_layer(gated, scan):
    """TART-full: no pooler, no token types."""
    config = CrossEncoderConfig(gated.config, scan=scan)
    params = cross_encoder.init(config, jax.random.key(0))
    assert set(params) == {"encoder", "classifier"}
    params["encoder"], _ = encoders.params_from_hf(gated.tensors, gated.config, "here", scan=scan)
    params["classifier"]["bias"] = jnp.asarray([0.5, -0.25])
    tokens, mask = jnp.asarray(gated.tokens), jnp.asarray(gated.mask)
    graph = cross_encoder.graphdef(config)
    logits = [
        cross_encoder.logits(graph, params, tokens, mask, jnp.full_like(tokens, types))
        for types in (0, 1)
    ]
    want = gated.hidden[:, 0] @ np.asarray(params["classifier"]["kernel"]) + [0.5, -0.25]
    np.testing.assert_allclose(logits[0], want, atol=1e-5)  # other order of float32 sums
    np.testing.assert_array_equal(*logits)


@pytest.mark.parametrize("scan", [False, True])
def test_the_first_layers_of_a_t5_are_kept_stacked_or_apart(t5_directory, gated, scan):
    whole = load(t5_directory, scan=scan)
    config, params = encoders.first_layers(
        whole.config.encoder, whole.params["document"]["encoder"], 1
    )
    assert config == dataclasses.replace(whole.config.encoder, num_layers=1)
    apart = load(t5_directory).params["document"]["encoder"]["stack"]["layers"][0]
    kept = params["stack"]["layers"]
    kept = jax.tree.map(lambda leaf: leaf[0], kept) if scan else kept[0]
    jax.tree.map(np.testing.assert_array_equal, kept, apart)


def test_the_first_layers_of_a_bert_are_kept_and_no_others(tiny, safetensors_directory):
    whole = load(safetensors_directory).params["document"]["encoder"]
    config, params = encoders.first_layers(tiny.config, whole, 1)
    assert list(params["layers"]) == [0] and config.num_hidden_layers == 1
    assert params["embeddings"]["tokens"] == whole["embeddings"]["tokens"]
    for wrong in (0, tiny.config.num_hidden_layers + 1):
        with pytest.raises(InputError, match=f"layers is {wrong}, the encoder has"):
            encoders.first_layers(tiny.config, whole, wrong)
