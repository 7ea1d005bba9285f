"""The formats by name: how each is read and written, and which options it takes."""

import inspect
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Literal, NamedTuple, get_args, get_origin

from tart_jax.data.exchange import (
    beir,
    berri_folder,
    dpr,
    hf,
    kilt,
    msmarco,
    pairs,
    tart_dual,
    tart_full,
    tevatron,
    trec_run,
)
from tart_jax.data.exchange.records import Item
from tart_jax.data.exchange.writers import Exported
from tart_jax.types import InputError


class Format(NamedTuple):
    """`read(path, *, task, ...)`, `write(output, source, ...)`, and the name of the output.

    The source of a writer is examples or, with from_run, the path of a TREC run.
    """

    read: Callable[..., Iterator[Item]] | None = None
    write: Callable[..., Exported] | None = None
    output: str = ""
    from_run: bool = False


FORMATS = {
    "tart_dual": Format(tart_dual.read, tart_dual.write, "tart_dual.jsonl"),
    "tart_full": Format(tart_full.read, tart_full.write, "tart_full.json"),
    "berri_folder": Format(berri_folder.read),
    "dpr": Format(dpr.read, dpr.write, "dpr.json"),
    "kilt": Format(kilt.read),
    "kilt_predictions": Format(
        write=kilt.write_predictions, output="predictions.jsonl", from_run=True
    ),
    "beir": Format(beir.read, beir.write, "beir"),
    "pairs": Format(pairs.read, pairs.write, "pairs.jsonl"),
    "tevatron": Format(tevatron.read, tevatron.write, "tevatron.jsonl"),
    "msmarco": Format(msmarco.read),
    "trec_run": Format(trec_run.read),
    "hf": Format(hf.read),
}


def reader(name: str) -> Callable[..., Iterator[Item]]:
    """The format's reader; InputError where there is none of that name."""
    known = {key: format.read for key, format in FORMATS.items() if format.read}
    if name not in known:
        raise InputError(f"--config.format={name!r} is not one of {', '.join(known)}.")
    return known[name]


def writer(name: str) -> Callable[..., Exported]:
    """The format's writer; InputError where there is none of that name."""
    known = {key: format.write for key, format in FORMATS.items() if format.write}
    if name not in known:
        raise InputError(f"--config.format={name!r} is not one of {', '.join(known)}.")
    return known[name]


def options(
    function: Callable[..., Any], given: Mapping[str, Any], format_name: str
) -> dict[str, Any]:
    """The options that were given (not None).

    InputError: one that the format does not take, a word it does not know, a negative number.
    """
    parameters = inspect.signature(function).parameters.values()
    taken = {
        p.name: p.annotation for p in parameters if p.kind is p.KEYWORD_ONLY and p.name != "task"
    }
    chosen = {name: value for name, value in given.items() if value is not None}
    for name in chosen:
        if name not in taken:
            raise InputError(
                f"--config.options.{name} means nothing to the format {format_name}; it takes"
                f" {', '.join(taken) or 'no options'}."
            )
        words = get_args(taken[name]) if get_origin(taken[name]) is Literal else ()
        if words and chosen[name] not in words:
            raise InputError(
                f"--config.options.{name}={chosen[name]} is not one of {', '.join(words)}."
            )
        if isinstance(chosen[name], int) and chosen[name] < 0:
            raise InputError(f"--config.options.{name}={chosen[name]} is negative.")
    return chosen
