"""A TREC run written block by block: what is finished stays after a kill, and is continued.

While it grows, `partial.trec` holds whole blocks and `partial.json` says how many bytes and queries
of it count, and what they were made from; the end is `run.trec` and `run.json`.
"""

import os
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tart_jax import io
from tart_jax.types import InputError

RUN, DESCRIPTION = "run.trec", "run.json"
GROWING, STATE = "partial.trec", "partial.json"


class PartialRun:
    """Started again over the same folder it continues where `queries` says.

    `identity` holds what the run depends on (weights hash, corpus, options, ...), in plain JSON
    values. InputError: the folder holds an unfinished run of another identity, without `overwrite`.
    """

    def __init__(self, directory: Path, identity: dict[str, Any], *, overwrite: bool = False):
        self.directory = directory
        self._identity = identity
        self._state: dict[str, Any] = {"bytes": 0, "queries": 0, "pairs": 0, "seconds": 0.0}
        state = directory / STATE
        if state.is_file():
            stored = io.read_json(state)
            other = _difference(stored["identity"], identity)
            if other and not overwrite:
                raise InputError(
                    f"{directory} holds an unfinished run of another {other} than is given now"
                    f" ({stored['identity'].get(other)!r}, now {identity.get(other)!r}); give the"
                    " same again, choose another --workdir, or say --config.overwrite=True."
                )
            if not other:
                self._state = {name: stored[name] for name in self._state}
        self.complete = not state.is_file() and self._is_finished()
        if self.complete:
            (directory / GROWING).unlink(missing_ok=True)  # of a kill at the very end
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

    def append(self, lines: Sequence[str], *, queries: int, seconds: float) -> None:
        """One finished block; after this returns, no kill loses it."""
        with (self.directory / GROWING).open("ab") as file:
            file.write("".join(lines).encode("utf-8"))
            file.flush()
            os.fsync(file.fileno())
            end = file.tell()
        added = {"bytes": end - self._state["bytes"], "queries": queries}
        added |= {"pairs": len(lines), "seconds": seconds}
        self._state = {name: value + added[name] for name, value in self._state.items()}
        self._save()

    def finish(self, description: dict[str, Any]) -> None:
        """Moves the whole to `run.trec`, and identity and description to `run.json`."""
        with io.writing(self.directory / RUN) as aside:
            shutil.copyfile(self.directory / GROWING, aside)
        record = {**self._identity, **description, **self._state}
        io.write_json(self.directory / DESCRIPTION, record)
        # The state goes first: without it the rest is nobody's.
        for name in (STATE, GROWING):
            (self.directory / name).unlink()
        self.complete = True

    def _cut(self) -> None:
        """Drops what a killed process wrote after its last finished block."""
        path = self.directory / GROWING
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
        run, description = self.directory / RUN, self.directory / DESCRIPTION
        if not (run.is_file() and description.is_file()):
            return False
        stored = io.read_json(description)
        same = all(stored.get(name) == value for name, value in self._identity.items())
        return same and stored.get("bytes") == run.stat().st_size


def _difference(stored: dict[str, Any], now: dict[str, Any]) -> str:
    """The first key whose values differ; "" for none."""
    keys = [*now, *(key for key in stored if key not in now)]
    return next((key for key in keys if stored.get(key) != now.get(key)), "")
