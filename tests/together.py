"""A command run by several processes on this machine, joined by jax.distributed over gloo."""

import os
import socket
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[1]
ENTRY = "import sys\nfrom tart_jax.cli import main\n{patch}\nsys.exit(main(sys.argv[1:]))"
HEARTBEAT = 10  # seconds


class Ended(NamedTuple):
    """A process that has ended. at: seconds of time.monotonic."""

    status: int
    said: str
    at: float

    @property
    def last(self) -> str:
        """The last line on stderr."""
        return self.said.rstrip("\n").rpartition("\n")[2]


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return found.getsockname()[1]


def together(
    words: Sequence[object],
    *,
    processes: int,
    devices: int = 1,
    cache: Path,
    started: int | None = None,
    patches: Mapping[int, str] | None = None,
    more: Mapping[int, Sequence[str]] | None = None,
) -> list[Ended]:
    """Runs `tart-jax WORDS` in so many processes with so many devices each, until all have ended.

    cache: where compilations are kept. started: how many really start; None: all. patches: Python
    that a process runs before the command. more: further words of a process.
    """
    address = f"127.0.0.1:{free_port()}"

    def one(index: int) -> Ended:
        environ = {
            "JAX_PLATFORMS": "cpu",
            "JAX_NUM_CPU_DEVICES": str(devices),
            "JAX_COMPILATION_CACHE_DIR": str(cache),
            "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0.2",
            "TART_JAX_HEARTBEAT_SECONDS": str(HEARTBEAT),
        }
        if processes > 1:
            environ |= {
                "JAX_COORDINATOR_ADDRESS": address,
                "JAX_NUM_PROCESSES": str(processes),
                "JAX_PROCESS_ID": str(index),
            }
        code = ENTRY.format(patch=(patches or {}).get(index, ""))
        command = [sys.executable, "-c", code, *map(str, words), *(more or {}).get(index, ())]
        done = subprocess.run(
            command, capture_output=True, text=True, cwd=ROOT, env=os.environ | environ
        )
        return Ended(done.returncode, done.stderr, time.monotonic())

    with ThreadPoolExecutor(processes) as pool:
        return list(pool.map(one, range(started or processes)))
