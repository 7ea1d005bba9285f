"""Token ids, cutting, padding, and tokenizer files there and back."""

import importlib.util
import json
import pickle
from pathlib import Path

import numpy as np
import pytest
import tokenizers

from tart_jax.data.tokenization import Tokenizer, pad
from tart_jax.types import InputError

WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "read", "a", "file", "line", "##s", "."]
CLS, SEP, PAD, UNK = 2, 3, 0, 1


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    (tmp_path / "vocab.txt").write_text("\n".join(WORDS) + "\n")
    return tmp_path


@pytest.fixture
def tokenizer(directory: Path) -> Tokenizer:
    return Tokenizer.load(directory)


def ids(tokenizer: Tokenizer, *texts: str, max_length: int = 8) -> list[list[int]]:
    return [row.tolist() for row in tokenizer.encode(texts, max_length)]


def test_special_tokens_stand_around_the_text(tokenizer):
    assert ids(tokenizer, "Read a file.", "") == [[CLS, 5, 6, 7, 10, SEP], [CLS, SEP]]
    assert tokenizer.encode(["a"], 8)[0].dtype == np.int32


def test_longer_texts_are_cut_at_the_end_and_keep_the_final_separator(tokenizer):
    text = "read a file lines . a a a"
    assert ids(tokenizer, text, max_length=5) == [[CLS, 5, 6, 7, SEP]]
    assert ids(tokenizer, text, max_length=20) == [[CLS, 5, 6, 7, 8, 9, 10, 6, 6, 6, SEP]]
    assert ids(tokenizer, text, max_length=5) == [[CLS, 5, 6, 7, SEP]]


def test_a_separator_written_out_in_the_text_is_the_separator(tokenizer):
    assert tokenizer.separator == "[SEP]"
    assert ids(tokenizer, f"read {tokenizer.separator} a file") == [[CLS, 5, SEP, 6, 7, SEP]]
    assert ids(tokenizer, "read [sep] a")[0].count(SEP) == 1  # lower-cased it is none


def test_pairs_without_offsets_are_the_pairs_with_them(tokenizer):
    """Encoded the fast way: ids and types, whatever is cut."""
    texts = ["", "read", "a file lines . [SEP] a", "É́ 日本 [CLS] \u200b read " * 4]
    pairs = [(one, other) for one in texts for other in texts]
    for length in (6, 9, 40):
        found = tokenizer.encode_pairs(pairs, length)
        wanted = tokenizer._fast.encode_batch(pairs)
        assert [(i.tolist(), t.tolist()) for i, t in found] == [(e.ids, e.type_ids) for e in wanted]
        assert max(len(ids) for ids, _ in found) <= length


def test_unknown_words_are_the_unknown_token(tokenizer):
    assert ids(tokenizer, "quux") == [[CLS, UNK, SEP]]


def test_a_length_without_room_for_text_is_refused(tokenizer):
    with pytest.raises(InputError, match="max_length 2 .* 2 special tokens"):
        tokenizer.encode(["a"], 2)


def test_padding_and_truncation_baked_into_the_file_are_dropped(directory, tokenizer):
    tokenizer.save(directory)
    content = json.loads((directory / "tokenizer.json").read_text())
    content["padding"] = {
        "strategy": {"Fixed": 12}, "direction": "Right", "pad_to_multiple_of": None,
        "pad_id": 0, "pad_type_id": 0, "pad_token": "[PAD]",
    }  # fmt: skip
    content["truncation"] = {
        "direction": "Right", "max_length": 3, "strategy": "LongestFirst", "stride": 0,
    }  # fmt: skip
    (directory / "tokenizer.json").write_text(json.dumps(content))
    baked = Tokenizer.load(directory)
    assert ids(baked, "read a file") == [[CLS, 5, 6, 7, SEP]]
    assert baked.fingerprint() == tokenizer.fingerprint()


def test_saved_and_loaded_it_is_the_same_tokenizer(directory, tokenizer, tmp_path):
    tokenizer.encode(["a"], 3)  # a truncation in use is not saved
    tokenizer.save(tmp_path / "copy")
    copy = Tokenizer.load(tmp_path / "copy")
    assert copy.fingerprint() == tokenizer.fingerprint()
    assert ids(copy, "read a file lines") == ids(tokenizer, "read a file lines")
    assert (tmp_path / "copy" / "vocab.txt").read_text().split("\n")[:-1] == WORDS


