"""What a training changes: all parameters, all but those that stay, or LoRA's factors and heads."""

import dataclasses
import re
from collections.abc import Mapping
from typing import Any

from flax import traverse_util

from tart_jax.models import lora
from tart_jax.types import InputError

Params = dict[Any, Any]


@dataclasses.dataclass(frozen=True)
class Trainable:
    """frozen: regexes; a parameter with one of them in its path stays as it is.

    rank, alpha, targets: of LoRA, see `lora.add`; the factors' product counts alpha / rank times.
    With a rank the encoders stay as they are but for the factors; what stands after an encoder
    (projection, pooler, classifier) is trained whole. Rank 0: no LoRA.
    """

    frozen: tuple[str, ...] = ()
    rank: int = 0
    alpha: float = 16.0
    targets: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.rank < 0:
            raise InputError(f"config.lora.rank is {self.rank}; 0 is no LoRA, 8 is usual.")
        if self.rank and not self.targets:
            raise InputError(
                "config.lora.targets is empty; it names the kernels that LoRA changes."
            )

    def begin(self, params: Params, *, seed: int) -> Params:
        """The params that a training starts from: the model's, with LoRA's factors.

        InputError: a regex that finds nothing, or no parameter left to train.
        """
        if self.rank:
            params = lora.add(params, targets=self.targets, rank=self.rank, seed=seed)
        paths = ["/".join(map(str, path)) for path in traverse_util.flatten_dict(params)]
        for regex in self.frozen:
            if not any(re.search(regex, path) for path in paths):
                raise InputError(f"config.frozen: no parameter has {regex!r} in its path.")
        if not self.split(params)[0]:
            raise InputError("config.frozen leaves no parameter to train; name fewer.")
        return params

    def split(self, params: Params) -> tuple[Params, Params]:
        """(what is trained, what stays): the same nesting, each without what the other holds."""
        parts: tuple[dict[Any, Any], dict[Any, Any]] = ({}, {})
        for path, leaf in traverse_util.flatten_dict(params).items():
            parts[0 if self._trains(path) else 1][path] = leaf
        trained, rest = map(traverse_util.unflatten_dict, parts)
        return trained, rest

    def merged(self, params: Params) -> Params:
        """The params as the model has them, with LoRA's factors added up; the rest is shared."""
        return lora.merge(params, self.alpha / self.rank) if self.rank else params

    def _trains(self, path: tuple[Any, ...]) -> bool:
        if any(re.search(regex, "/".join(map(str, path))) for regex in self.frozen):
            return False
        return not self.rank or path[-1] in lora.FACTORS or "encoder" not in path


ALL = Trainable()


def join(trained: Mapping[Any, Any], rest: Mapping[Any, Any]) -> Params:
    """What `Trainable.split` split."""
    flat = [traverse_util.flatten_dict(dict(part)) for part in (trained, rest)]
    return traverse_util.unflatten_dict(flat[0] | flat[1])
