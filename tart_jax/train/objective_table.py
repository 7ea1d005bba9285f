"""The objectives by name, and their options: what `config.objective` may say."""

import math
from collections.abc import Callable
from typing import Any, Literal, NamedTuple

from flax import nnx
from jax.sharding import Mesh

from tart_jax.data.mixture import Mixture
from tart_jax.train import objectives
from tart_jax.train.objectives import Objective
from tart_jax.train.reading import reading
from tart_jax.types import InputError

TEACHINGS = ("kl", "margin_mse")


class Entry(NamedTuple):
    """An objective: for which model, whether it reads a teacher's scores, how it is made."""

    kind: Literal["dual", "cross", "reader"]
    scored: bool
    make: Callable[..., Objective]
    options: tuple[str, ...] = ("unfollowing_weight",)


DUAL = ("temperature", "unfollowing_weight", "mesh", "chunk_size", "score_block")
TEACHING = ("contrastive_weight", "teaching", "teaching_weight", "teaching_temperature")
OBJECTIVES = {
    "dual_contrastive": Entry("dual", False, objectives.dual_contrastive, DUAL),
    "dual_distill": Entry("dual", True, objectives.dual_distill, DUAL + TEACHING),
    "cross_pointwise": Entry("cross", False, objectives.cross_pointwise),
    "cross_listwise": Entry("cross", False, objectives.cross_listwise),
    "cross_pairwise": Entry("cross", False, objectives.cross_pairwise),
    "cross_margin_mse": Entry("cross", True, objectives.cross_margin_mse),
    "reading": Entry("reader", False, reading, ()),
}


def find(name: str) -> Entry:
    """InputError: an unknown name, with the known ones."""
    if name not in OBJECTIVES:
        raise InputError(
            f"config.objective.name {name!r} is not one of {', '.join(sorted(OBJECTIVES))}."
        )
    return OBJECTIVES[name]


def check(
    *,
    name: str,
    temperature: float,
    contrastive_weight: float,
    teaching: str,
    teaching_weight: float,
    teaching_temperature: float,
    unfollowing_weight: float,
    chunk_size: int,
    score_block: int,
) -> None:
    """InputError: options (those of config.objective) that no objective could train with."""
    find(name)
    if teaching not in TEACHINGS:
        raise InputError(
            f"config.objective.teaching {teaching!r} is not one of {', '.join(TEACHINGS)}."
        )
    usual = {"temperature": (temperature, 0.05), "teaching_temperature": (teaching_temperature, 1)}
    for key, (value, common) in usual.items():
        if value <= 0:
            raise InputError(f"config.objective.{key} is {value}; {common} is usual.")
    if min(contrastive_weight, teaching_weight) < 0 or contrastive_weight + teaching_weight == 0:
        raise InputError(
            "config.objective.contrastive_weight and teaching_weight should be 0 or more and not"
            f" both 0; they are {contrastive_weight} and {teaching_weight}."
        )
    if not 0 <= unfollowing_weight < math.inf:
        raise InputError(
            f"config.objective.unfollowing_weight is {unfollowing_weight}; it should be 0 (left"
            " out) or more, 1 is usual."
        )
    for key, number in {"chunk_size": chunk_size, "score_block": score_block}.items():
        if number < 0:
            raise InputError(f"config.objective.{key} is {number}; 0 takes all at once.")
        if number and find(name).kind != "dual":
            raise InputError(
                f"config.objective.{key} is {number}, but the pairs of {name} do not see each"
                " other; leave it at 0, optimizer.accumulation gives the whole batch's gradient."
            )


def require_scores(name: str, mixture: Mixture) -> None:
    """InputError: the objective reads a teacher's scores and a task's first example has none."""
    for part in mixture.components if find(name).scored else ():
        if not part.examples[0].scores:
            raise InputError(
                f"the objective {name} learns from a teacher's scores, but the first example of"
                f" {part.task!r} has none; its documents need the key 'score'."
            )


def build(graphdef: nnx.GraphDef, *, mesh: Mesh | None, name: str, **options: Any) -> Objective:
    """The objective of that name; of the options (those of config.objective) what it reads."""
    entry = find(name)
    options["mesh"] = mesh
    return entry.make(graphdef, **{option: options[option] for option in entry.options})
