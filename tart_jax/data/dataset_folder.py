"""A folder that a builder makes whole or not at all, with dataset.json saying of what."""

import contextlib
import hashlib
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tart_jax import io
from tart_jax.types import InputError

RECORDS = ("config.json", "environment.json")  # the command's own, written before it builds
STATS = "dataset.json"


def finished(directory: Path, kind: str, contents: set[str]) -> dict[str, Any]:
    """dataset.json of an earlier build, {} for a free place; InputError for anything foreign.

    kind: what dataset.json's `kind` must be; contents: the names that such a build may write.
    """
    if not directory.exists():
        return {}
    names = {path.name for path in directory.iterdir()} if directory.is_dir() else {directory.name}
    names -= set(RECORDS)
    if not names and directory.is_dir():
        return {}
    stats = io.read_json(directory / STATS) if STATS in names else {}
    ours = isinstance(stats, dict) and stats.get("kind") == kind
    foreign = sorted(names - contents - {STATS}) if ours else sorted(names)
    if foreign:
        raise InputError(
            f"{directory} holds {foreign[0]!r}, which this builder did not write; name another"
            " folder or remove it."
        )
    return stats


@contextlib.contextmanager
def building(directory: Path) -> Iterator[tuple[Path, dict[str, Any]]]:
    """(a folder to fill, a dictionary for dataset.json); put in the place of `directory` at the
    end. `finished` has made sure that `directory` holds nothing but an earlier build."""
    stats: dict[str, Any] = {}
    with io.writing(directory) as aside:
        aside.mkdir(parents=True)
        yield aside, stats
        stats["fingerprint"] = fingerprint(aside)
        io.write_json(aside / STATS, stats)
        for name in RECORDS:
            if (directory / name).is_file():
                shutil.copy(directory / name, aside / name)
        if directory.exists():
            shutil.rmtree(directory)


def fingerprint(folder: Path) -> str:
    """sha256 over the names and contents of every file."""
    total = hashlib.sha256()
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        total.update(f"{path.relative_to(folder).as_posix()} {io.sha256(path)}\n".encode())
    return total.hexdigest()