def test_another_vocabulary_has_another_fingerprint(directory, tokenizer):
    (directory / "vocab.txt").write_text("\n".join([*WORDS[:-1], "!"]) + "\n")
    assert Tokenizer.load(directory).fingerprint() != tokenizer.fingerprint()


def test_it_survives_pickling(tokenizer):
    copy = pickle.loads(pickle.dumps(tokenizer))
    assert ids(copy, "read a file") == ids(tokenizer, "read a file")
    assert (copy.pad_id, copy.separator, copy.fingerprint()) == (
        tokenizer.pad_id,
        tokenizer.separator,
        tokenizer.fingerprint(),
    )


def test_lower_casing_follows_the_options(directory):
    (directory / "tokenizer_config.json").write_text('{"do_lower_case": false}')
    assert ids(Tokenizer.load(directory), "Read read") == [[CLS, UNK, 5, SEP]]


def test_special_tokens_follow_the_options(directory):
    (directory / "special_tokens_map.json").write_text('{"sep_token": {"content": "[MASK]"}}')
    assert Tokenizer.load(directory).separator == "[MASK]"


def test_sizes_are_known(directory, tokenizer):
    assert tokenizer.vocab_size == len(WORDS)
    assert tokenizer.pad_id == PAD
    assert tokenizer.model_max_length is None
    (directory / "tokenizer_config.json").write_text('{"model_max_length": 512}')
    assert Tokenizer.load(directory).model_max_length == 512


def test_a_byte_pair_vocabulary_is_converted(tmp_path):
    letters = "abcdefghijklmnopqrstuvwxyz"
    words = ["<s>", "<pad>", "</s>", "<unk>", "<mask>", *letters, "Ġ", "th"]
    vocabulary = {word: number for number, word in enumerate(words)}
    (tmp_path / "vocab.json").write_text(json.dumps(vocabulary))
    (tmp_path / "merges.txt").write_text("#version: 0.2\nt h\n")
    (tmp_path / "tokenizer_config.json").write_text('{"tokenizer_class": "RobertaTokenizer"}')
    tokenizer = Tokenizer.load(tmp_path)
    assert tokenizer.separator == "</s>"
    expected = [vocabulary[word] for word in ["<s>", "th", "e", "</s>"]]
    assert tokenizer.encode(["the"], 8)[0].tolist() == expected


def sentencepieces(path: Path, words: list[str]) -> None:
    """T5's vocabulary file: padding, end and unknown, then these words."""
    from transformers.utils.sentencepiece_model_pb2_new import ModelProto

    model = ModelProto()
    for number, word in enumerate(["<pad>", "</s>", "<unk>", *words]):
        kind = (3, 3, 2)[number] if number < 3 else 1  # control, control, unknown; normal
        model.pieces.add(piece=word, score=-number / 8, type=kind)
    model.trainer_spec.model_type, model.trainer_spec.unk_id = 1, 2
    path.write_bytes(model.SerializeToString())


@pytest.fixture
def t5_directory(tmp_path: Path) -> Path:
    """TART-full's tokenizer as released: no tokenizer.json, and a class of its own code."""
    words = ["▁", "▁read", "▁file", *"abcdefilrs[]SEP"]
    words += [f"▁{number}" for number in range(32_000 - 3 - len(words))]
    sentencepieces(tmp_path / "spiece.model", words)
    options = {"tokenizer_class": "EncT5Tokenizer", "bos_token": "<s>", "name_or_path": "/home"}
    (tmp_path / "tokenizer_config.json").write_text(json.dumps(options))
    (tmp_path / "config.json").write_text('{"model_type": "t5"}')
    return tmp_path


@pytest.fixture
def t5(t5_directory: Path, monkeypatch) -> Tokenizer:
    """Read with sentencepiece or without: transformers asks for it, but protobuf does the work."""
    from transformers import convert_slow_tokenizer

    monkeypatch.setattr(importlib.util, "find_spec", lambda name: "found")
    monkeypatch.setattr(convert_slow_tokenizer, "requires_backends", lambda *given: None)
    return Tokenizer.load(t5_directory)


def test_a_sentencepiece_vocabulary_is_converted(t5):
    assert (t5.separator, t5.pad_id, t5.vocab_size) == ("</s>", 0, 32_101)
    assert [t5.decode([token]) for token in (32_000, 32_099, 32_100)] == [
        "<extra_id_99>", "<extra_id_0>", "<s>",
    ]  # fmt: skip
    assert ids(t5, "read a file", "<s> a </s> b") == [[4, 3, 6, 5, 1], [32_100, 3, 6, 1, 3, 7, 1]]


