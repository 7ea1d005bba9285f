"""What a training is made of, told by shapes: its model, state, step, batch and operations."""

import functools
import math
from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh
from ml_collections import ConfigDict

from tart_jax import io
from tart_jax.models import (
    bart,
    cross_encoder,
    dual_encoder,
    encoders,
    flops,
    pretrained,
    reader,
    t5_decoder,
)
from tart_jax.models.bart_config import BartConfig
from tart_jax.models.bert import BertConfig
from tart_jax.models.cross_encoder import CrossEncoderConfig
from tart_jax.models.dual_encoder import DualEncoderConfig
from tart_jax.models.encoders import EncoderConfig
from tart_jax.models.t5_config import T5Config
from tart_jax.train import initial, objective_table, plan
from tart_jax.train.build import build, load_trainable
from tart_jax.train.state import TrainState
from tart_jax.train.step import Step
from tart_jax.types import InputError

Shape = EncoderConfig | BartConfig  # a T5Config is an encoder's, or a reader's
TEXTS = ("query_tokens", "document_tokens", "pair_tokens")


def kind(training: ConfigDict) -> str:
    """What the training's objective trains: dual, cross or reader."""
    return objective_table.find(training.objective.name).kind


def model(training: ConfigDict, shape: str) -> tuple[Shape, bool]:
    """(the training's encoder or reader, whether its towers are one).

    shape: a config.json; "": as the training's source says. No weight is read.
    """
    want = training.model
    if want.query_towers:
        raise InputError("plan knows no class towers; plan the training without query_towers.")
    found: Shape
    if kind(training) == "reader" and not want.new_decoder:
        record = io.read_json(io.existing(shape, "config.json")) if shape else None
        found = reader.shape_of(record, shape) if record else reader.outline(want.source)
        return initial.with_dropout(found, want.dropout), True
    if shape:
        read = encoders.config_from_hf(io.read_json(io.existing(shape, "config.json")))
        tied = True
    else:
        read, tied = pretrained.outline(want.source)
    if want.layers is not None:
        read, _ = encoders.first_layers(read, {}, want.layers)
    found = read
    if want.new_decoder:
        found = reader.config_over(read, want.new_decoder)
    return initial.with_dropout(found, want.dropout), tied if want.tied is None else want.tied


def abstract(
    training: ConfigDict, shape: Shape, tied: bool, mesh: Mesh
) -> tuple[TrainState, Step, plan.Batch]:
    """A training's state, step and batch, without a number in them."""
    make = {"dual": _dual, "cross": _cross, "reader": _reader}[kind(training)]
    graphdef, params, batch = make(training, shape, tied, mesh)
    begun = jax.eval_shape(lambda p: load_trainable(training).begin(p, seed=0), params)
    return *build(training, graphdef, begun, mesh), batch


def _dual(training: ConfigDict, shape: Any, tied: bool, mesh: Mesh) -> tuple[Any, Any, plan.Batch]:
    want, data = training.model, training.data
    dual = DualEncoderConfig(
        shape, pooling=want.pooling or "mean", projection=want.projection,
        normalize=bool(want.normalize), tied=tied, **_form(training),
    )  # fmt: skip
    batch = plan.text_batch(
        data.batch_size, 1 + data.num_negatives, query_length=data.query_length,
        document_length=data.document_length, known_positives=data.known_positives, mesh=mesh,
    )  # fmt: skip
    return dual_encoder.graphdef(dual), dual_encoder.abstract_params(dual), batch


def _cross(training: ConfigDict, shape: Any, tied: bool, mesh: Mesh) -> tuple[Any, Any, plan.Batch]:
    want, data = training.model, training.data
    cross = CrossEncoderConfig(
        shape, num_labels=want.num_labels or 2, dropout=want.dropout, **_form(training)
    )
    batch = plan.pair_batch(data.batch_size, 1 + data.num_negatives, data.pair_length, mesh)
    return cross_encoder.graphdef(cross), cross_encoder.abstract_params(cross), batch


def _reader(
    training: ConfigDict, shape: Any, tied: bool, mesh: Mesh
) -> tuple[Any, Any, plan.Batch]:
    data, dtype = training.data, training.model.dtype
    batch = plan.reading_batch(
        data.batch_size, data.passages if data.fusion else 1, input_length=data.pair_length,
        answer_length=data.answer_length, mesh=mesh,
    )  # fmt: skip
    module: Any = bart if isinstance(shape, BartConfig) else t5_decoder
    params = jax.eval_shape(functools.partial(module.init, shape), jax.random.key(0))
    return module.graphdef(shape, dtype=dtype), params, batch


def _form(training: ConfigDict) -> dict[str, Any]:
    want = training.model
    return {"dtype": want.dtype, "remat": want.remat, "scan": want.scan}


def operations(shape: Shape, batch: plan.Batch) -> float:
    """Floating-point operations of a step; texts count with their full length."""
    if "answer_tokens" in batch:
        rows, parts, length = batch["input_tokens"].shape
        answers = np.full(rows, batch["answer_tokens"].shape[1])
        inputs = np.full(rows * parts, length)
        assert isinstance(shape, T5Config | BartConfig)
        return flops.reading(shape, inputs, answers, parts)
    assert not isinstance(shape, BartConfig)
    texts = [batch[name] for name in TEXTS if name in batch]
    lengths = [np.full(math.prod(text.shape[:-1]), text.shape[-1]) for text in texts]
    return flops.training(shape, np.concatenate(lengths))


def inner(shape: Shape) -> set[int]:
    """The sizes that a tensor axis divides: of the perceptron, and the number of heads."""
    if isinstance(shape, BertConfig):
        return {shape.intermediate_size, shape.num_attention_heads}
    if isinstance(shape, BartConfig):
        return {shape.encoder_ffn_dim, shape.encoder_attention_heads}
    return {shape.d_ff, shape.num_heads}
