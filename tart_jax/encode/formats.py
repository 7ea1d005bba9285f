"""Which text format a model is to read: its checkpoint's, unless another is forced."""

from dataclasses import replace
from typing import Protocol, TypeVar, runtime_checkable

from tart_jax.data.instructions import Order
from tart_jax.data.tokenization import Tokenizer
from tart_jax.models.cross_format import CrossFormat
from tart_jax.models.format import Format
from tart_jax.types import InputError

F = TypeVar("F", Format, CrossFormat)


@runtime_checkable
class Trained(Protocol[F]):
    """What is asked of a model: a `Pretrained` or a `PretrainedCross`."""

    format: F
    format_known: bool
    tokenizer: Tokenizer
    source: str


def checked_format(
    model: Trained[F],
    *,
    order: Order | None = None,
    separator: str | None = None,
    force: bool = False,
) -> F:
    """The checkpoint's format, with `order` and `separator` where given; the separator is a text.

    A model directory that was not written by tart_jax names no format: there any choice is taken.
    InputError: another format than the checkpoint's, without `force`.
    """
    stored = model.format
    if stored.separator is None:
        stored = replace(stored, separator=model.tokenizer.separator)
    asked = replace(
        stored,
        instruction_order=stored.instruction_order if order is None else order,
        separator=stored.separator if separator is None else separator,
    )
    if model.format_known and not force and asked != stored:
        raise InputError(
            f"{model.source} was trained to read {stored.instruction_order} with the separator"
            f" {stored.separator!r}, not {asked.instruction_order} with {asked.separator!r};"
            " leave the option out, or say --config.force_format=True."
        )
    return asked
