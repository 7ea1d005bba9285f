"""What differs between training a dual encoder, a cross-encoder and a reader: batches, export."""

import dataclasses
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from flax import nnx

from tart_jax.data.batching import Collator, PairCollator
from tart_jax.data.instructions import Order
from tart_jax.data.reading import ReadingCollator
from tart_jax.models import (
    adapter,
    class_towers,
    cross_encoder,
    cross_format,
    dual_encoder,
    encoders,
    pretrained,
    pretrained_cross,
    reader,
)
from tart_jax.models.checkpoint_layouts import NAMES
from tart_jax.models.encoders import EncoderConfig
from tart_jax.models.export_cross import replacing
from tart_jax.models.format import FILE, Card
from tart_jax.models.pretrained import Format, Pretrained
from tart_jax.models.pretrained_cross import CrossFormat
from tart_jax.models.reader import Reader
from tart_jax.models.t5_config import T5Config
from tart_jax.train.initial import Model
from tart_jax.types import InputError

log = logging.getLogger(__name__)


def reading(
    model: Model,
    *,
    order: Order,
    separator: str | None,
    query_length: int,
    document_length: int,
    pair_length: int,
    start_token: int | None,
    title_separator: str = "",
    special_tokens: Sequence[str] = (),
    passages: int = 3,
    fusion: bool = False,
    answer_length: int = 32,
) -> Model:
    """The model with the format that it will be trained to read.

    start_token: None leaves that of the model. special_tokens: words of the vocabulary that are
    never split, such as markers of tasks. InputError: more tokens than it has positions, a special
    token that it does not know.
    """
    tokenizer = model.tokenizer.with_specials(special_tokens)
    model = dataclasses.replace(model, tokenizer=tokenizer)
    if isinstance(model, Pretrained):
        longest = max(query_length, document_length)
        _check_length("query_length or document_length", longest, model.config.encoder)
        towers = Format(order, separator, query_length, document_length, title_separator)
        return dataclasses.replace(model, format=towers, format_known=True)
    if isinstance(model, Reader):
        read = reader.ReaderFormat(passages, fusion, pair_length, answer_length)
        return dataclasses.replace(model, format=read, format_known=True)
    _check_length("pair_length", pair_length, model.config.encoder)
    start = model.format.start_token if start_token is None else start_token
    pair = CrossFormat(order, separator, pair_length, start)
    return dataclasses.replace(model, format=pair, format_known=True)


def _check_length(name: str, length: int, encoder: EncoderConfig) -> None:
    positions = encoders.positions(encoder)
    if positions is not None and length > positions:
        raise InputError(f"data.{name} is {length}, the model has {positions} positions; lower it.")


def separator(model: Model) -> str:
    """What stands between instruction and query."""
    if isinstance(model, Reader):
        return model.tokenizer.separator
    return model.tokenizer.separator if model.format.separator is None else model.format.separator


def graphdef(model: Model) -> nnx.GraphDef:
    """The model without its parameters."""
    if isinstance(model, Pretrained):
        return dual_encoder.graphdef(model.config)
    if isinstance(model, Reader):
        return model.graphdef()
    return cross_encoder.graphdef(model.config)


def collator(
    model: Model, *, num_negatives: int, duplicates: str, known_positives: int
) -> Collator | PairCollator | ReadingCollator:
    """Rows to the batches that the model's objectives read, in the lengths of its format.

    duplicates, known_positives: of other queries' documents, which a cross-encoder never sees.
    """
    if isinstance(model, Pretrained):
        return Collator(
            model.tokenizer,
            num_negatives=num_negatives,
            query_length=model.format.query_length,
            document_length=model.format.document_length,
            duplicates=duplicates,
            known_positives=known_positives,
            title_separator=model.format.title_separator,
            classes=class_towers.numbers(model.query_towers),
        )
    if isinstance(model, Reader):
        return model.collator()
    return PairCollator(
        model.tokenizer,
        num_negatives=num_negatives,
        pair_length=model.format.max_length,
        start=model.format.start_token,
    )


def export(directory: Path, model: Model, params: Any) -> None:
    """Writes the model with these params, of host or devices, as a directory that `load` reads."""
    if isinstance(model, Pretrained):
        about: dict[str, Any] = dict(
            config=model.config, format=model.format, tokenizer=model.tokenizer
        )
        if not model.query_towers:
            pretrained.export(directory, params=params, **about)
            return
        for number, name in enumerate(model.query_towers):
            own = class_towers.select(params, number)
            pretrained.export(directory / name, params=own, **about)
        class_towers.write(directory, model.query_towers)
    elif isinstance(model, Reader):
        reader.export(
            directory, config=model.config, params=params, format=model.format,
            tokenizer=model.tokenizer,
        )  # fmt: skip
    else:
        pretrained_cross.export_cross(
            directory,
            config=model.config,
            params=params,
            format=model.format,
            tokenizer=model.tokenizer,
        )


def export_adapter(directory: Path, model: Model, trained: Any, *, rank: int, alpha: float) -> None:
    """Writes LoRA's factors and trained heads in PEFT's layout, one folder per tower.

    A projection has no place there; with one, nothing is written, and the log says so.
    """
    assert not isinstance(model, Reader)  # `build.load_trainable` has refused it
    options: dict[str, Any] = dict(rank=rank, alpha=alpha, base=model.source)
    if isinstance(model, Pretrained) and model.config.projection:
        log.warning("PEFT's layout has no place for a projection: no adapter, `model` has it all.")
        return
    with replacing(directory, directory / FILE) as aside:
        model.tokenizer.save(aside)
        if not isinstance(model, Pretrained):
            cross_format.write(aside, model.format)
            t5 = isinstance(model.config.encoder, T5Config)
            layout = NAMES["enc_t5" if t5 else "bert_classifier"]
            adapter.write(aside, trained, layout, model.config, **options)
            return
        config = model.config
        Card(model.format, config.pooling, config.normalize, None, config.tied).write(aside)
        layout, alone = adapter.tower_of(config)
        for tower, params in trained.items():
            folder = aside if config.tied else aside / tower
            folder.mkdir(exist_ok=True)
            adapter.write(folder, {"document": params}, layout, alone, **options)
