"""T5's tensors from files straight to the devices, one at a time, so that XL fits in the host."""

from collections.abc import Iterable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from tart_jax.models import names_t5, placement
from tart_jax.models.names_bert import Path
from tart_jax.models.t5_config import T5Config


def from_hf(
    tensors: Iterable[tuple[str, np.ndarray]],
    config: T5Config,
    source: str,
    *,
    encoder_only: bool = False,
    scan: bool = False,
    shardings: Any = None,
) -> tuple[dict[str, Any], tuple[str, ...]]:
    """As `names_t5.from_hf`, but each tensor goes to the devices before the next is read.

    tensors: (name, array) one by one, as of `weights.iterate`. shardings: a tree like the params,
    of `jax.sharding.Sharding`; None: the first device. Host memory holds a tensor at a time.
    """
    params: dict[str, Any] = {}
    shapes = names_t5.shapes_of(config, encoder_only)

    def sharding(path: Path) -> jax.sharding.Sharding:
        if shardings is None:
            return jax.sharding.SingleDeviceSharding(jax.devices()[0])
        return names_t5.leaf(shardings, path)

    def place(path: Path, layer: int | None, value: np.ndarray) -> None:
        if layer is None or not scan:
            path = names_t5.numbered(path, layer)
            names_t5.put(params, path, placement.on_devices(value, sharding(path)))
            return
        so_far = names_t5.leaf(params, path)
        stacked = placement.with_layer(so_far, shapes[path], layer, value, sharding(path))
        names_t5.put(params, path, stacked)

    def head(path: Path, x: jax.Array) -> jax.Array:
        return jax.jit(jnp.transpose, out_shardings=sharding(path))(x)

    ignored = names_t5.fill(tensors, config, source, encoder_only, place)
    names_t5.tie_missing_head(params, config, encoder_only, head)
    return params, ignored
