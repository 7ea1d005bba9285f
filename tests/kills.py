"""A command killed by force while its `partial.json` grows, and started again, until it is done."""

import json
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path


def queries_done(folder: Path) -> int | None:
    """What `partial.json` says; None where there is none, or where it has just gone."""
    try:
        return json.loads((folder / "partial.json").read_text())["queries"]
    except FileNotFoundError:
        return None


def kill_and_resume(
    start: Callable[[], subprocess.Popen], folder: Path, done: str, *, kills: int, after: int
) -> int:
    """Starts it until `folder/done` is there; how often it was killed, `after` queries in.

    kills: at most so many.
    """
    killed = 0
    while not (folder / done).exists():
        process, begun = start(), None
        while process.poll() is None:
            now = queries_done(folder)
            begun = now if begun is None else begun
            if killed < kills and now is not None and begun is not None and now >= begun + after:
                process.send_signal(signal.SIGKILL)
                killed += 1
                break
            time.sleep(0.002)
        process.wait()
    return killed
