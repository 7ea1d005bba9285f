"""Timing in alternation: one of ours, one of the peer's, and the ratio pair by pair."""

import json
import os
import platform
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from importlib.metadata import version
from typing import Any

import numpy as np

PACKAGES = ("jax", "flax", "torch", "transformers", "sentence-transformers", "numpy")


def alternate(ours: Callable[[], Any], peer: Callable[[], Any], pairs: int) -> dict[str, Any]:
    """Seconds of each run and the ratio peer/ours.

    The order within a pair alternates, as machines drift.
    """
    ours(), peer()  # warm-up: compilation, allocation, caches
    times: dict[str, list[float]] = {"ours": [], "peer": []}
    for pair in range(pairs):
        for name, run in [("ours", ours), ("peer", peer)][:: 1 if pair % 2 else -1]:
            start = time.perf_counter()
            run()
            times[name].append(time.perf_counter() - start)
    ratios = np.asarray(times["peer"]) / np.asarray(times["ours"])
    draws = np.random.default_rng(0).choice(ratios, (10_000, pairs))
    low, high = np.percentile(np.median(draws, axis=1), [2.5, 97.5])
    return {
        "pairs": pairs,
        "seconds_ours": round(float(np.median(times["ours"])), 4),
        "seconds_peer": round(float(np.median(times["peer"])), 4),
        "ratio": round(float(np.median(ratios)), 3),
        "interval": [round(float(low), 3), round(float(high), 3)],
    }


def peak_megabytes() -> int:
    """This program's own peak; ru_maxrss would start at that of the process that forked it."""
    with open("/proc/self/status", encoding="utf-8") as file:
        return next(int(line.split()[1]) // 1024 for line in file if line.startswith("VmHWM"))


def peak_of(arguments: list[str]) -> int:
    """Peak memory in MB of this program run with other arguments, by itself."""
    done = subprocess.run([sys.executable, *arguments], capture_output=True, text=True, check=True)
    return json.loads(done.stdout.splitlines()[-1])["peak_megabytes"]


def machine(packages: Sequence[str] = PACKAGES) -> dict[str, Any]:
    """Processor, cores, and the versions of Python and of these packages."""
    model = ""
    if os.path.exists("/proc/cpuinfo"):
        with open("/proc/cpuinfo", encoding="utf-8") as file:
            model = next(
                (line.split(":")[1].strip() for line in file if line.startswith("model name")), ""
            )
    return {
        "processor": model or platform.processor(),
        "cores": os.cpu_count(),
        "python": platform.python_version(),
        "versions": {name: version(name) for name in packages},
    }
