"""PyTorch's `.bin` and `.pth` files without PyTorch: a restricted unpickler, the only one here.

Admitted are tensors and their storages, containers, numbers, strings and argparse.Namespace
(TART's checkpoints carry one). The settings that DPR's checkpoints carry become `Inert` objects,
which hold state and do nothing, so that omegaconf need not be there. Any other class or function a
file names is refused by that name before it is called. Nothing admitted here runs code of the file.
"""

import argparse
import collections
import io
import math
import pickle
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np

from tart_jax.types import InputError

STORAGES = {
    "DoubleStorage": np.float64,
    "FloatStorage": np.float32,
    "HalfStorage": np.float16,
    "BFloat16Storage": ml_dtypes.bfloat16,
    "LongStorage": np.int64,
    "IntStorage": np.int32,
    "ShortStorage": np.int16,
    "CharStorage": np.int8,
    "ByteStorage": np.uint8,
    "BoolStorage": np.bool_,
    "UntypedStorage": np.uint8,
}
# Classes of omegaconf that a pickled configuration names; DPR's `encoder_params` holds them.
OMEGACONF = {
    "dictconfig": ("DictConfig",),
    "listconfig": ("ListConfig",),
    "base": ("ContainerMetadata", "Metadata"),
    "nodes": ("AnyNode", "StringNode", "IntegerNode", "FloatNode", "BooleanNode"),
}
# The form PyTorch wrote before 1.6: pickles one after another, then the storages' bytes.
LEGACY_MAGIC = 0x1950A86A20F9469CFC6C
LEGACY_PROTOCOL = 1001


class _Refused(pickle.UnpicklingError):
    """The file names something that is not admitted, or is not what it claims."""


class _Storage:
    """The flat array behind one or more tensors; a legacy file fills it after the tensors."""

    def __init__(self, dtype: Any, count: int):
        self.array = np.zeros(count, dtype)


def read(path: str | Path) -> Any:
    """What `torch.save` wrote, tensors as numpy arrays (bfloat16 through ml_dtypes).

    InputError: the file names a class or function that is not admitted, or is broken.
    """
    path = Path(path)
    try:
        if zipfile.is_zipfile(path):
            return _read_zip(path)
        return _read_legacy(path)
    except InputError:
        raise
    except _Refused as error:
        raise InputError(f"{path}: {error}") from error
    except Exception as error:  # a crafted or cut file can fail anywhere inside pickle
        raise InputError(
            f"{path} is not a readable PyTorch file ({type(error).__name__}: {error})."
        ) from error


def read_tensors(path: str | Path) -> dict[str, np.ndarray]:
    """The tensors of a state dict, which may lie under `model`, `state_dict` or `model_dict`."""
    return named_tensors(read(path), path)


def named_tensors(content: Any, path: str | Path) -> dict[str, np.ndarray]:
    """The tensors by name in what `read` returned for the file `path`."""
    for key in ("model", "state_dict", "model_dict"):
        if isinstance(content, dict) and isinstance(content.get(key), dict):
            content = content[key]
    if not isinstance(content, dict):
        raise InputError(f"{path} holds a {type(content).__name__}, not a dict of tensors.")
    tensors = {key: value for key, value in content.items() if isinstance(value, np.ndarray)}
    if not tensors:
        keys = ", ".join(map(str, content))
        raise InputError(f"{path} holds no tensors by name; its keys: {keys}.")
    return tensors


def setting(value: Any, *keys: str) -> Any:
    """The number or string under nested keys of the settings that a file carries; None: not there.

    Looks through dicts, Namespaces and omegaconf's objects.
    """
    for key in keys:
        value = _open(value)
        value = value.get(key) if isinstance(value, dict) else None
    value = _open(value)
    return value if isinstance(value, str | int | float) else None


def _open(value: Any) -> Any:
    if isinstance(value, argparse.Namespace):
        return vars(value)
    if isinstance(value, Inert) and isinstance(value.state, dict):
        return value.state.get("_content", value.state.get("_val"))
    return value


def _tensor(storage: Any, offset: int, size: Any, stride: Any, *_: Any) -> np.ndarray:
    if not isinstance(storage, _Storage):
        raise _Refused("a tensor is built on something that is no storage.")
    array = storage.array
    # A file may set attributes: an array of zero strides would pass for more memory than it has.
    if type(array) is not np.ndarray or array.ndim != 1 or not array.flags.c_contiguous:
        raise _Refused("a storage is no flat array of numbers.")
    if len(size) != len(stride) or min((offset, *size, *stride)) < 0:
        raise _Refused(f"a tensor has an impossible size {size}, stride {stride}, offset {offset}.")
    last = offset + sum((n - 1) * step for n, step in zip(size, stride, strict=True))
    # as_strided checks nothing: without this line a crafted file would read foreign memory.
    if math.prod(size) and last >= len(array):
        raise _Refused(f"a tensor of size {size} reaches past its storage of {len(array)} numbers.")
    steps = tuple(step * array.itemsize for step in stride)
    return np.lib.stride_tricks.as_strided(array[offset:], tuple(size), steps, writeable=False)


class _Namespace(argparse.Namespace):
    """What a file may fill; never Python's own class, whose attributes a file could set."""


