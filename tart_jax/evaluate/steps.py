"""Stages that are run once for the same options and the same contents of what they read."""

import functools
import hashlib
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from ml_collections import ConfigDict

from tart_jax import config as configs
from tart_jax import io

Stage = Callable[[ConfigDict, Path], Any]


class Step(NamedTuple):
    """A stage in a folder; `inputs`: digests of what it is made of, whatever the paths say."""

    stage: str
    run: Stage
    folder: Path
    output: str
    options: Mapping[str, Any]
    inputs: tuple[str, ...]

    def done(self) -> str:
        """Runs it unless it is done; a digest of what it was made of."""
        words = {key: str(value) for key, value in self.options.items()}
        record = {"stage": self.stage, "options": words, "inputs": self.inputs}
        digest = hashlib.sha256(json.dumps(record, sort_keys=True).encode()).hexdigest()
        stamp = self.folder / "step.json"
        before = io.read_json(stamp) if stamp.is_file() else {}
        if before.get("digest") != digest or not (self.folder / self.output).exists():
            file = f"configs/{self.stage}/default.py"
            configs.run_stage(self.stage, self.run, file, self.folder, self.options)
            io.write_json(stamp, record | {"digest": digest})
        return digest


@functools.cache
def _digest(path: Path, size: int, changed: int) -> str:
    return io.sha256(path)


def content(source: str | Path) -> str:
    """sha256 of a file, or of the files of a folder; what is neither, as a hub id, as it is."""
    path = Path(source)
    if path.is_dir():
        return hashlib.sha256("".join(map(content, sorted(path.rglob("*")))).encode()).hexdigest()
    if not path.is_file():
        return str(source)
    about = path.stat()
    return _digest(path, about.st_size, about.st_mtime_ns)  # read once while it stays the same
