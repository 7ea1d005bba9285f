"""A reader: what it reads, what it writes, and that it comes back from disk the same."""

import dataclasses
import functools
import json
from pathlib import Path

import jax
import numpy as np
import pytest
import safetensors.numpy

from tart_jax import io
from tart_jax.data.reading import ReadingRow
from tart_jax.data.tokenization import Tokenizer
from tart_jax.models import bart, names_t5, reader, t5_decoder
from tart_jax.models.bart_config import BartConfig
from tart_jax.models.t5_config import T5Config
from tart_jax.types import InputError

WORDS = [*"abcdefghij", "oak", "elm", "tall", "short", "?"]
VOCABULARY = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *WORDS]


def tokenizer(folder: Path) -> Tokenizer:
    folder.mkdir(exist_ok=True)
    (folder / "vocab.txt").write_text("\n".join(VOCABULARY) + "\n")
    return Tokenizer.load(folder)


def small_bart() -> BartConfig:
    return BartConfig(
        vocab_size=len(VOCABULARY), d_model=16, encoder_layers=1, decoder_layers=1,
        encoder_attention_heads=2, decoder_attention_heads=2, encoder_ffn_dim=32,
        decoder_ffn_dim=32, max_position_embeddings=48, pad_token_id=0, eos_token_id=3,
        decoder_start_token_id=3, init_std=0.3,
    )  # fmt: skip


def make_bart(folder: Path, **format) -> Path:
    config = small_bart()
    params = jax.tree.map(np.asarray, bart.init(config, jax.random.key(0)))
    options = {"passages": 2, "input_length": 24, "answer_length": 6} | format
    reader.export(
        folder, config=config, params=params, format=reader.ReaderFormat(**options),
        tokenizer=tokenizer(folder.parent / "words"),
    )  # fmt: skip
    return folder


ROWS = [
    ReadingRow("a b ?", ("oak tall", "elm short"), "oak", "1"),
    ReadingRow("c ?", ("elm",), "elm short", "2"),
    ReadingRow("d e f ?", (), "short", "3"),
]


def test_passages_stand_before_the_input_and_are_cut_first(tmp_path):
    model = reader.load(make_bart(tmp_path / "m", input_length=9))
    batch = model.collator()(ROWS)
    assert batch["input_tokens"].shape == (3, 1, 9) and batch["answer_tokens"].shape == (3, 6)
    texts = [model.tokenizer.decode(row[0]) for row in batch["input_tokens"]]
    assert texts[0] == "[CLS] oak tall elm [SEP] a b? [SEP]"  # "short" is cut, the input is whole
    assert texts[1].startswith("[CLS] elm [SEP] c? [SEP]")
    assert texts[2].startswith("[CLS] [SEP] d e f? [SEP]")
    assert batch["answer_mask"].sum(axis=1).tolist() == [3, 4, 3]


def test_fusion_reads_each_passage_with_the_input(tmp_path):
    model = reader.load(make_bart(tmp_path / "m", fusion=True))
    batch = model.collator()(ROWS)
    assert batch["input_tokens"].shape == (3, 2, 24)
    texts = [[model.tokenizer.decode(part, skip_specials=True) for part in row]
             for row in batch["input_tokens"]]  # fmt: skip
    assert texts[0] == ["oak tall a b?", "elm short a b?"]
    assert texts[1] == ["elm c?", "c?"]
    with pytest.raises(InputError, match=r"data\.passages of 1 or more"):
        dataclasses.replace(model, format=dataclasses.replace(model.format, passages=0)).collator()


@pytest.mark.parametrize("beams", [1, 3])
def test_a_written_reader_writes_the_same(tmp_path, beams):
    model = reader.load(make_bart(tmp_path / "m"))
    assert model.format_known and model.format.passages == 2
    written = reader.Writer(model, beams=beams)(ROWS)
    assert len(written) == 3 and not any("[" in text for text in written)
    reader.export(
        tmp_path / "n", config=model.config, params=model.params, format=model.format,
        tokenizer=model.tokenizer,
    )  # fmt: skip
    again = reader.load(tmp_path / "n")
    assert again.weights_sha256 == model.weights_sha256
    assert reader.Writer(again, beams=beams)(ROWS) == written


def test_a_batch_gives_what_its_rows_give_alone(tmp_path):
    model = reader.load(make_bart(tmp_path / "m"))
    write = reader.Writer(model)
    assert write(ROWS) == [write([row])[0] for row in ROWS]


