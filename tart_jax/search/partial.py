"""A file written block by block: what is finished stays after a kill, and is continued.

While `run.trec` grows, `partial.trec` holds whole blocks and `partial.json` says how many bytes and
queries of it count, and what they were made from; the end is `run.trec` and `run.json`.
"""

import os
import shutil
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tart_jax import io
from tart_jax.types import InputError

RUN, STATE = "run.trec", "partial.json"


class PartialFile:
    """Started again over the same folder it continues where `queries` says.

    `identity` holds what the file depends on (weights hash, corpus, options, ...), in plain JSON
    values. InputError: the folder holds an unfinished one of another identity, without `overwrite`.
    """

    def __init__(
        self,
        directory: Path,
        identity: dict[str, Any],
        *,
        name: str = RUN,
        overwrite: bool = False,
    ):
        self.directory = directory
        self._whole, self._description = directory / name, (directory / name).with_suffix(".json")
        self._growing = (directory / "partial").with_suffix(Path(name).suffix)
        self._identity = identity
        self._state: dict[str, Any] = {"bytes": 0, "queries": 0, "seconds": 0.0}
        state = directory / STATE
        if state.is_file():
            stored = io.read_json(state)
            other = _difference(stored["identity"], identity)
            if other and not overwrite:
                raise InputError(
                    f"{directory} holds an unfinished {name} of another {other} than is given now"
                    f" ({stored['identity'].get(other)!r}, now {identity.get(other)!r}); give the"
                    " same again, choose another --workdir, or say --config.overwrite=True."
                )
            if not other:
                self._state = {key: value for key, value in stored.items() if key != "identity"}
        self.complete = not state.is_file() and self._is_finished()
        if self.complete:
            self._growing.unlink(missing_ok=True)  # of a kill at the very end
        else:
            directory.mkdir(parents=True, exist_ok=True)
            self._cut()

    @property
    def queries(self) -> int:
        """How many queries of the first stage are done."""
        return self._state["queries"]

    @property
    def seconds(self) -> float:
        """Spent so far, in all processes."""
        return self._state["seconds"]

    @property
    def counts(self) -> dict[str, int]:
        """What `append` was told to count, over all blocks."""
        return {k: v for k, v in self._state.items() if k not in ("bytes", "queries", "seconds")}

    def append(
        self,
        lines: Sequence[str],
        *,
        queries: int,
        seconds: float,
        counts: Mapping[str, int] | None = None,
    ) -> None:
        """One finished block; after this returns, no kill loses it."""
        with self._growing.open("ab") as file:
            file.write("".join(lines).encode("utf-8"))
            file.flush()
            os.fsync(file.fileno())
            end = file.tell()
        added = Counter[str](self._state)
        added.update(dict(counts or {}) | {"queries": queries})
        self._state = {**added, "bytes": end, "seconds": self._state["seconds"] + seconds}
        self._save()

    def finish(self, description: dict[str, Any]) -> None:
        """Moves the whole to its name, and identity and description to the JSON file beside it."""
        with io.writing(self._whole) as aside:
            shutil.copyfile(self._growing, aside)
        io.write_json(self._description, {**self._identity, **description, **self._state})
        # The state goes first: without it the rest is nobody's.
        for path in (self.directory / STATE, self._growing):
            path.unlink()
        self.complete = True

    def _cut(self) -> None:
        """Drops what a killed process wrote after its last finished block."""
        path = self._growing
        path.touch()
        if path.stat().st_size < self._state["bytes"]:
            raise InputError(
                f"{path} has {path.stat().st_size} bytes, fewer than the {self._state['bytes']} of"
                f" its finished blocks; remove it and {STATE} to begin again."
            )
        os.truncate(path, self._state["bytes"])
        self._save()

    def _save(self) -> None:
        io.write_json(self.directory / STATE, {"identity": self._identity, **self._state})

    def _is_finished(self) -> bool:
        if not (self._whole.is_file() and self._description.is_file()):
            return False
        stored = io.read_json(self._description)
        same = all(stored.get(name) == value for name, value in self._identity.items())
        return same and stored.get("bytes") == self._whole.stat().st_size


def _difference(stored: dict[str, Any], now: dict[str, Any]) -> str:
    """The first key whose values differ; "" for none."""
    keys = [*now, *(key for key in stored if key not in now)]
    return next((key for key in keys if stored.get(key) != now.get(key)), "")
