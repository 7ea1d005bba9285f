"""Peak memory and time of `tart-jax audit`, by number of records: memory should not grow with them.

Made-up examples of seven texts of 60 words; each size runs in a process of its own, whose peak
resident memory is printed. Most documents occur once, a tenth of them in other examples, too.

    python scripts/benchmark/audit_memory.py                       # 100,000 and 1,000,000 records
    python scripts/benchmark/audit_memory.py --sizes 2000 20000 --memory-mb 8
"""

import argparse
import json
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from measure import peak_megabytes

WORDS = 60
KINDS = {"positives": 1, "negatives": 3, "hard_negatives": 2}


def write_examples(path: Path, size: int) -> None:
    """Writes `size` records one by one; the texts are runs of one long list of random words."""
    draw = random.Random(0)
    letters = "abcdefghijklmnopqrstuvwxyz"
    words = ["".join(draw.choices(letters, k=draw.randint(2, 9))) for _ in range(1 << 16)]

    def text(number: int) -> str:
        start = number * 7919 % (len(words) - WORDS)
        return f"{' '.join(words[start : start + WORDS])} {number}"

    with path.open("w", encoding="utf-8") as file:
        for number in range(size):
            record: dict = {"task": f"task{number % 8}", "query_id": f"q{number}"}
            record["query"] = f"{text(number)[:60]} {number}"
            for kind, count in KINDS.items():
                places = [
                    draw.randrange(size) * 6
                    if draw.random() < 0.1
                    else number * 6 + draw.randrange(6)
                    for _ in range(count)
                ]
                record[kind] = [{"doc_id": f"d{place}", "text": text(place)} for place in places]
            file.write(json.dumps(record) + "\n")


def audit(path: str, memory_mb: int) -> None:
    """Audits a file in this process; prints its peak memory in MB and its seconds."""
    from tart_jax.data.audit.run import Settings
    from tart_jax.data.audit.run import audit as run

    start = time.perf_counter()
    result = run(path, Settings(memory_mb=memory_mb)).result
    figures = {
        "records": result["total"]["records"],
        "texts": result["total"]["queries"] + sum(result["total"][kind] for kind in KINDS),
        "spilled": result["spilled"],
        "seconds": round(time.perf_counter() - start, 1),
        "peak_megabytes": peak_megabytes(),
    }
    print(json.dumps(figures))


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--sizes", type=int, nargs="+", default=[100_000, 1_000_000])
    parser.add_argument("--memory-mb", type=int, default=512)
    parser.add_argument("--audit", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.audit:
        audit(options.audit, options.memory_mb)
        return
    for size in options.sizes:
        with tempfile.TemporaryDirectory() as name:
            path = Path(name) / "train.jsonl"
            write_examples(path, size)
            command = [sys.executable, __file__, "--audit", str(path),
                       "--memory-mb", str(options.memory_mb)]  # fmt: skip
            done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
            print(done.stdout.splitlines()[-1], flush=True)


if __name__ == "__main__":
    main()
