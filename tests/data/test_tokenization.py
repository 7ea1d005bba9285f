"""Token ids, cutting, padding, and tokenizer files there and back."""

import json
import pickle
from pathlib import Path

import numpy as np
import pytest

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
