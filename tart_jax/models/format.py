"""tart_jax.json: what a checkpoint was trained to read; Hugging Face's files cannot say it."""

import dataclasses
from pathlib import Path
from typing import Any, get_args

from tart_jax import io
from tart_jax.data.instructions import Order
from tart_jax.types import InputError

FILE = "tart_jax.json"
VERSION = 1
ORDERS = get_args(Order)


@dataclasses.dataclass(frozen=True)
class Format:
    """How texts are put before the model.

    instruction_order: "instruction_first" (`instruction [SEP] query`, TART) or "query_first".
    separator: the text between the two; None: the tokenizer's own separator token.
    query_length, document_length: tokens, instruction and special tokens included; longer is cut.
    title_separator: the text between a document's title and its text; "" in TART, [SEP] in DPR.
    """

    instruction_order: Order = "instruction_first"
    separator: str | None = None
    query_length: int = 256
    document_length: int = 256
    title_separator: str = ""

    def __post_init__(self) -> None:
        if self.instruction_order not in ORDERS:
            raise InputError(
                f"instruction_order {self.instruction_order!r} is not one of {', '.join(ORDERS)}."
            )
        for name in ("query_length", "document_length"):
            if getattr(self, name) < 3:
                raise InputError(f"{name} {getattr(self, name)} leaves no room for text; raise it.")


@dataclasses.dataclass(frozen=True)
class Card:
    """The content of a model directory's tart_jax.json."""

    format: Format
    pooling: str
    normalize: bool
    projection: int | None
    tied: bool

    @classmethod
    def read(cls, directory: Path) -> "Card | None":
        """None where the directory has no such file. InputError: unknown or missing keys."""
        path = directory / FILE
        if not path.is_file():
            return None
        record = io.read_json(path)
        if not isinstance(record, dict) or record.pop("version", None) != VERSION:
            raise InputError(
                f"{path} is not of version {VERSION}; load it with the release that wrote it."
            )
        _check_keys(record, cls, path)
        if isinstance(record["format"], dict):  # models from before this key had none
            record["format"].setdefault("title_separator", Format.title_separator)
        _check_keys(record["format"], Format, path)
        return cls(**record | {"format": Format(**record["format"])})

    def write(self, directory: Path) -> None:
        io.write_json(directory / FILE, {"version": VERSION, **dataclasses.asdict(self)})


def _check_keys(record: Any, cls: type, path: Path) -> None:
    wanted = {field.name for field in dataclasses.fields(cls)}
    found = set(record) if isinstance(record, dict) else set()
    if wanted != found:
        raise InputError(
            f"{path}: {cls.__name__} should have the keys {', '.join(sorted(wanted))}, "
            f"not {', '.join(sorted(found)) or 'none'}."
        )