def test_a_sentencepiece_vocabulary_needs_its_package(t5_directory, monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(InputError, match="spiece.model needs the package sentencepiece .*pip inst"):
        Tokenizer.load(t5_directory)


def unigrams(*, start: bool) -> Tokenizer:
    """Of T5's kind, with three sentinels; with or without a start token, as TART-full's has."""
    words = ["<pad>", "</s>", "<unk>", "▁", *"abcdefilrs", "▁read"]
    fast = tokenizers.Tokenizer(tokenizers.models.Unigram([(w, -1.0) for w in words], unk_id=2))
    fast.pre_tokenizer = tokenizers.pre_tokenizers.Metaspace()
    fast.add_special_tokens([*words[:3], "<extra_id_1>", "<extra_id_0>", "<s>"])
    before = "<s> " if start else ""
    fast.post_processor = tokenizers.processors.TemplateProcessing(
        single=f"{before}$A </s>", pair=f"{before}$A </s> $B </s>",
        special_tokens=[(token, fast.token_to_id(token)) for token in ("<s>", "</s>")],
    )  # fmt: skip
    return Tokenizer(fast, {})


@pytest.mark.parametrize("start", [False, True])
def test_transformers_reads_what_is_saved_of_t5_as_we_do(start, tmp_path):
    from transformers import AutoTokenizer

    tokenizer = unigrams(start=start)
    tokenizer.save(tmp_path)
    (tmp_path / "config.json").write_text('{"model_type": "t5"}')
    texts = ("read a file", "a </s> b", "<extra_id_0> read")
    theirs = AutoTokenizer.from_pretrained(str(tmp_path))
    assert theirs(list(texts))["input_ids"] == ids(tokenizer, *texts, max_length=32)
    assert set(theirs("a")) == {"input_ids", "attention_mask"}
    assert (theirs.pad_token, theirs.eos_token) == ("<pad>", "</s>")
    # The twin: a BERT's class, which would be written for word pieces.
    (tmp_path / "tokenizer_config.json").write_text('{"tokenizer_class": "BertTokenizer"}')
    with pytest.raises(Exception, match="WordPiece error"):
        AutoTokenizer.from_pretrained(str(tmp_path))(list(texts))


def test_a_class_of_tart_fulls_code_is_not_handed_on(t5, tmp_path):
    from transformers import AutoTokenizer

    t5.save(tmp_path / "copy")
    (tmp_path / "copy" / "config.json").write_text('{"model_type": "t5"}')
    options = json.loads((tmp_path / "copy" / "tokenizer_config.json").read_text())
    assert options["tokenizer_class"] == "PreTrainedTokenizerFast"
    assert options["bos_token"] == "<s>" and "name_or_path" not in options
    text = "<s> read a </s> file [SEP] b"
    theirs = AutoTokenizer.from_pretrained(str(tmp_path / "copy"))(text)["input_ids"]
    assert [theirs] == ids(t5, text, max_length=32)
    assert Tokenizer.load(tmp_path / "copy").fingerprint() == t5.fingerprint()


def test_a_directory_without_tokenizer_is_refused(tmp_path):
    with pytest.raises(InputError, match="no tokenizer.json or vocab.txt"):
        Tokenizer.load(tmp_path)


def test_a_broken_tokenizer_file_is_refused_by_name(tmp_path):
    (tmp_path / "tokenizer.json").write_text("{")
    with pytest.raises(InputError, match=f"{tmp_path}: the tokenizer cannot be read"):
        Tokenizer.load(tmp_path)


def test_rows_are_padded_on_the_right_to_the_asked_shape():
    tokens, mask = pad([np.array([2, 5, 3]), np.array([2, 3])], 3, 4, 9)
    assert tokens.tolist() == [[2, 5, 3, 9], [2, 3, 9, 9], [9, 9, 9, 9]]
    assert mask.tolist() == [[True, True, True, False], [True, True, False, False], [False] * 4]
    assert tokens.dtype == np.int32


@pytest.mark.parametrize("rows_to,length", [(1, 4), (2, 2)])
def test_rows_that_do_not_fit_are_refused(rows_to, length):
    with pytest.raises(ValueError, match="2 rows of up to 3 tokens do not fit"):
        pad([np.array([2, 5, 3]), np.array([2, 3])], rows_to, length, 0)
