"""One face over Hugging Face tokenizers, and padding to fixed shapes."""

import hashlib
import importlib.util
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Bool, Int
from tokenizers import AddedToken
from tokenizers import Tokenizer as FastTokenizer
from tokenizers.implementations import BertWordPieceTokenizer

from tart_jax import io
from tart_jax.data import hub
from tart_jax.types import InputError

# Vocabularies that transformers turns into a tokenizer: byte-level BPE, sentencepiece.
CONVERTED = ("vocab.json", "spiece.model", "sentencepiece.bpe.model", "tokenizer.model")
ENC_T5 = "EncT5Tokenizer"  # TART-full's code names its tokenizer so; transformers knows none
# What a model directory may hold beside its weights so that others can tokenize as we do.
FILES = (
    *("tokenizer.json", "vocab.txt", *CONVERTED, "merges.txt"),
    *("tokenizer_config.json", "special_tokens_map.json"),
)


class Tokenizer:
    """Texts to token ids. Knows only the text side: lengths are asked for at each call.

    Padding and truncation baked into `tokenizer.json` are dropped at loading: MiniLM's file says
    128 for both, while the model reads 256.
    """

    def __init__(self, fast: FastTokenizer, options: dict[str, Any]):
        fast.no_padding()
        fast.no_truncation()
        self._fast = fast
        self._options = options
        self._fingerprint = hashlib.sha256(fast.to_str().encode("utf-8")).hexdigest()
        self._max_length: int | None = None
        self.separator = self._special("sep_token", ("[SEP]", "</s>"))
        self.pad_id = self._fast.token_to_id(self._special("pad_token", ("[PAD]", "<pad>"))) or 0

    @classmethod
    def load(cls, source: str | Path) -> "Tokenizer":
        """The tokenizer of a model directory, or of a hub id.

        Reads `tokenizer.json`, else `vocab.txt` (BERT's word pieces).
        Anything else transformers converts. InputError: nothing of it is there, or it is broken.
        """
        directory = hub.locate(source, FILES)
        options = _options(directory)
        try:
            if _has(directory, "tokenizer.json"):
                return cls(FastTokenizer.from_file(str(directory / "tokenizer.json")), options)
            if _has(directory, "vocab.txt"):
                return cls(_word_pieces(directory / "vocab.txt", options), options)
            if any(_has(directory, name) for name in CONVERTED):
                return cls(_converted(directory, options), options)
        except InputError:
            raise
        except Exception as error:  # the Rust library raises bare Exception
            raise InputError(f"{directory}: the tokenizer cannot be read ({error}).") from error
        raise InputError(
            f"{directory} has no {' or '.join(('tokenizer.json', 'vocab.txt', *CONVERTED))};"
            " copy the tokenizer there."
        )

    def with_specials(self, tokens: Sequence[str]) -> "Tokenizer":
        """The same with these words of its vocabulary as tokens of their own, wherever they stand.

        InputError: a word that is not in the vocabulary, where it would need a new embedding.
        """
        if unknown := [token for token in tokens if self._fast.token_to_id(token) is None]:
            raise InputError(
                f"special token {unknown[0]!r} is not in the vocabulary; take one that is and has"
                " no use yet, such as BERT's [unused1] to [unused99]."
            )
        if not tokens:
            return self
        fast = FastTokenizer.from_str(self._fast.to_str())
        fast.add_special_tokens([AddedToken(token, normalized=False) for token in tokens])
        return type(self)(fast, self._options)

    def id_of(self, token: str) -> int:
        """The id of a token of the vocabulary. InputError: there is none."""
        found = self._fast.token_to_id(token)
        if found is None:
            raise InputError(f"the tokenizer has no token {token!r}.")
        return found

    @property
    def vocab_size(self) -> int:
        """One more than the largest token id: what an embedding table must hold."""
        return max(self._fast.get_vocab(with_added_tokens=True).values()) + 1

    @property
    def model_max_length(self) -> int | None:
        """The length that `tokenizer_config.json` names; None where it names none."""
        length = self._options.get("model_max_length")
        # Hugging Face writes 1e30 for "no limit".
        return int(length) if isinstance(length, int | float) and 0 < length < 1e9 else None

    def fingerprint(self) -> str:
        """SHA-256 over vocabulary, normaliser and special tokens; not padding and truncation."""
        return self._fingerprint

    def encode(self, texts: Sequence[str], max_length: int) -> list[np.ndarray]:
        """Token ids of each text, int32 [l] with l <= max_length, special tokens included.

        Longer texts are cut at the end; the final special token stays. Special tokens written out
        in a text (`[SEP]`) become that token, which is how instructions are joined to queries.
        """
        specials = self._fast.num_special_tokens_to_add(False)
        if max_length <= specials:
            raise InputError(
                f"max_length {max_length} leaves no room beside {specials} special tokens."
            )
        if max_length != self._max_length:
            self._fast.enable_truncation(max_length)
            self._max_length = max_length
        return [
            np.asarray(encoding.ids, np.int32)
            for encoding in self._fast.encode_batch_fast(list(texts))
        ]

    def encode_pairs(
        self, pairs: Sequence[tuple[str, str]], max_length: int, *, start: int | None = None
    ) -> list[tuple[np.ndarray, np.ndarray]]:
        """(token ids, token types) int32 [l] of each pair, as the tokenizer joins two texts.

        Types are 0 in the first text and its special tokens, 1 in the second. The longer text is
        cut first, token by token (Hugging Face's `longest_first`). start: a token put before all,
        as TART-full's `<s>`; it counts.
        """
        room = max_length - (start is not None)
        specials = self._fast.num_special_tokens_to_add(True)
        if room < specials + 2:
            raise InputError(
                f"max_length {max_length} leaves no room beside {specials} special tokens."
            )
        if room != self._max_length:
            self._fast.enable_truncation(room)
            self._max_length = room
        before = [] if start is None else [start]
        return [
            (
                np.asarray(before + encoding.ids, np.int32),
                np.asarray([0] * len(before) + encoding.type_ids, np.int32),
            )
            for encoding in self._fast.encode_batch_fast(list(pairs))
        ]

    def decode(self, ids: Sequence[int] | np.ndarray, *, skip_specials: bool = False) -> str:
        """The text of token ids, by default with special tokens: not for round trips."""
        return self._fast.decode([int(token) for token in ids], skip_special_tokens=skip_specials)

    def save(self, directory: str | Path) -> None:
        """Writes `tokenizer.json` and what the Hugging Face libraries want beside it."""
        directory = Path(directory)
        directory.mkdir(parents=True, exist_ok=True)
        plain = FastTokenizer.from_str(self._fast.to_str())
        plain.no_truncation()
        plain.save(str(directory / "tokenizer.json"))
        special = {
            name: self._text(value)
            for name, value in self._options.items()
            if name.endswith("_token") and isinstance(value, str | dict)
        }
        io.write_json(directory / "special_tokens_map.json", special)
        kind = json.loads(plain.to_str())["model"]["type"]
        # A path or hub name of the machine that loaded it has no place in a copy, nor has a class
        # that transformers does not know.
        options = {k: v for k, v in self._options.items() if k != "name_or_path"}
        if options.get("tokenizer_class") in (None, ENC_T5):
            options.pop("tokenizer_class", None)
            options = self._class_of(kind) | options
        io.write_json(directory / "tokenizer_config.json", options)
        if kind == "WordPiece":
            ids = plain.get_vocab(with_added_tokens=True)
            words = sorted(ids, key=lambda word: ids[word])
            (directory / "vocab.txt").write_text("".join(f"{word}\n" for word in words), "utf-8")

    def __getstate__(self) -> dict[str, Any]:
        # The Rust object pickles as its JSON; data-loading workers rely on it.
        return self.__dict__

    def _class_of(self, kind: str) -> dict[str, Any]:
        """The class by which transformers reads what we write, and what that must be told."""
        if kind == "WordPiece":
            return {"tokenizer_class": "BertTokenizer"}
        # It takes `tokenizer.json` as it is. T5TokenizerFast (5.x) would rebuild it: a start token
        # or a number of sentinels of its own is lost.
        pad, end = self._fast.id_to_token(self.pad_id), self.separator
        return {
            "tokenizer_class": "PreTrainedTokenizerFast",
            "pad_token": pad,
            "eos_token": end,
            "model_input_names": ["input_ids", "attention_mask"],  # T5 takes no token types
        }

    @staticmethod
    def _text(value: Any) -> str:
        return value["content"] if isinstance(value, dict) else value

    def _special(self, name: str, usual: tuple[str, ...]) -> str:
        """The text of a special token: as the options say, else the usual one that is known."""
        named = self._options.get(name)
        for text in (self._text(named), *usual) if named else usual:
            if self._fast.token_to_id(text) is not None:
                return text
        raise InputError(
            f"The tokenizer knows no {name} (tried {', '.join(usual)}); "
            "name it in tokenizer_config.json."
        )


