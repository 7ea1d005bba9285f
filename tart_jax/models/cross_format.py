"""tart_jax.json of a cross-encoder: how a query and a document were joined in its training."""

import dataclasses
import logging
from pathlib import Path
from typing import Any

from tart_jax import io
from tart_jax.data.instructions import Order
from tart_jax.data.tokenization import Tokenizer
from tart_jax.models import sentence_modules
from tart_jax.models.encoders import T5_LENGTH, EncoderConfig
from tart_jax.models.format import FILE, ORDERS, VERSION, Card
from tart_jax.models.t5_config import T5Config
from tart_jax.types import InputError

log = logging.getLogger(__name__)
KIND = "cross_encoder"
START = 32_100  # TART-full's `<s>`
LENGTH = 512  # tokens of a pair, where nothing names another


@dataclasses.dataclass(frozen=True)
class CrossFormat:
    """How a pair is put before a cross-encoder: (instructed query, document).

    instruction_order: "instruction_first" (`instruction [SEP] query`, TART) or "query_first".
    separator: the text between the two; None: the tokenizer's own separator token. TART-full was
    evaluated with the letters "[SEP]", which T5 cuts into pieces; BERRI's scripts write "</s>".
    max_length: tokens of a pair, special tokens included; the longer text is cut first.
    start_token: an id put before every pair (TART-full's `<s>`), or None.
    """

    instruction_order: Order = "instruction_first"
    separator: str | None = None
    max_length: int = 512
    start_token: int | None = None

    def __post_init__(self) -> None:
        if self.instruction_order not in ORDERS:
            raise InputError(
                f"instruction_order {self.instruction_order!r} is not one of {', '.join(ORDERS)}."
            )
        if self.max_length < 6:  # four special tokens, and one of each text
            raise InputError(f"max_length {self.max_length} leaves no room for text; raise it.")


def is_cross(directory: Path) -> bool:
    """Whether the directory is a cross-encoder that we wrote."""
    path = directory / FILE
    return path.is_file() and io.read_json(path).get("kind") == KIND


def read(directory: Path) -> CrossFormat | None:
    """None where the directory has no tart_jax.json. InputError: it is not a cross-encoder's."""
    path = directory / FILE
    if not path.is_file():
        return None
    record = io.read_json(path)
    if not isinstance(record, dict) or record.get("kind") != KIND:
        raise InputError(f"{path} is not of a cross-encoder; load it as a dual encoder.")
    if record.get("version") != VERSION:
        raise InputError(
            f"{path} is not of version {VERSION}; load it with the release that wrote it."
        )
    wanted = {field.name for field in dataclasses.fields(CrossFormat)}
    found: Any = record.get("format")
    if not isinstance(found, dict) or set(found) != wanted:
        raise InputError(f"{path}: format should have the keys {', '.join(sorted(wanted))}.")
    return CrossFormat(**found)


def write(directory: Path, format: CrossFormat) -> None:
    record = {"version": VERSION, "kind": KIND, "format": dataclasses.asdict(format)}
    io.write_json(directory / FILE, record)


def guess(
    directory: Path, encoder: EncoderConfig, tokenizer: Tokenizer, source: str, *, untrained: bool
) -> CrossFormat:
    """What a directory without our file was probably trained to read.

    TART's order and the tokenizer's separator, or those of the dual encoder that it was.
    untrained: it is to become a cross-encoder, so a T5 of another vocabulary than TART-full's may
    do without a start token; else that is an InputError.
    """
    if isinstance(encoder, T5Config):
        try:
            start = _start_token(tokenizer, source)
        except InputError as error:
            if not untrained:
                raise
            log.warning("%s No start token is put before a pair.", error)
            start = None
        # T5 has no such token as [SEP]: TART-full was evaluated with its letters.
        return CrossFormat(separator="[SEP]", max_length=T5_LENGTH, start_token=start)
    if (directory / FILE).is_file() and (card := Card.read(directory)):
        order, separator = card.format.instruction_order, card.format.separator
    else:
        order, separator = "instruction_first", None
    path = directory / sentence_modules.LENGTH
    named = io.read_json(path).get("max_seq_length") if path.is_file() else None
    length = min(named or tokenizer.model_max_length or LENGTH, encoder.max_position_embeddings)
    return CrossFormat(order, separator, length)


def _start_token(tokenizer: Tokenizer, source: str) -> int | None:
    """TART-full's `<s>`; None where the tokenizer puts it there itself.

    It was added behind the 32,000 pieces and 100 sentinels of T5's vocabulary, hence its id. Other
    tokenizers give `<s>` another id, or cut it into pieces, and nothing would say so.
    """
    known = tokenizer.vocab_size
    sentinels = [tokenizer.decode([START - 1 - n]) for n in (0, 99)]
    if known == START + 1 and tokenizer.decode([START]).strip() == "<s>":
        known = START
    if known != START or [text.strip() for text in sentinels] != ["<extra_id_0>", "<extra_id_99>"]:
        raise InputError(
            f"{source}: TART-full's <s> is token {START}, behind 32,000 pieces and 100 sentinels; "
            f"this tokenizer knows {tokenizer.vocab_size} tokens, so it is not T5's."
        )
    return None if tokenizer.encode(["a"], 8)[0][0] == START else START
