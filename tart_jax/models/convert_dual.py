"""Dual encoders out of trainers' checkpoints, which say little of how embeddings are made."""

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from tart_jax import io
from tart_jax.data.tokenization import Tokenizer
from tart_jax.models import checkpoint_params, encoders, pretrained_cross, weights
from tart_jax.models.checkpoint_layouts import NAMES, Layout
from tart_jax.models.checkpoint_report import Report
from tart_jax.models.dual_encoder import DualEncoderConfig
from tart_jax.models.encoders import EncoderConfig
from tart_jax.models.format import Format
from tart_jax.models.pretrained import Pretrained
from tart_jax.models.t5_config import T5Config
from tart_jax.models.torch_files import setting
from tart_jax.types import InputError

POOLINGS = {"average": "mean", "cls": "cls"}  # Contriever's and TART's words
# Where trainers keep the tokens of a text: TART, DPR with omegaconf, older DPR.
LENGTHS = (
    ("opt", "chunk_length"),
    ("encoder_params", "encoder", "sequence_length"),
    ("encoder_params", "sequence_length"),
)


def from_checkpoint(
    tensors: dict[str, np.ndarray],
    content: Any,
    settings: Path,
    source: str,
    *,
    layout: Layout,
    strict: bool,
    pooling: str | None,
    normalize: bool | None,
) -> tuple[Pretrained, Report]:
    """A dual encoder of a layout's tensors.

    content: all that the file holds. settings: where config.json and the tokenizer lie. pooling,
    normalize: None is what the content says, else DPR's [CLS] or Contriever's mean, unnormalised.
    """
    encoder = _encoder(layout, settings / "config.json")
    config = DualEncoderConfig(
        encoder,
        pooling=pooling or _pooling(content, layout, source),
        normalize=_normalize(content, source) if normalize is None else normalize,
        projection=_projection(tensors, layout),
        tied="query" not in layout.towers,
    )
    params, report = checkpoint_params.read(tensors, layout, config, source, strict=strict)
    tokenizer = Tokenizer.load(settings)
    pretrained_cross.check_vocabulary(tokenizer, encoder, source)
    length = _length(content, encoder, tokenizer)
    between = tokenizer.separator if layout.projections else ""  # DPR's passages; see `_pooling`
    model = Pretrained(
        config=config,
        params=params,
        format=Format(query_length=length, document_length=length, title_separator=between),
        format_known=False,
        tokenizer=tokenizer,
        weights_sha256=weights.params_sha256(params),
        source=source,
        ignored=report.ignored,
    )
    return model, report


def keys_of(model: Pretrained) -> tuple[str, ...]:
    """The keys of a model's encoder, as its directory names them."""
    config = model.config
    t5 = isinstance(config.encoder, T5Config)
    layout = NAMES["t5_encoder" if t5 else "bert"]
    prefixes = [""] if config.tied else ["query/", "document/"]
    one = dataclasses.replace(config, tied=True, projection=None)
    keys = checkpoint_params.keys(layout, one)
    return tuple(prefix + key for prefix in prefixes for key in keys)


def _encoder(layout: Layout, path: Path) -> EncoderConfig:
    hf = io.read_json(path)
    if hf.get("model_type") == "dpr":  # a BERT under another name
        hf = hf | {"model_type": "bert"}
    try:
        encoder = encoders.config_from_hf(hf)
    except InputError as error:
        raise InputError(f"{path}: {error}") from error
    pretrained_cross.check_kind(layout, encoder, path)
    return encoder


def _pooling(content: Any, layout: Layout, source: str) -> str:
    said = setting(content, "opt", "pooling")
    if said is None:
        return "cls" if layout.projections else "mean"  # only DPR's layouts have projections
    if said not in POOLINGS:
        raise InputError(
            f"{source}: opt.pooling is {said!r}, not one of {', '.join(POOLINGS)}; name ours by "
            "--config.pooling."
        )
    return POOLINGS[said]


def _normalize(content: Any, source: str) -> bool:
    query, document = (bool(setting(content, "opt", key)) for key in ("norm_query", "norm_doc"))
    if query != document:
        raise InputError(
            f"{source}: opt normalises queries {query}, documents {document}; one for both must be "
            "chosen by --config.normalize."
        )
    return query


def _projection(tensors: Mapping[str, np.ndarray], layout: Layout) -> int | None:
    for prefix in layout.projections.values():
        if f"{prefix}bias" in tensors:
            return len(tensors[f"{prefix}bias"])
    return None


def _length(content: Any, encoder: EncoderConfig, tokenizer: Tokenizer) -> int:
    limit = encoders.positions(encoder) or encoders.T5_LENGTH
    said = next((n for keys in LENGTHS if (n := setting(content, *keys))), None)
    return min(int(said or tokenizer.model_max_length or limit), limit)
