"""LoRA's factors as PEFT keeps them: adapter_config.json and adapter_model.safetensors.

`PeftModel.from_pretrained(model, directory)` reads them; `merge` reads them back, PEFT's own, too.
"""

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax
import numpy as np
import safetensors.numpy

from tart_jax import io
from tart_jax.models import placement, weights
from tart_jax.models.checkpoint_layouts import NAMES, Layout
from tart_jax.models.checkpoint_params import Config, Entry, entries
from tart_jax.models.cross_encoder import CrossEncoderConfig
from tart_jax.models.dual_encoder import DualEncoderConfig
from tart_jax.models.names_t5 import leaf as leaf_at
from tart_jax.models.t5_config import T5Config
from tart_jax.types import InputError

CONFIG, WEIGHTS = "adapter_config.json", "adapter_model.safetensors"
PREFIX = "base_model.model."  # PEFT's two wrappers
# Their name of a factor and ours. Both are matrices [out, in] there.
FACTORS = (("lora_A", "lora_a"), ("lora_B", "lora_b"))


def write(
    directory: Path,
    params: Mapping[Any, Any],
    layout: Layout,
    config: Config,
    *,
    rank: int,
    alpha: float,
    base: str,
) -> None:
    """Writes factors (beside their kernels' places) and heads; `directory` exists.

    params: with the factors, and with the heads that were trained whole; other leaves are ignored.
    base: what the adapter was trained from. Heads are what stands outside of the encoder.
    """
    tensors, targets, whole = {}, [], set()
    for entry in entries(layout, config):
        module, _, leaf = entry.key.rpartition(".")
        if "encoder" not in entry.path:
            value = leaf_at(params, entry.path)
            if value is not None:
                whole.add(str(entry.path[0]))
                tensors[f"{PREFIX}{module}.{leaf}"] = _theirs(value, None, entry.transposed)
            continue
        found = _factors(params, entry) if entry.transposed else None
        if found is not None:
            targets.append(module)
            for (theirs, ours), layer in ((pair, found[1]) for pair in FACTORS):
                value = _theirs(found[0][ours], layer, True)
                tensors[f"{PREFIX}{module}.{theirs}.weight"] = value
    cross = isinstance(config, CrossEncoderConfig)
    bert = layout.encoder == "bert"
    settings = {
        "peft_type": "LORA",
        # TART-full's class is none of transformers', so that PEFT's generic model has to do.
        "task_type": ("SEQ_CLS" if bert else None) if cross else "FEATURE_EXTRACTION",
        "base_model_name_or_path": base,
        "r": rank,
        "lora_alpha": alpha,
        "lora_dropout": 0.0,
        "bias": "none",
        "fan_in_fan_out": False,
        "inference_mode": True,
        "target_modules": targets,
        "modules_to_save": sorted(whole) or None,
    }
    io.write_json(directory / CONFIG, settings)
    safetensors.numpy.save_file(tensors, directory / WEIGHTS, metadata={"format": "pt"})


def merge(
    directory: Path, params: Mapping[Any, Any], layout: Layout, config: Config
) -> dict[Any, Any]:
    """The params (numpy) with the adapter's product added to each kernel, and its heads in place.

    InputError: a kind of adapter that is not plain LoRA, or a tensor that has no place.
    """
    settings = io.read_json(io.existing(directory / CONFIG, "the adapter's"))
    _check_plain(settings, directory / CONFIG)
    path = io.existing(directory / WEIGHTS, "the adapter's")
    tensors = {key.removeprefix(PREFIX): x for key, x in weights.read_file(path).items()}
    rank = settings["r"]
    scale = settings["lora_alpha"] / (rank**0.5 if settings.get("use_rslora") else rank)
    merged = jax.tree.map(lambda leaf: leaf, dict(params))  # the dicts anew, the leaves shared
    for entry in entries(layout, config):
        module = entry.key.removesuffix(".weight")
        names = [f"{module}.{theirs}.weight" for theirs, _ in FACTORS]
        if entry.transposed and all(name in tensors for name in names):
            first, second = (tensors.pop(name).astype(np.float32) for name in names)
            _add(merged, entry, scale * (second @ first).T, path)
        elif entry.key in tensors:
            value = tensors.pop(entry.key).astype(np.float32)
            _replace(merged, entry, value.T if entry.transposed else value, path)
    if tensors:
        raise InputError(
            f"{path} has no place in this model for {len(tensors)} tensors:"
            f" {', '.join(sorted(tensors)[:3])}; was it trained on another?"
        )
    return merged


