"""Stage `convert`: a checkpoint of any known layout to our directory or to another layout."""

import dataclasses
from pathlib import Path
from typing import Any

from ml_collections import ConfigDict

from tart_jax import io
from tart_jax.data import hub, tokenization
from tart_jax.models import adapter, checkpoint_layouts, pretrained, pretrained_cross, weights
from tart_jax.models.checkpoint_report import MismatchError, Report
from tart_jax.models.convert_dual import from_checkpoint, keys_of
from tart_jax.models.convert_target import TARGETS, write
from tart_jax.models.cross_format import is_cross
from tart_jax.models.format import FILE
from tart_jax.models.pretrained import Pretrained
from tart_jax.models.pretrained_cross import PretrainedCross
from tart_jax.models.sentence_modules import MODULES
from tart_jax.models.torch_files import named_tensors, setting
from tart_jax.models.torch_files import read as read_torch
from tart_jax.types import InputError

OUTPUT, REPORT = "model", "convert.json"
PAIR = ("question_encoder", "ctx_encoder")  # folders of DPR's encoders, as we write them
# Where trainers name the model that theirs started from: TART, DPR with omegaconf, older DPR.
BASES = (
    ("opt", "retriever_model_id"),
    ("encoder_params", "encoder", "pretrained_model_cfg"),
    ("encoder_params", "pretrained_model_cfg"),
)


@dataclasses.dataclass(frozen=True)
class Checkpoint:
    """Tensors, what else the file holds, and where config.json and tokenizer lie."""

    tensors: dict[str, Any]
    content: Any
    settings: Path


def run(config: ConfigDict, workdir: Path) -> None:
    """Writes workdir/model and convert.json, and shows every key that did not become a weight."""
    if not config.source:
        raise InputError("--config.source is missing: a weight file, a directory or a hub id.")
    if config.to not in TARGETS:
        raise InputError(f"--config.to={config.to} is not known; there are {', '.join(TARGETS)}.")
    try:
        model, report = load(config)
    except MismatchError as error:
        error.report.table(f"{Path(config.source).name}: not converted").show()
        raise
    not_carried = write(workdir / OUTPUT, model, config.to, mark=workdir / REPORT)
    said = {
        "source": config.source,
        "to": config.to,
        "weights_sha256": model.weights_sha256,
        "not_carried": not_carried,
    }
    io.write_json(workdir / REPORT, said | report.record())
    table = report.table(f"{Path(config.source).name}: layout {report.layout} to {config.to}")
    table.note = "".join(f"not carried: {key} {value}\n" for key, value in not_carried.items())
    table.show()


def load(config: ConfigDict) -> tuple[Pretrained | PretrainedCross, Report]:
    """The model of --config.source and what became of its keys.

    InputError: see `checkpoint_layouts.detect` and `checkpoint_params.read`.
    """
    directory, file = pretrained_cross.locate(config.source, pretrained.PATTERNS)
    if adapter.base(directory) and adapter.labels(directory) is not None:
        cross = pretrained_cross.load(directory, separator=config.separator)
        return cross, cross.report
    if file is None and _is_described(directory):
        return _described(config)
    checkpoint = _read(config, directory, file)
    layout = checkpoint_layouts.detect(checkpoint.tensors, config.source, config.layout)
    if layout.cross:
        cross = pretrained_cross.from_tensors(
            checkpoint.tensors,
            checkpoint.settings,
            config.source,
            layout=layout.name,
            strict=config.strict,
            separator=config.separator,
        )
        return cross, cross.report
    return from_checkpoint(
        checkpoint.tensors,
        checkpoint.content,
        checkpoint.settings,
        config.source,
        layout=layout,
        strict=config.strict,
        pooling=config.pooling,
        normalize=config.normalize,
    )


def _is_described(directory: Path) -> bool:
    """Whether files beside the weights say how embeddings are made of them."""
    if adapter.base(directory):
        return True
    if (directory / FILE).is_file():
        return not is_cross(directory)
    path = directory / MODULES
    return path.is_file() and len(io.read_json(path)) > 1


def _described(config: ConfigDict) -> tuple[Pretrained, Report]:
    for key in ("layout", "config_from", "document_source"):
        if config[key]:
            raise InputError(
                f"{config.source} says itself what it is; --config.{key}={config[key]} has no "
                "effect on it: name a weight file instead, or leave the key out."
            )
    model = pretrained.load(config.source, pooling=config.pooling, normalize=config.normalize)
    return model, Report("tart_jax", keys_of(model), ignored=model.ignored)


def _read(config: ConfigDict, directory: Path, file: Path | None) -> Checkpoint:
    content: Any = None
    settings, other = directory, None
    if file is not None and file.suffix != ".safetensors":
        content = read_torch(file)
        tensors = named_tensors(content, file)
    elif file is None and all((directory / name).is_dir() for name in PAIR):
        settings, other = (directory / name for name in PAIR)
        tensors = weights.read(settings)
    else:
        tensors = _tensors(file or directory)
    if config.document_source:
        folder, named = pretrained_cross.locate(config.document_source, pretrained.PATTERNS)
        other = named or folder
    if other is not None:
        tensors = _merged(tensors, other, config.source)
    _check_pair(tensors, config.source)
    if config.config_from:
        settings = hub.locate(config.config_from, ("config.json", *tokenization.FILES))
    if not (settings / "config.json").is_file():
        base = next((b for keys in BASES if (b := setting(content, *keys))), "")
        hint = f" (it was trained from {base})" if base else ""
        raise InputError(
            f"{settings} has no config.json; name a directory or hub id with the model's config "
            f"and tokenizer by --config.config_from{hint}."
        )
    return Checkpoint(tensors, content, settings)


def _tensors(path: Path) -> dict[str, Any]:
    return weights.read_file(path) if path.is_file() else weights.read(path)


def _merged(tensors: dict[str, Any], other: Path, source: str) -> dict[str, Any]:
    """The tensors of two checkpoints that name them apart."""
    second = _tensors(other)
    common = sorted(set(tensors) & set(second))
    if common:
        raise InputError(
            f"{source} and {other} both hold {common[0]}; they should be DPR's two encoders."
        )
    return tensors | second


def _check_pair(tensors: dict[str, Any], source: str) -> None:
    here = [name for name in PAIR if any(key.startswith(f"{name}.") for key in tensors)]
    if len(here) == 1:
        raise InputError(
            f"{source} holds DPR's {here[0]} alone; name the other by --config.document_source."
        )
