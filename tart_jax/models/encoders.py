"""The encoders that a tower or a cross-encoder may stand on: BERT or T5, in one face."""

import dataclasses
from collections.abc import Iterable, Mapping
from typing import Any

import jax
import numpy as np
from flax import nnx

from tart_jax.models import names_bert, names_t5
from tart_jax.models.bert import BertConfig, BertEncoder
from tart_jax.models.t5 import T5Config, T5Encoder
from tart_jax.types import InputError

EncoderConfig = BertConfig | T5Config
Params = dict[str, Any]
T5_LENGTH = 512  # tokens that T5 was trained on; it has no position table that would end


def build(
    config: EncoderConfig, *, dtype: str, remat: str, scan: bool, rngs: nnx.Rngs
) -> BertEncoder | T5Encoder:
    """The encoder of this shape; for the options see `BertEncoder` and `T5Encoder`."""
    if isinstance(config, T5Config):
        return T5Encoder(config, dtype=dtype, remat=remat, scan=scan, rngs=rngs)
    return BertEncoder(config, dtype=dtype, remat=remat, rngs=rngs)


def check_scan(config: EncoderConfig, scan: bool) -> None:
    """InputError: stacked layers are asked of BERT, which has no such form."""
    if scan and not isinstance(config, T5Config):
        raise InputError("scan=True stacks the layers of a T5; a BERT's stand apart: scan=False.")


def positions(config: EncoderConfig) -> int | None:
    """The longest text it can read, in tokens; None: any."""
    return config.max_position_embeddings if isinstance(config, BertConfig) else None


def first_layers(
    config: EncoderConfig, params: Params, layers: int
) -> tuple[EncoderConfig, Params]:
    """The encoder without the layers after the first `layers`. InputError: it has not so many."""
    name = "num_layers" if isinstance(config, T5Config) else "num_hidden_layers"
    depth = getattr(config, name)
    if not 1 <= layers <= depth:
        raise InputError(f"layers is {layers}, the encoder has {depth}; it should be 1 to {depth}.")

    def cut(tree: Any) -> Any:
        if not isinstance(tree, Mapping):
            return tree
        return {key: first(x) if key == "layers" else cut(x) for key, x in tree.items()}

    def first(stack: Mapping[Any, Any]) -> dict[Any, Any]:
        if all(isinstance(key, int) for key in stack):
            return {number: stack[number] for number in range(layers)}
        return jax.tree.map(lambda stacked: stacked[:layers], dict(stack))

    shorter: dict[str, Any] = {name: layers}
    return dataclasses.replace(config, **shorter), cut(params)


def config_from_hf(config: dict[str, Any]) -> EncoderConfig:
    """From the dict of a `config.json`, by its model_type: bert, t5 or mt5."""
    kind = config.get("model_type", "bert")
    if kind not in ("bert", "t5", "mt5"):
        raise InputError(f"model_type {kind!r} is not supported; 'bert', 't5' and 'mt5' are.")
    return BertConfig.from_hf(config) if kind == "bert" else T5Config.from_hf(config)


def config_to_hf(config: EncoderConfig) -> dict[str, Any]:
    """The dict of a `config.json` of the encoder alone."""
    return config.to_hf(encoder_only=True) if isinstance(config, T5Config) else config.to_hf()


def params_from_hf(
    tensors: Mapping[str, np.ndarray] | Iterable[tuple[str, np.ndarray]],
    config: EncoderConfig,
    source: str,
    *,
    scan: bool = False,
) -> tuple[Params, tuple[str, ...]]:
    """The encoder's params out of Hugging Face's tensors, and the keys that were ignored."""
    if isinstance(config, T5Config):
        return names_t5.from_hf(tensors, config, source, encoder_only=True, scan=scan)
    return names_bert.from_hf(dict(tensors), config, source)


def params_to_hf(params: Mapping[str, Any], config: EncoderConfig) -> dict[str, np.ndarray]:
    """Hugging Face's tensors of the encoder alone, of layers stacked or not."""
    if isinstance(config, T5Config):
        return names_t5.to_hf(params, config, encoder_only=True)
    return names_bert.to_hf(params, config)
