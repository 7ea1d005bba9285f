"""Exact search on JAX's devices and FAISS's IndexFlatIP in alternation over the same vectors.

    python scripts/benchmark/exact_search.py

Needs jax, jaxtyping and numpy, and FAISS for the peer: faiss-gpu on the GPUs where JAX sees some,
else the CPU; without FAISS the peer is one product and lax.top_k over whole rows. Vectors are
random, of length 1. Prints the ratio peer/ours (above 1: we are faster; median, 95% interval over
the pairs), how far the results agree, and each side's peak memory.
"""

import argparse
import json
from importlib.metadata import packages_distributions
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from measure import alternate, machine, peak_megabytes, peak_of

from tart_jax.index.exact import ExactIndex


def unit(rows: int, dims: int, seed: int) -> np.ndarray:
    vectors = np.random.default_rng(seed).standard_normal((rows, dims), np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    vectors.flags.writeable = False  # so that our index takes them as they are
    return vectors


def ours(vectors: np.ndarray, dtype: str) -> ExactIndex:
    index = ExactIndex(vectors.shape[1], dtype=dtype)
    index.add(vectors)
    return index


def on_gpu() -> bool:
    return jax.default_backend() == "gpu"


class WholeRows:
    """All scores of some queries at once, in JAX without any care."""

    def __init__(self, vectors: np.ndarray):
        self._vectors = jax.device_put(vectors)
        self._top_k = jax.jit(self._search, static_argnames="k")

    @staticmethod
    def _search(queries: Any, vectors: Any, k: int) -> Any:
        product = jnp.matmul(queries, vectors.T, precision=jax.lax.Precision.HIGHEST)
        return jax.lax.top_k(product, k)

    def search(self, queries: np.ndarray, k: int) -> tuple:
        parts = [queries[begin : begin + 128] for begin in range(0, len(queries), 128)]
        found = [self._top_k(part, self._vectors, k) for part in parts]
        return tuple(np.concatenate(side) for side in zip(*found, strict=True))


def peer(vectors: np.ndarray) -> Any:
    try:
        import faiss
    except ImportError:
        return WholeRows(vectors)
    index = faiss.IndexFlatIP(vectors.shape[1])
    index.add(vectors)
    if on_gpu() and hasattr(faiss, "StandardGpuResources"):
        return faiss.index_cpu_to_all_gpus(index)
    return index


def agreement(ours: tuple, peer: tuple) -> dict[str, float]:
    """Scores' largest difference; the share of equal ids, of all and of those not nearly tied."""
    gap = np.abs(np.diff(peer[0], axis=1, prepend=np.inf, append=-np.inf)) > 1e-5
    clear = gap[:, :-1] & gap[:, 1:]
    clear[:, -1] = False  # its other neighbour is not in the list
    same = ours[1] == peer[1]
    return {
        "largest_difference": float(np.abs(ours[0] - peer[0]).max()),
        "same_ids": float(same.mean()),
        "same_ids_not_tied": float(same[clear].mean()),
    }


def setting() -> dict[str, Any]:
    names = ["jax", "jaxlib", "numpy", *packages_distributions().get("faiss", [])]
    devices = jax.devices()
    memory = devices[0].memory_stats() or {}
    return machine(names) | {
        "devices": f"{len(devices)} x {devices[0].device_kind}",
        "device_peak_megabytes": memory.get("peak_bytes_in_use", 0) // 2**20,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--documents", type=int, default=1_000_000)
    parser.add_argument("--dims", type=int, default=384)
    parser.add_argument("--queries", type=int, default=1_000)
    parser.add_argument("--k", type=int, default=100)
    parser.add_argument("--dtype", default="float32", help="ours: float32, bfloat16 or int8")
    parser.add_argument("--pairs", type=int, default=5)
    parser.add_argument("--only", choices=["ours", "peer"], help="search once, print peak memory")
    options = parser.parse_args()
    vectors = unit(options.documents, options.dims, 0)
    queries = unit(options.queries, options.dims, 1)
    if options.only:
        index = ours(vectors, options.dtype) if options.only == "ours" else peer(vectors)
        del vectors
        index.search(queries, options.k)
        print(json.dumps({"peak_megabytes": peak_megabytes()}))
        return
    own, other = ours(vectors, options.dtype), peer(vectors)
    report = {name: value for name, value in vars(options).items() if name not in ("only", "pairs")}

    def search() -> tuple:
        return own.search(queries, options.k)

    def search_peer() -> tuple:
        return other.search(queries, options.k)

    report["peer"] = type(other).__name__
    report["agreement"] = agreement(search(), search_peer())
    report["seconds"] = alternate(search, search_peer, options.pairs)
    own = other = None  # their memory is wanted by the programs below
    again = [__file__]
    for name in ("documents", "dims", "queries", "k", "dtype"):
        again += [f"--{name}", str(getattr(options, name))]
    report["peak_megabytes"] = {
        side: peak_of([*again, "--only", side]) for side in ("ours", "peer")
    }
    print(json.dumps(report | {"machine": setting()}, indent=2))


if __name__ == "__main__":
    main()
