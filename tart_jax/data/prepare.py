"""Stage `prepare`: builds a data set into a folder."""

import importlib
from collections.abc import Callable
from pathlib import Path

from ml_collections import ConfigDict

from tart_jax.tables import Table
from tart_jax.types import InputError

# config.builder -> the module whose `run(workdir, **the other keys)` makes the set and counts it.
BUILDERS = {
    "python_library": "tart_jax.data.python_library",
    "real_tasks": "tart_jax.data.beir_tasks",
    "berri": "tart_jax.data.berri.build",
    "kilt": "tart_jax.data.kilt.build",
    "kilt_world": "tart_jax.data.kilt.world",
    "reading": "tart_jax.data.kilt.reading",
    "x2": "tart_jax.data.x2",
}


def run(config: ConfigDict, workdir: Path) -> None:
    """Builds the data set; a finished folder of the same options is left as it is."""
    options = config.to_dict()
    builder = options.pop("builder")
    if builder not in BUILDERS:
        raise InputError(f"config.builder {builder!r} is not one of {', '.join(BUILDERS)}.")
    build: Callable[..., Table] = importlib.import_module(BUILDERS[builder]).run
    build(workdir, **options).show()
