"""What `convert` writes: our directory, or one that holds the keys of another layout."""

import dataclasses
from pathlib import Path
from typing import Any

from tart_jax import io
from tart_jax.models import checkpoint_params, encoders, pretrained, pretrained_cross
from tart_jax.models.checkpoint_layouts import LAYOUTS, NAMES
from tart_jax.models.export_cross import (
    replacing,
    write_classifier,
    write_tokenizer,
    write_weights,
)
from tart_jax.models.pretrained import Pretrained
from tart_jax.models.pretrained_cross import PretrainedCross
from tart_jax.models.t5_config import T5Config
from tart_jax.types import InputError

# hf: the class of transformers that fits the model.
TARGETS = ("tart_jax", "hf", *(layout.name for layout in LAYOUTS if layout.complete))
ARCHITECTURES = {"question_encoder": "DPRQuestionEncoder", "ctx_encoder": "DPRContextEncoder"}


def write(
    directory: Path, model: Pretrained | PretrainedCross, to: str, *, mark: Path
) -> dict[str, Any]:
    """Writes the model's directory; what it cannot say, by name.

    mark: see `replacing`. InputError: the layout cannot hold the model.
    """
    told: dict[str, Any] = {
        "config": model.config,
        "params": model.params,
        "format": model.format,
        "tokenizer": model.tokenizer,
    }
    if to == "tart_jax":
        if isinstance(model, PretrainedCross):
            pretrained_cross.export_cross(directory, **told)
        else:
            pretrained.export(directory, **told)
        return {}
    name = _class_of(model) if to == "hf" else to
    tensors = checkpoint_params.write(model.params, NAMES[name], model.config)
    lost: dict[str, Any] = dataclasses.asdict(model.format)
    if isinstance(model, PretrainedCross):
        with replacing(directory, mark) as aside:
            write_classifier(aside, model.config, model.params, model.format, model.tokenizer)
        return lost
    if name == "hf_dpr":
        _check_dpr(model)
        with replacing(directory, mark) as aside:
            _write_dpr(aside, model, tensors)
        return lost
    with replacing(directory, mark) as aside:
        io.write_json(aside / "config.json", encoders.config_to_hf(model.config.encoder))
        write_weights(aside, tensors)
        write_tokenizer(aside, model.tokenizer, model.format.document_length)
    return {"pooling": model.config.pooling, "normalize": model.config.normalize} | lost


def _class_of(model: Pretrained | PretrainedCross) -> str:
    t5 = isinstance(model.config.encoder, T5Config)
    if isinstance(model, PretrainedCross):
        return "enc_t5" if t5 else "bert_classifier"
    if not model.config.tied:
        return "hf_dpr"
    return "t5_encoder" if t5 else "bert"


def _check_dpr(model: Pretrained) -> None:
    """DPR's classes give the state at `[CLS]` and nothing else; others would embed otherwise."""
    if model.config.pooling != "cls" or model.config.normalize:
        raise InputError(
            f"DPR's encoders know pooling cls without normalisation; this model has pooling "
            f"{model.config.pooling}, normalize {model.config.normalize}: keep it in ours "
            "(--config.to=tart_jax)."
        )


def _write_dpr(directory: Path, model: Pretrained, tensors: checkpoint_params.Tensors) -> None:
    lengths = (model.format.query_length, model.format.document_length)
    for (part, architecture), length in zip(ARCHITECTURES.items(), lengths, strict=True):
        own = {
            "architectures": [architecture],
            "model_type": "dpr",
            "projection_dim": model.config.projection or 0,
        }
        write_tokenizer(directory / part, model.tokenizer, length)
        io.write_json(
            directory / part / "config.json", encoders.config_to_hf(model.config.encoder) | own
        )
        named = {key: value for key, value in tensors.items() if key.startswith(f"{part}.")}
        write_weights(directory / part, named)