class Inert:
    """Stands for an object of a package that is not used here: keeps its state, does nothing."""

    # No __dict__: a file could put a __setstate__ of its choice there.
    __slots__ = ("state",)
    state: Any

    def __new__(cls, *_: Any) -> "Inert":
        made = super().__new__(cls)
        made.state = None
        return made

    def __setstate__(self, state: Any) -> None:
        self.state = state


def _plain_dict(*_: Any) -> dict[Any, Any]:
    """For collections.defaultdict, whose factory would be a function of the file's choice."""
    return {}


def _parameter(data: Any, *_: Any) -> Any:
    return data


def _size(*values: Any) -> tuple[Any, ...]:
    return tuple(*values)


ADMITTED: dict[tuple[str, str], Any] = {
    ("torch._utils", "_rebuild_tensor_v2"): _tensor,
    ("torch._utils", "_rebuild_tensor"): _tensor,
    ("torch._utils", "_rebuild_parameter"): _parameter,
    ("torch", "Size"): _size,
    ("collections", "OrderedDict"): collections.OrderedDict,
    ("argparse", "Namespace"): _Namespace,
    ("collections", "defaultdict"): _plain_dict,
    # Names of types inside omegaconf's objects; a string cannot be called.
    **{("typing", name): f"typing.{name}" for name in ("Any", "Dict", "List")},
    **{
        (f"omegaconf.{module}", name): Inert
        for module, names in OMEGACONF.items()
        for name in names
    },
    **{
        (module, kind.__name__): kind
        for module in ("builtins", "__builtin__")
        for kind in (dict, list, tuple, set, frozenset, int, float, bool, complex, str)
    },
    **{("torch", name): dtype for name, dtype in STORAGES.items()},
    ("torch.storage", "UntypedStorage"): np.uint8,
}


class _Unpickler(pickle.Unpickler):
    def __init__(self, file: Any, load: Callable[[Any, str, int], _Storage]):
        super().__init__(file, encoding="utf-8")
        self._load = load
        self._storages: dict[str, _Storage] = {}

    def find_class(self, module: str, name: str) -> Any:
        try:
            return ADMITTED[module, name]
        except KeyError:
            raise _Refused(
                f"it names {module}.{name}, which is not read here: only tensors, containers, "
                "numbers, strings, argparse.Namespace and omegaconf's settings are; save the "
                "weights as safetensors."
            ) from None

    def persistent_load(self, pid: Any) -> _Storage:
        kind, dtype, key, _, count, *_ = pid
        if kind != "storage" or dtype not in STORAGES.values():
            raise _Refused(f"it refers to a {kind!r}, which is no tensor storage.")
        if key not in self._storages:
            self._storages[key] = self._load(dtype, key, count)
        return self._storages[key]


def _read_zip(path: Path) -> Any:
    with zipfile.ZipFile(path) as archive:
        pickles = [name for name in archive.namelist() if name.rpartition("/")[2] == "data.pkl"]
        if len(pickles) != 1:
            raise _Refused(f"it holds {len(pickles)} entries data.pkl; torch.save writes one.")
        root = pickles[0].removesuffix("data.pkl")
        order = "<"
        if f"{root}byteorder" in archive.namelist():
            order = ">" if archive.read(f"{root}byteorder") == b"big" else "<"

        def load(dtype: Any, key: str, count: int) -> _Storage:
            data = archive.read(f"{root}data/{key}")
            storage = _Storage(dtype, 0)
            storage.array = _numbers(data, dtype, count, order)
            return storage

        return _Unpickler(io.BytesIO(archive.read(pickles[0])), load).load()


def _read_legacy(path: Path) -> Any:
    size = path.stat().st_size
    storages: dict[str, _Storage] = {}

    def load(dtype: Any, key: str, count: int) -> _Storage:
        if not 0 <= count * np.dtype(dtype).itemsize <= size:
            raise _Refused(f"a storage of {count} numbers does not fit into its {size} bytes.")
        storages[key] = _Storage(dtype, count)
        return storages[key]

    with path.open("rb") as file:
        if _Unpickler(file, load).load() != LEGACY_MAGIC:
            raise _Refused("it is neither a zip archive nor the older form of torch.save.")
        if _Unpickler(file, load).load() != LEGACY_PROTOCOL:
            raise _Refused("it is of an unknown version of torch.save's older form.")
        order = "<" if _Unpickler(file, load).load().get("little_endian", True) else ">"
        content = _Unpickler(file, load).load()
        for key in _Unpickler(file, load).load():
            array = storages[key].array
            (count,) = struct.unpack(f"{order}q", file.read(8))
            if count != len(array):
                raise _Refused(f"storage {key} holds {count} numbers instead of {len(array)}.")
            array[:] = _numbers(file.read(array.nbytes), array.dtype, count, order)
    return content


def _numbers(data: bytes, dtype: Any, count: int, order: str) -> np.ndarray:
    dtype = np.dtype(dtype)
    if len(data) != count * dtype.itemsize:
        raise _Refused(f"a storage of {count} {dtype.name} numbers has {len(data)} bytes.")
    array = np.frombuffer(data, dtype)
    return array.byteswap() if order == ">" else array