def test_a_t5_is_a_reader_too(tmp_path):
    """Its tokenizer ends texts with </s>, as T5's does."""
    from tokenizers import Tokenizer as Fast
    from tokenizers import models, pre_tokenizers, processors

    words = {word: n for n, word in enumerate(["<pad>", "</s>", "<unk>", *WORDS])}
    fast = Fast(models.WordLevel(words, unk_token="<unk>"))
    fast.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    fast.post_processor = processors.TemplateProcessing(
        single="$A </s>", pair="$A </s> $B </s>", special_tokens=[("</s>", 1)]
    )
    folder = tmp_path / "t5"
    folder.mkdir()
    fast.save(str(folder / "tokenizer.json"))
    io.write_json(folder / "tokenizer_config.json", {"eos_token": "</s>", "pad_token": "<pad>"})
    config = T5Config(vocab_size=len(words), d_model=16, d_kv=8, d_ff=32, num_layers=1,
                      num_decoder_layers=1, num_heads=2, feed_forward_proj="gated-gelu",
                      tie_word_embeddings=False)  # fmt: skip
    params = jax.tree.map(np.asarray, t5_decoder.init(config, jax.random.key(0)))
    safetensors.numpy.save_file(names_t5.to_hf(params, config), folder / "model.safetensors")
    io.write_json(folder / "config.json", config.to_hf())
    model = reader.load(folder)
    assert not model.format_known
    model = dataclasses.replace(
        model, format=reader.ReaderFormat(passages=2, input_length=16, answer_length=5)
    )
    reader.export(tmp_path / "out", config=model.config, params=model.params,
                  format=model.format, tokenizer=model.tokenizer)  # fmt: skip
    again = reader.load(tmp_path / "out")
    assert again.weights_sha256 == model.weights_sha256 and again.format == model.format
    assert reader.Writer(again)(ROWS) == reader.Writer(model)(ROWS)


def test_the_encoder_under_a_new_decoder_is_berts(tiny_model):
    """Equal states: the token types are in the positions, and the norms differ by 1e-5 alone."""
    from flax import nnx

    from tart_jax.models import pretrained

    bert = pretrained.load(tiny_model)
    model = reader.over_encoder(bert, 1, dtype="float32")
    ids = jax.numpy.asarray(model.tokenizer.encode(["a b c d e f g"], 16)[0][None])
    mask = jax.numpy.ones(ids.shape, bool)
    ours = nnx.merge(model.graphdef(), jax.tree.map(jax.numpy.asarray, model.params)).encode(
        ids, mask
    )
    from tart_jax.models import dual_encoder

    tower = nnx.merge(dual_encoder.graphdef(bert.config), bert.params).document
    theirs = np.asarray(tower.encoder(ids, mask))
    # The tiny model's states have a variance near 1, beside which the norms' 1e-5 is 5e-6 of them.
    np.testing.assert_allclose(ours, theirs, atol=2e-4)
    shapes = jax.eval_shape(functools.partial(bart.init, model.config), jax.random.key(0))
    assert jax.tree.map(np.shape, model.params) == jax.tree.map(np.shape, shapes)
    layer = model.params["decoder"]["layers"][0]
    np.testing.assert_array_equal(
        layer["cross"]["query"]["kernel"],
        bert.params["document"]["encoder"]["layers"][0]["attention"]["query"]["kernel"],
    )


def test_a_new_decoder_does_not_go_over_two_towers(tiny_model):
    from tart_jax.models import pretrained

    with pytest.raises(InputError, match="a BERT of one tower"):
        reader.over_encoder(pretrained.load(tiny_model, tied=False), 1, dtype="float32")


def test_what_is_no_reader_is_told(tmp_path, tiny_model):
    with pytest.raises(InputError):
        reader.load(tiny_model)
    folder = make_bart(tmp_path / "m")
    record = json.loads((folder / reader.FILE).read_text())
    (folder / reader.FILE).write_text(json.dumps(record | {"version": 9}))
    with pytest.raises(InputError, match="not of version 1"):
        reader.load(folder)
    (folder / "vocab.txt").write_text("\n".join([*VOCABULARY, "more"]) + "\n")
    (folder / "tokenizer.json").unlink()
    with pytest.raises(InputError, match="do not belong together"):
        reader.load(folder)
