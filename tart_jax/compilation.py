"""Compiled programs: kept between runs, counted, and forbidden where all should be there already.

JAX is imported only where something is counted: setting a place for the programs needs none.
"""

import contextlib
import hashlib
import logging
import os
import platform
from collections.abc import Iterator, MutableMapping
from pathlib import Path

from tart_jax.types import EndedError

PLACE = "JAX_COMPILATION_CACHE_DIR"
EVENT = "/jax/core/compile/backend_compile_duration"  # one for each program, kept or made

log = logging.getLogger(__name__)
_counts: list[int] = []  # empty until somebody counts


def keep(environ: MutableMapping[str, str]) -> Path | None:
    """Lets JAX, which is not imported yet, keep compiled programs; where, or None for nowhere.

    JAX_COMPILATION_CACHE_DIR decides, "" turns it off. Else it is a folder of the user's cache with
    a name of this processor's own: programs for a CPU use what the CPU has, and a home directory
    may be that of many machines.
    """
    if PLACE not in environ:
        home = environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
        environ[PLACE] = str(Path(home) / "tart_jax" / f"compiled-{_processor()}")
    elif not environ[PLACE]:
        environ.pop(PLACE)
        return None
    return Path(environ[PLACE])


def count() -> int:
    """Programs that this process has compiled, or read from their place, since the first call."""
    if not _counts:
        from jax import monitoring

        _counts.append(0)
        monitoring.register_event_duration_secs_listener(_count)
    return _counts[0]


def summary() -> str | None:
    """A sentence on what was counted and where programs are kept; None: nothing was counted."""
    if not _counts:
        return None
    place = os.environ.get(PLACE)
    kept = f"those of a second or more are kept in {place}" if place else "none is kept"
    return f"{_counts[0]} programs were compiled, or read; {kept}."


@contextlib.contextmanager
def none_expected(what: str, *, strict: bool) -> Iterator[None]:
    """Warns where something in here had to be compiled. EndedError: so if strict."""
    before = count()
    yield
    if more := count() - before:
        sentence = (
            f"{what}: {more} programs were compiled although all should have been there; a shape"
            " has changed (JAX_LOG_COMPILES=1 names them)."
        )
        if strict:
            raise EndedError(sentence, 1)
        log.warning(sentence)


def _count(event: str, duration_secs: float, **kwargs: str | int) -> None:
    if event == EVENT:
        _counts[0] += 1


def _processor() -> str:
    path = Path("/proc/cpuinfo")
    lines = path.read_text("utf-8").splitlines() if path.is_file() else []
    told = [line for line in lines if line.startswith(("model name", "flags", "Features"))][:2]
    said = "\n".join([platform.machine(), platform.processor(), *told])
    return f"{platform.machine()}-{hashlib.sha256(said.encode()).hexdigest()[:8]}"
