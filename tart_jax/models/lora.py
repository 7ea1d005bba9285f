"""LoRA (Hu et al. 2022, section 4.1): a product of two narrow matrices beside a frozen one.

The factors stand in the params beside their `kernel`: `lora_a` [in, rank], `lora_b` [rank, out].
They are added up before the model is applied, so that no layer has to know of them.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from tart_jax.types import InputError

FACTORS = ("lora_a", "lora_b")
Tree = dict[Any, Any]


def add(params: Mapping[Any, Any], *, targets: Sequence[str], rank: int, seed: int) -> Tree:
    """The params, with factors beside every kernel in whose path one of `targets` is found.

    lora_a is uniform within +-1 / sqrt(in), as PEFT starts it, and lora_b zero: the model begins as
    it was. Of abstract params the factors are abstract. InputError: a target that finds no kernel.
    """
    unused, draw = set(targets), np.random.default_rng([seed, rank])
    abstract = any(isinstance(x, jax.ShapeDtypeStruct) for x in jax.tree.leaves(params))

    def beside(path: str, node: Tree) -> Tree:
        hits = {target for target in targets if re.search(target, f"{path}/kernel")}
        if not hits:
            return node
        unused.difference_update(hits)
        *stack, fan_in, fan_out = node["kernel"].shape
        first, second = (*stack, fan_in, rank), (*stack, rank, fan_out)
        if abstract:
            shapes = (jax.ShapeDtypeStruct(shape, jnp.float32) for shape in (first, second))
            return node | dict(zip(FACTORS, shapes, strict=True))
        a = (draw.uniform(-1, 1, first) / np.sqrt(fan_in)).astype(np.float32)
        return node | {"lora_a": a, "lora_b": np.zeros(second, np.float32)}

    added = _at_kernels(params, beside)
    if unused:
        raise InputError(f"no kernel of the model has {sorted(unused)[0]!r} in its path.")
    return added


def merge(params: Mapping[Any, Any], scale: float) -> Tree:
    """The params as the model has them: kernel + scale * lora_a @ lora_b, and no factors."""

    def merged(path: str, node: Tree) -> Tree:
        if "lora_a" not in node:
            return node
        precise = jax.lax.Precision.HIGHEST  # the weights are float32, whatever the products are
        product = jnp.matmul(node["lora_a"], node["lora_b"], precision=precise)
        rest = {name: leaf for name, leaf in node.items() if name not in FACTORS}
        return rest | {"kernel": node["kernel"] + scale * product}

    return _at_kernels(params, merged)


def without(params: Mapping[Any, Any]) -> Tree:
    """The params without their factors, whatever the leaves are."""
    return _at_kernels(
        params, lambda path, node: {k: leaf for k, leaf in node.items() if k not in FACTORS}
    )


def _at_kernels(tree: Mapping[Any, Any], change: Callable[[str, Tree], Tree], at: str = "") -> Tree:
    """The tree with every dict that holds a `kernel` changed: change(its path, it)."""
    children = {
        key: _at_kernels(x, change, f"{at}/{key}" if at else str(key))
        if isinstance(x, Mapping)
        else x
        for key, x in tree.items()
    }
    return change(at, children) if "kernel" in children else children
