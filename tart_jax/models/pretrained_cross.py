"""Pretrained cross-encoders: a directory, hub id or file into params; back by `export_cross`."""

import dataclasses
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from tart_jax import io
from tart_jax.data import hub, tokenization
from tart_jax.data.tokenization import Tokenizer
from tart_jax.models import (
    adapter,
    checkpoint_layouts,
    checkpoint_params,
    cross_encoder,
    cross_format,
    encoders,
    fresh_head,
    sentence_modules,
    weights,
)
from tart_jax.models.bert import BertConfig
from tart_jax.models.checkpoint_layouts import Layout
from tart_jax.models.checkpoint_report import Report
from tart_jax.models.cross_encoder import CrossEncoderConfig
from tart_jax.models.cross_format import CrossFormat
from tart_jax.models.encoders import EncoderConfig
from tart_jax.models.export_cross import export_cross
from tart_jax.models.format import FILE
from tart_jax.models.t5_config import T5Config
from tart_jax.types import InputError

__all__ = [
    "CrossFormat",
    "PretrainedCross",
    "check_kind",
    "check_vocabulary",
    "export_cross",
    "from_tensors",
    "load",
    "locate",
]

# From the model's abstract params to a tree like them of `jax.sharding.Sharding`.
Shardings = Callable[[Any], Any]
PATTERNS = (
    *tokenization.FILES,
    *("config.json", FILE, sentence_modules.MODULES, sentence_modules.LENGTH),
)


@dataclasses.dataclass
class PretrainedCross:
    """A cross-encoder ready to score.

    params: nested dict of float32 arrays, numpy on the host or jax.Array where `shardings` said.
    format_known: whether the directory said how pairs were written; if not, `format` is a guess.
    ignored, report: see `Report`.
    """

    config: CrossEncoderConfig
    params: dict[str, Any]
    format: CrossFormat
    format_known: bool
    tokenizer: Tokenizer
    weights_sha256: str
    source: str
    ignored: tuple[str, ...]
    report: Report


def load(
    source: str | Path,
    *,
    num_labels: int | None = None,
    new_head: bool = False,
    separator: str | None = None,
    dtype: str = "float32",
    remat: str = "none",
    scan: bool = False,
    shardings: Shardings | None = None,
) -> PretrainedCross:
    """Loads a cross-encoder without PyTorch.

    source: a directory of Hugging Face's BertForSequenceClassification, of sentence-transformers'
    CrossEncoder, of TART-full or of ours, or of a LoRA adapter (PEFT's, see `models.adapter`),
    which names the model that it changes; a weight file with config and tokenizer beside it; a hub
    id; or `package:NAME`. Of two logits the second must be "relevant".
    new_head: take the encoder of any BERT or T5, and start its classifier (and its pooler, where
    BERT has none) at random, with a warning; num_labels is then 2 unless given. separator: see
    `CrossFormat`; None: what the directory says. dtype, remat, scan: see `CrossEncoderConfig`.
    shardings: see `Shardings`; each tensor goes there before the next is read (safetensors), so
    that the host never holds the model; None: numpy, on the host.
    InputError: anything missing, misshaped or not understood; nothing else starts at random.
    """
    if adapter.base(source):
        form = dict(separator=separator, dtype=dtype, remat=remat, scan=scan)
        return _adapted(Path(source), num_labels, **form)
    directory, file = locate(source, PATTERNS)
    if new_head and (directory / sentence_modules.MODULES).is_file():
        directory = sentence_modules.read(directory).encoder
    return from_tensors(
        weights.stored(file or directory),
        directory,
        source,
        num_labels=num_labels, new_head=new_head, separator=separator,
        dtype=dtype, remat=remat, scan=scan, shardings=shardings,
    )  # fmt: skip


def _adapted(directory: Path, asked: int | None, **form: Any) -> PretrainedCross:
    """The base of an adapter with the adapter in it, all on the host; form: see `load`."""
    labels = adapter.labels(directory)
    if labels and asked not in (None, labels):
        raise InputError(f"{directory} gives {labels} logits, not num_labels={asked}.")
    model = load(
        adapter.base(directory) or "",
        num_labels=labels or asked,
        new_head=labels is not None,
        **form,
    )
    kind = "t5" if isinstance(model.config.encoder, T5Config) else "bert"
    layout = next(x for x in checkpoint_layouts.LAYOUTS if x.cross and x.encoder == kind)
    params = adapter.merge(directory, model.params, layout, model.config)
    said = cross_format.read(directory)
    if said and form["separator"] is not None:
        said = dataclasses.replace(said, separator=form["separator"])
    return dataclasses.replace(
        model,
        params=params,
        format=said or model.format,
        format_known=said is not None or model.format_known,
        weights_sha256=weights.params_sha256(params),
        source=str(directory),
    )


