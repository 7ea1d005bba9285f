"""The parts of a cross-encoder that a checkpoint of an encoder has not: random until trained."""

import dataclasses
import logging
from collections.abc import Mapping
from typing import Any

import jax
import numpy as np

from tart_jax.models import cross_encoder, placement
from tart_jax.models.bert import BertConfig
from tart_jax.models.checkpoint_layouts import Layout
from tart_jax.models.cross_encoder import CrossEncoderConfig

log = logging.getLogger(__name__)


def parts(
    tensors: Mapping[str, np.ndarray], layout: Layout, config: CrossEncoderConfig
) -> tuple[str, ...]:
    """First names in our params of what is to be new: the classifier, and a pooler not there."""
    pooler = f"{layout.towers['document']}pooler.dense.weight"
    return ("classifier", "pooler") if config.pooled and pooler not in tensors else ("classifier",)


def start(config: CrossEncoderConfig, parts: tuple[str, ...], shardings: Any) -> dict[str, Any]:
    """Random values of these parts, with a warning. shardings: see `checkpoint_params.read`."""
    if not parts:
        return {}
    log.warning("The %s of the cross-encoder is new: random until trained.", " and ".join(parts))
    depth = "num_hidden_layers" if isinstance(config.encoder, BertConfig) else "num_layers"
    small = dataclasses.replace(config.encoder, **{"vocab_size": 1, depth: 1})  # type: ignore[arg-type]
    drawn = cross_encoder.init(dataclasses.replace(config, encoder=small), jax.random.key(0))
    values = {name: jax.tree.map(np.asarray, drawn[name]) for name in parts}
    if shardings is None:
        return values
    places = {name: shardings[name] for name in parts}
    return jax.tree.map(placement.on_devices, values, places)
