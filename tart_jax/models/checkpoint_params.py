"""Params out of a checkpoint of any layout, every key accounted for, and back."""

import functools
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import jax
import numpy as np

from tart_jax.models import cross_encoder, dual_encoder, names_bert, names_t5, placement
from tart_jax.models.bert import BertConfig
from tart_jax.models.checkpoint_layouts import LAYOUTS, Layout
from tart_jax.models.checkpoint_report import Report
from tart_jax.models.cross_encoder import CrossEncoderConfig
from tart_jax.models.dual_encoder import DualEncoderConfig
from tart_jax.models.encoders import EncoderConfig
from tart_jax.models.t5_config import T5Config
from tart_jax.types import InputError

Config = DualEncoderConfig | CrossEncoderConfig
Path = tuple[str | int, ...]
Tensors = dict[str, np.ndarray]
# T5's embedding table under a second name.
TABLE, ALIAS = names_t5.EMBEDDINGS, names_t5.ALIASES[0]


class Entry(NamedTuple):
    """A parameter: its key, its path, with the layer apart where layers may be stacked."""

    key: str
    path: Path
    layer: int | None
    transposed: bool

    @property
    def numbered(self) -> Path:
        if self.layer is None:
            return self.path
        after = self.path.index("layers") + 1
        return (*self.path[:after], self.layer, *self.path[after:])


def read(
    tensors: Mapping[str, np.ndarray],
    layout: Layout,
    config: Config,
    where: str,
    *,
    strict: bool = True,
    fresh: tuple[str, ...] = (),
    consume: bool = False,
    shardings: Any = None,
) -> tuple[dict[str, Any], Report]:
    """The model's params (float32, numpy) out of a checkpoint, and what became of every key.

    fresh: first names in our params that the checkpoint need not hold; they are left out.
    consume: each tensor leaves a dict as it is read, so that an XL model is in memory once.
    shardings: a tree like the params, of where each goes as it is read; None: they are numpy.
    MismatchError: a key is missing or misshaped; or, if strict, unexpected.
    """
    found = {_today(key, tensors): key for key in tensors}
    aliased = _same_table(tensors)
    take = tensors.pop if consume and isinstance(tensors, dict) else tensors.__getitem__
    shapes = _shapes(config)
    params: dict[str, Any] = {}
    matched, missing, misshaped = [], [], []
    for entry in (x for x in entries(layout, config) if x.path[0] not in fresh):
        key = found.pop(entry.key, None)
        if key is None:
            missing.append(entry.key)
            continue
        value = take(key)
        value = value.T if entry.transposed else value
        stacked = entry.numbered not in shapes
        shape = shapes[entry.path][1:] if stacked else shapes[entry.numbered]
        if value.shape != shape:
            misshaped.append(
                f"{key} {_theirs(value.shape, entry)} instead of {_theirs(shape, entry)}"
            )
            continue
        matched.append(key)
        _place(params, entry, shapes[entry.path] if stacked else None, value, shardings)
    ignored = {name for name in found if _ignored(layout, name, config, fresh, aliased)}
    unexpected = sorted(found[name] for name in set(found) - ignored)
    report = Report(
        layout.name, tuple(matched), ignored=tuple(sorted(found[name] for name in ignored)),
        missing=tuple(missing), unexpected=tuple(unexpected), misshaped=tuple(misshaped),
    )  # fmt: skip
    report.check(f"{where} does not hold the {layout.title} that its config describes", strict)
    return params, report


def write(params: Mapping[str, Any], layout: Layout, config: Config) -> Tensors:
    """The tensors of a checkpoint of this layout (float32), from params.

    InputError: the layout cannot hold this model, or holds what our params do not.
    """
    _check_fits(layout, config)
    if isinstance(config, DualEncoderConfig) and config.tied and "query" in layout.towers:
        params = {"query": params["document"], "document": params["document"]}
    tensors = {}
    for entry in entries(layout, config):
        value, layer = _get(params, entry.numbered), None
        if value is None:  # the layers are stacked
            value, layer = _get(params, entry.path), entry.layer
        array = np.asarray(placement.to_host(value, layer), np.float32)
        tensors[entry.key] = np.ascontiguousarray(array.T if entry.transposed else array)
    return tensors


def keys(layout: Layout, config: Config) -> list[str]:
    """The key of every parameter of the model."""
    return [entry.key for entry in entries(layout, config)]