def from_tensors(
    tensors: Mapping[str, np.ndarray],
    directory: Path,
    source: str | Path,
    *,
    layout: str = "",
    strict: bool = True,
    num_labels: int | None = None,
    new_head: bool = False,
    separator: str | None = None,
    dtype: str = "float32",
    remat: str = "none",
    scan: bool = False,
    shardings: Shardings | None = None,
) -> PretrainedCross:
    """`load` of tensors at hand; a dict is used up. directory: of config.json and tokenizer.

    layout: see `checkpoint_layouts.detect`. strict: see `checkpoint_params.read`.
    """
    form = checkpoint_layouts.detect(tensors, str(source), layout)
    if not new_head:
        _check_head(form, directory, source)
    hf = io.read_json(io.existing(directory / "config.json", "the model's"))
    config = CrossEncoderConfig(
        encoder=_encoder(form, hf, directory),
        num_labels=_num_labels(tensors, hf, num_labels, new_head, source),
        dropout=_dropout(form, hf, cross_format.is_cross(directory)),
        dtype=dtype,
        remat=remat,
        scan=scan,
    )
    fresh = fresh_head.parts(tensors, form, config) if new_head else ()
    places = shardings(cross_encoder.abstract_params(config)) if shardings else None
    params, report = checkpoint_params.read(
        tensors, form, config, str(source),
        strict=strict, fresh=fresh, consume=True, shardings=places,
    )  # fmt: skip
    params |= fresh_head.start(config, fresh, places)
    tokenizer = Tokenizer.load(directory)
    check_vocabulary(tokenizer, config.encoder, source)
    format, known = _format(directory, config, tokenizer, source, new_head, separator)
    return PretrainedCross(
        config=config, params=params, format=format, format_known=known, tokenizer=tokenizer,
        weights_sha256=weights.params_sha256(params), source=str(source),
        ignored=report.ignored, report=report,
    )  # fmt: skip


def _format(
    directory: Path,
    config: CrossEncoderConfig,
    tokenizer: Tokenizer,
    source: str | Path,
    new_head: bool,
    separator: str | None,
) -> tuple[CrossFormat, bool]:
    """How pairs are written, and whether the directory said so."""
    was_dual = new_head and not cross_format.is_cross(directory)
    said = None if was_dual else cross_format.read(directory)
    format = said or cross_format.guess(
        directory, config.encoder, tokenizer, str(source), untrained=new_head
    )
    if separator is not None:
        format = dataclasses.replace(format, separator=separator)
    return format, said is not None


def locate(source: str | Path, patterns: tuple[str, ...]) -> tuple[Path, Path | None]:
    """A model's directory, and the weight file where the source is one.

    patterns: the files wanted beside the weights; a hub download is limited to them.
    """
    path = Path(source)
    if path.is_file():
        return path.parent, path
    directory = hub.locate(source, (*patterns, "model*.safetensors*"))
    if hub.is_hub_id(source) and not any(directory.rglob("*.safetensors")):
        directory = hub.locate(source, (*patterns, "pytorch_model*.bin*"))
    return directory, None


def _check_head(form: Layout, directory: Path, source: str | Path) -> None:
    """InputError for an encoder alone, and for sentence-transformers' embedders."""
    if not form.cross:
        raise InputError(
            f"{source} holds no classifier: it is an encoder alone ({form.title}); new_head=True "
            "starts a classifier at random."
        )
    path = directory / sentence_modules.MODULES
    if not path.is_file():
        return
    entries = io.read_json(path)
    kinds = [str(entry.get("type")).rpartition(".")[2] for entry in entries]
    if kinds != ["Transformer"] or entries[0].get("path"):
        raise InputError(
            f"{path} chains {', '.join(kinds)}; a cross-encoder is one Transformer, in the "
            "directory itself."
        )


def _encoder(form: Layout, hf: dict[str, Any], directory: Path) -> EncoderConfig:
    path = directory / "config.json"
    try:
        encoder = encoders.config_from_hf(hf)
    except InputError as error:
        raise InputError(f"{path}: {error}") from error
    check_kind(form, encoder, path)
    if isinstance(encoder, BertConfig) and encoder.type_vocab_size < 2:
        raise InputError(
            f"{path} knows one token type (type_vocab_size 1); a pair of texts needs two."
        )
    return encoder


def check_kind(form: Layout, encoder: EncoderConfig, path: Path) -> None:
    """InputError: the keys are of one kind of encoder, config.json of another."""
    kind = "t5" if isinstance(encoder, T5Config) else "bert"
    if kind != form.encoder:
        raise InputError(f"{path} describes a {kind}; the weights are of layout {form.name}.")


def _num_labels(
    tensors: Mapping[str, np.ndarray],
    hf: dict[str, Any],
    asked: int | None,
    new_head: bool,
    source: str | Path,
) -> int:
    if new_head:
        return asked or 2
    weight = tensors.get("classifier.weight")
    named = len(hf.get("id2label") or ()) or (hf.get("num_labels") or 0)
    found = named or 2 if weight is None else len(weight)
    if named and named != found:
        raise InputError(
            f"{source}: the classifier has {found} rows, config.json names {named} labels; they do "
            "not belong together."
        )
    if asked not in (None, found):
        raise InputError(
            f"{source} gives {found} logits, not num_labels={asked}; new_head=True starts another "
            "classifier."
        )
    return found


def _dropout(form: Layout, hf: dict[str, Any], written_by_us: bool) -> float:
    own = hf.get("classifier_dropout")
    if form.encoder == "t5" and not written_by_us:
        return 0.1  # TART-full's; a T5's config.json speaks of another classifier
    return float(hf.get("hidden_dropout_prob", 0.1) if own is None else own)


def check_vocabulary(tokenizer: Tokenizer, encoder: EncoderConfig, source: str | Path) -> None:
    """InputError: the tokenizer knows tokens that the model has no embedding of."""
    if tokenizer.vocab_size > encoder.vocab_size:
        raise InputError(
            f"{source}: the tokenizer knows {tokenizer.vocab_size} tokens, the model only "
            f"{encoder.vocab_size}; they do not belong together."
        )