def pad(
    rows: Sequence[np.ndarray], rows_to: int, length: int, pad_id: int
) -> tuple[Int[np.ndarray, "b l"], Bool[np.ndarray, "b l"]]:
    """Rows of token ids as one array [rows_to, length] int32 and its mask, True at real tokens.

    Padding is on the right; rows beyond `len(rows)` are all padding (mask False).
    """
    longest = max((len(row) for row in rows), default=0)
    if len(rows) > rows_to or longest > length:
        raise ValueError(
            f"{len(rows)} rows of up to {longest} tokens do not fit into {rows_to} x {length}."
        )
    tokens = np.full((rows_to, length), pad_id, np.int32)
    mask = np.zeros((rows_to, length), np.bool_)
    for index, row in enumerate(rows):
        tokens[index, : len(row)] = row
        mask[index, : len(row)] = True
    return tokens, mask


def _options(directory: Path) -> dict[str, Any]:
    options: dict[str, Any] = {}
    for name in ("special_tokens_map.json", "tokenizer_config.json"):  # the later wins
        if _has(directory, name):
            options.update(io.read_json(directory / name))
    return options


def _word_pieces(vocab: Path, options: dict[str, Any]) -> FastTokenizer:
    pieces = BertWordPieceTokenizer(
        str(vocab),
        lowercase=options.get("do_lower_case", True),
        strip_accents=options.get("strip_accents"),
        handle_chinese_chars=options.get("tokenize_chinese_chars", True),
    )
    return pieces._tokenizer  # the wrapper offers no other way to its inner tokenizer


def _converted(directory: Path, options: dict[str, Any]) -> FastTokenizer:
    if importlib.util.find_spec("sentencepiece") is None and not _has(directory, "vocab.json"):
        name = next(name for name in CONVERTED if _has(directory, name))
        raise InputError(
            f"{directory / name} needs the package sentencepiece to be read (pip install"
            " sentencepiece); or copy the tokenizer.json of the same model there."
        )
    from transformers import AutoTokenizer  # here: its import takes a second, and few need it

    known = {"tokenizer_type": "t5"} if options.get("tokenizer_class") == ENC_T5 else {}
    return AutoTokenizer.from_pretrained(str(directory), **known).backend_tokenizer


def _has(directory: Path, name: str) -> bool:
    return (directory / name).is_file()
