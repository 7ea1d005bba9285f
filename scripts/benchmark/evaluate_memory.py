"""Peak memory and time of scoring a run of 10,000 queries with 1,000 hits each, in blocks, whole.

Beside it pytrec_eval given the same run whole, as it is usually called. Each in a process of its
own; the scores must be equal.

    python scripts/benchmark/evaluate_memory.py
    python scripts/benchmark/evaluate_memory.py --queries 500 --hits 100
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from measure import peak_megabytes

from tart_jax import io
from tart_jax.evaluate.measures import evaluate, evaluate_blocks

MEASURES = ("nDCG@10", "MAP", "Recall@100")


def write(folder: Path, queries: int, hits: int) -> None:
    rng = np.random.default_rng(0)
    judged: dict[str, dict[str, int]] = {}
    with (folder / "run.trec").open("w", encoding="utf-8") as file:
        for query in range(queries):
            found = rng.choice(1_000_000, hits, replace=False)
            for rank, (doc, score) in enumerate(
                zip(found, np.sort(rng.random(hits))[::-1], strict=True), start=1
            ):
                file.write(f"q{query} Q0 d{doc} {rank} {score:.6f} made\n")
            judged[f"q{query}"] = {f"d{doc}": 1 for doc in rng.choice(found, 5)}
            judged[f"q{query}"] |= {f"d{doc}": 1 for doc in rng.integers(1_000_000, size=5)}
    io.write_qrels(folder / "qrels.tsv", judged)


def score(folder: Path, how: str) -> None:
    """Prints mean scores, peak memory in MB and seconds."""
    start = time.perf_counter()
    qrels, run = io.read_qrels(folder / "qrels.tsv"), folder / "run.trec"
    if how == "blocks":
        means = evaluate_blocks(io.run_blocks(run), qrels, MEASURES).mean
    elif how == "whole":
        means = evaluate(io.read_run(run), qrels, MEASURES).mean
    else:
        import pytrec_eval

        with run.open(encoding="utf-8") as file:
            parsed = pytrec_eval.parse_run(file)
        names = {"ndcg_cut_10": "nDCG@10", "map": "MAP", "recall_100": "Recall@100"}
        rows = pytrec_eval.RelevanceEvaluator(qrels, set(names)).evaluate(parsed)
        means = {
            names[name]: float(np.mean([row[name] for row in rows.values()])) for name in names
        }
    figures = {"means": means, "peak_megabytes": peak_megabytes()}
    print(json.dumps(figures | {"seconds": round(time.perf_counter() - start, 1)}))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--queries", type=int, default=10_000)
    parser.add_argument("--hits", type=int, default=1_000)
    parser.add_argument("--score", nargs=2, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.score:
        score(Path(arguments.score[0]), arguments.score[1])
        return
    with tempfile.TemporaryDirectory() as name:
        write(Path(name), arguments.queries, arguments.hits)
        found = {}
        for how in ("blocks", "whole", "pytrec_eval"):
            command = [sys.executable, __file__, "--score", name, how]
            done = subprocess.run(command, capture_output=True, text=True, check=True)
            found[how] = json.loads(done.stdout.splitlines()[-1])
            print(f"{how:12} {found[how]}", flush=True)
    for how in ("whole", "pytrec_eval"):
        for measure in MEASURES:
            difference = abs(found[how]["means"][measure] - found["blocks"]["means"][measure])
            if difference > 1e-12:  # sums in another order
                raise SystemExit(f"{how} gives another {measure}: {difference}")


if __name__ == "__main__":
    main()
