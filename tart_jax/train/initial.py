"""The model that a training begins with: loaded, shortened, in class towers, or random."""

import dataclasses
import logging
from collections.abc import Mapping
from typing import Any, TypeVar

import jax
import numpy as np

from tart_jax.models import (
    class_towers,
    dual_encoder,
    encoders,
    pretrained,
    pretrained_cross,
    reader,
)
from tart_jax.models.bart_config import BartConfig
from tart_jax.models.bert import BertConfig
from tart_jax.models.pretrained import Pretrained
from tart_jax.models.pretrained_cross import PretrainedCross, Shardings
from tart_jax.models.reader import Reader
from tart_jax.models.t5_config import T5Config
from tart_jax.types import InputError

log = logging.getLogger(__name__)
Model = Pretrained | PretrainedCross | Reader
Config = TypeVar("Config", bound=BertConfig | T5Config | BartConfig)
KINDS = {"dual": "dual encoder", "cross": "cross encoder", "reader": "reader"}
# Options of config.model that only one kind of model has.
OPTIONS = {
    "dual": ("pooling", "normalize", "projection", "tied", "layers", "from_scratch",
             "query_towers"),
    "cross": ("num_labels", "new_head"),
    "reader": ("layers", "new_decoder"),
}  # fmt: skip
UNSET = {"from_scratch": False, "query_towers": (), "new_head": False, "new_decoder": 0}  # or None
# What encoders call their dropout.
DROPOUTS = ("hidden_dropout_prob", "attention_probs_dropout_prob", "dropout_rate", "dropout")


def load(
    kind: str,
    *,
    source: str,
    dropout: float,
    dtype: str,
    remat: str,
    scan: bool,
    shardings: Shardings | None = None,
    seed: int = 0,
    **options: Any,
) -> Model:
    """The initial model with the run's dropout.

    kind: "dual", "cross" or "reader"; options: those of `OPTIONS`, named as in config.model. seed:
    of random weights. shardings: where a cross-encoder's weights go as they are read, see
    `pretrained_cross.load`. InputError: an option that is set and belongs to another kind.
    """
    own = _own(kind, options)
    if kind == "reader":
        if remat != "none" or scan:
            raise InputError("config.model.remat and scan: a reader has neither; leave them out.")
        return _reader(source, **own, dtype=dtype, rate=dropout)
    form: dict[str, Any] = dict(dtype=dtype, remat=remat, scan=scan)
    if kind == "cross":
        cross = pretrained_cross.load(source, **own, **form, shardings=shardings)
        encoder = with_dropout(cross.config.encoder, dropout)
        config = dataclasses.replace(cross.config, encoder=encoder, dropout=dropout)
        return dataclasses.replace(cross, config=config)
    layers, towers = own.pop("layers"), own.pop("query_towers")
    from_scratch = own.pop("from_scratch")
    dual = pretrained.load(source, **own, **form)
    dual = dual if layers is None else _shortened(dual, layers)
    dual = _fresh(dual, seed) if from_scratch else dual
    dual = _classed(dual, class_towers.parse(towers)) if towers else dual
    encoder = with_dropout(dual.config.encoder, dropout)
    return dataclasses.replace(dual, config=dataclasses.replace(dual.config, encoder=encoder))


def _own(kind: str, options: Mapping[str, Any]) -> dict[str, Any]:
    """The options of this kind of model. InputError: one of another kind is set."""
    for name, value in options.items():
        if name not in OPTIONS[kind] and value != UNSET.get(name):
            raise InputError(
                f"config.model.{name} is {value}, but the objective trains a {KINDS[kind]}, which"
                " has no such thing; leave it out."
            )
    return {name: options[name] for name in OPTIONS[kind]}


def _reader(
    source: str, *, layers: int | None, new_decoder: int, dtype: str, rate: float
) -> Reader:
    if new_decoder:
        bert = pretrained.load(source)
        bert = bert if layers is None else _shortened(bert, layers)
        model = reader.over_encoder(bert, new_decoder, dtype=dtype)
    elif layers is not None:
        raise InputError("config.model.layers: of a reader only with config.model.new_decoder.")
    else:
        model = reader.load(source, dtype=dtype)
    return dataclasses.replace(model, config=with_dropout(model.config, rate))


def _shortened(model: Pretrained, layers: int) -> Pretrained:
    encoder, params = model.config.encoder, {}
    for name, tower in model.params.items():
        encoder, kept = encoders.first_layers(model.config.encoder, tower["encoder"], layers)
        params[name] = {**tower, "encoder": kept}
    return dataclasses.replace(
        model,
        config=dataclasses.replace(model.config, encoder=encoder),
        params=params,
        weights_sha256=pretrained.params_sha256(params),
    )


def _fresh(model: Pretrained, seed: int) -> Pretrained:
    """The same shape with random weights; the two towers of a model that has two differ."""
    log.warning("The model starts at random weights (config.model.from_scratch).")
    params = jax.jit(dual_encoder.init, static_argnums=0)(model.config, jax.random.key(seed))
    params = jax.tree.map(np.asarray, params)
    sha256 = pretrained.params_sha256(params)
    return dataclasses.replace(model, params=params, weights_sha256=sha256)


def _classed(model: Pretrained, classes: class_towers.Classes) -> Pretrained:
    """The model with a query tower for each class, all alike at first."""
    if model.config.tied:
        raise InputError("config.model.query_towers needs two towers: config.model.tied=False.")
    params = class_towers.stack(model.params, len(classes))
    sha256 = pretrained.params_sha256(params)
    return dataclasses.replace(model, params=params, weights_sha256=sha256, query_towers=classes)


def with_dropout(config: Config, rate: float) -> Config:
    """The shape of an encoder or reader with this rate wherever it has one."""
    names = {field.name for field in dataclasses.fields(config)} & set(DROPOUTS)
    changes: dict[str, Any] = dict.fromkeys(names, rate)
    return dataclasses.replace(config, **changes)