def _check_fits(layout: Layout, config: Config) -> None:
    cross = isinstance(config, CrossEncoderConfig)
    kind = "t5" if isinstance(config.encoder, T5Config) else "bert"
    fitting = [x.name for x in LAYOUTS if (x.cross, x.encoder, x.complete) == (cross, kind, True)]
    wrong = ""
    if layout.name not in fitting:
        wrong = "is not of this kind of model" if layout.complete else "holds a trainer's state"
    elif isinstance(config, DualEncoderConfig):
        if config.projection and not layout.projections:
            wrong = "has no place for the model's projection"
        elif not config.tied and "query" not in layout.towers:
            wrong = "has one tower, the model has two"
    if wrong:
        raise InputError(
            f"layout {layout.name} {wrong}; layouts for such a model: {', '.join(fitting)}."
        )


def entries(layout: Layout, config: Config) -> Iterator[Entry]:
    """Every parameter of the model."""
    if isinstance(config, CrossEncoderConfig):
        prefix = layout.towers["document"]
        yield from _encoder(prefix, ("encoder",), config.encoder)
        if config.pooled:
            yield from _linear(f"{prefix}pooler.dense.", ("pooler",))
        yield from _linear("classifier.", ("classifier",))
        return
    for tower, prefix in layout.towers.items():
        yield from _encoder(prefix, (tower, "encoder"), config.encoder)
        if config.projection:
            yield from _linear(layout.projections[tower], (tower, "projection"))


def _encoder(prefix: str, path: Path, config: EncoderConfig) -> Iterator[Entry]:
    if isinstance(config, BertConfig):
        for name, inner, transposed in names_bert.names(config):
            yield Entry(prefix + name, (*path, *inner), None, transposed)
        return
    for name, inner, layer, transposed in names_t5.names(config, encoder_only=True):
        yield Entry(prefix + name, (*path, *inner), layer, transposed)


def _linear(prefix: str, path: Path) -> Iterator[Entry]:
    yield Entry(f"{prefix}weight", (*path, "kernel"), None, True)
    yield Entry(f"{prefix}bias", (*path, "bias"), None, False)


def _ignored(
    layout: Layout,
    name: str,
    config: Config,
    fresh: tuple[str, ...],
    aliased: bool,
) -> bool:
    if name.startswith(layout.ignored):
        return True
    if "classifier" in fresh and name.startswith("classifier."):  # a new head replaces it
        return True
    if layout.encoder == "t5":
        return name == ALIAS and aliased
    bare = [name.removeprefix(p) for p in layout.towers.values() if name.startswith(p)]
    if isinstance(config, CrossEncoderConfig) and any(x.startswith("pooler.") for x in bare):
        return False  # it is a part of this model
    return any(names_bert.IGNORED.fullmatch(x) for x in bare)


def _same_table(tensors: Mapping[str, np.ndarray]) -> bool:
    both = TABLE in tensors and ALIAS in tensors
    return both and np.array_equal(tensors[TABLE], tensors[ALIAS])


def _today(key: str, keys: Mapping[str, Any]) -> str:
    """A key under today's name, unless another stands there already.

    TensorFlow's words were gamma and beta; T5's table has two names.
    """
    name = key
    for old, new in names_bert.OLD_NAMES:
        if key.endswith(f"LayerNorm{old}"):
            name = key.removesuffix(old) + new
    if key == ALIAS:
        name = TABLE
    return key if name in keys else name


@functools.lru_cache(maxsize=64)
def _shapes(config: Config) -> dict[Path, tuple[int, ...]]:
    abstract = (
        cross_encoder.abstract_params(config)
        if isinstance(config, CrossEncoderConfig)
        else dual_encoder.abstract_params(config)
    )
    leaves = jax.tree_util.tree_leaves_with_path(abstract)
    return {tuple(part.key for part in path): leaf.shape for path, leaf in leaves}


def _theirs(shape: tuple[int, ...], entry: Entry) -> list[int]:
    return list(shape[::-1] if entry.transposed else shape)


def _place(
    params: dict[Any, Any],
    entry: Entry,
    stacked: tuple[int, ...] | None,
    value: np.ndarray,
    shardings: Any,
) -> None:
    """Puts a parameter at its path. stacked: the shape of all layers, where they are one array."""
    path = entry.numbered if stacked is None else entry.path
    where = None if shardings is None else _get(shardings, path)
    for part in path[:-1]:
        params = params.setdefault(part, {})
    name, layer = path[-1], entry.layer
    if stacked is None or layer is None:
        params[name] = (
            np.ascontiguousarray(value, np.float32)
            if where is None
            else placement.on_devices(value, where)
        )
    elif where is None:
        params.setdefault(name, np.empty(stacked, np.float32))[layer] = value
    else:
        params[name] = placement.with_layer(params.get(name), stacked, layer, value, where)


def _get(tree: Any, path: Path) -> Any:
    """The leaf at a path, None where its layer has no number of its own."""
    for part in path:
        if isinstance(part, int) and part not in tree:
            return None
        tree = tree[part]
    return tree