def merge_tower(
    directory: Path, tower: Mapping[str, Any], config: DualEncoderConfig
) -> dict[Any, Any]:
    """`merge` of a tower of a dual encoder."""
    merged = merge(directory, {"document": tower}, *tower_of(config))
    return merged["document"]


def tower_of(config: DualEncoderConfig) -> tuple[Layout, DualEncoderConfig]:
    """(the layout, the config) of one of its towers by itself, as `AutoModel` has it."""
    layout = NAMES["t5_encoder" if isinstance(config.encoder, T5Config) else "bert"]
    return layout, dataclasses.replace(config, tied=True, projection=None)


def base(directory: str | Path) -> str | None:
    """What the adapter in a local directory was trained from; None: there is no adapter.

    InputError: it does not say.
    """
    places = (Path(directory) / CONFIG, Path(directory) / "document" / CONFIG)
    path = next((place for place in places if place.is_file()), None)
    if path is None:
        return None
    name = io.read_json(path).get("base_model_name_or_path")
    if not name:
        raise InputError(f"{path} has no base_model_name_or_path; write the model's there.")
    return name


def labels(directory: Path) -> int | None:
    """How many logits the classifier has that the adapter brings; None: it brings none."""
    if not (directory / CONFIG).is_file():  # one of each tower
        return None
    tensors = weights.stored(io.existing(directory / WEIGHTS, "the adapter's"))
    found = [key for key in tensors if key.endswith("classifier.weight")]
    return len(tensors[found[0]]) if found else None


def _check_plain(settings: Mapping[str, Any], path: Path) -> None:
    wrong = {"peft_type": settings.get("peft_type")} if settings.get("peft_type") != "LORA" else {}
    names = (
        *("use_dora", "use_qalora", "use_bdlora", "fan_in_fan_out", "lora_bias", "rank_pattern"),
        *("alpha_pattern", "layer_replication", "target_parameters", "trainable_token_indices"),
    )
    wrong |= {name: settings[name] for name in names if settings.get(name)}
    if wrong:
        name, value = next(iter(wrong.items()))
        raise InputError(
            f"{path}: {name} is {value!r}; plain LoRA is read here, merge others with PEFT."
        )


def _factors(
    params: Mapping[Any, Any], entry: Entry
) -> tuple[Mapping[str, Any], int | None] | None:
    """(the dict that holds the factors, which of its layers), None where the kernel has none."""
    for path, layer in ((entry.numbered[:-1], None), (entry.path[:-1], entry.layer)):
        if leaf_at(params, (*path, "lora_a")) is not None:
            return leaf_at(params, path), layer
    return None


def _theirs(value: Any, layer: int | None, transposed: bool) -> np.ndarray:
    array = np.asarray(placement.to_host(value, layer), np.float32)
    return np.ascontiguousarray(array.T if transposed else array)


def _add(params: dict[Any, Any], entry: Entry, change: np.ndarray, path: Path) -> None:
    parent, kernel, layer = _place(params, entry)
    shape = kernel.shape if layer is None else kernel.shape[1:]
    if change.shape != shape:
        raise InputError(
            f"{path}: the factors of {entry.key} make a matrix {list(change.shape[::-1])}, the"
            f" model's is {list(shape[::-1])}; was it trained on another?"
        )
    summed = np.array(kernel)
    summed[... if layer is None else layer] += change
    parent[entry.path[-1]] = summed


def _replace(params: dict[Any, Any], entry: Entry, value: np.ndarray, path: Path) -> None:
    parent, old, layer = _place(params, entry)
    if layer is not None or value.shape != old.shape:
        raise InputError(f"{path}: {entry.key} {list(value.shape)} does not fit the model's.")
    parent[entry.path[-1]] = value


def _place(params: dict[Any, Any], entry: Entry) -> tuple[dict[Any, Any], np.ndarray, int | None]:
    """(the dict that holds the parameter, it or the stack of all layers, which layer of these)."""
    alone = leaf_at(params, entry.numbered) is not None
    *path, name = entry.numbered if alone else entry.path
    parent = leaf_at(params, tuple(path))
    return parent, np.asarray(parent[name]), None if alone else entry.layer
