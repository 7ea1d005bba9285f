"""Two small tasks that are mined, and the options that mine them."""

import pytest

from tart_jax import config, io
from tart_jax.index import run as index_stage

WORDS = ["apple", "river", "stone", "cloud", "tiger", "music", "paper", "metal", "ocean", "candle"]


def text(task: str, number: int) -> str:
    return f"{WORDS[number % 10]} {WORDS[number // 10]} {task} number {number}"


@pytest.fixture
def folder(tmp_path):
    """Two tasks with 30 documents and 12 examples each, a BM25 index of either, instructions."""
    for task in ("news", "code"):
        documents = [{"_id": f"{task}/{n}", "title": "", "text": text(task, n)} for n in range(30)]
        io.write_jsonl(tmp_path / "corpora" / task / "corpus.jsonl", documents)
        settings = config.load(
            "configs/index/default.py",
            ["--config.factory=BM25", f"--config.corpus={tmp_path / 'corpora' / task}"],
        )
        index_stage.run(settings, tmp_path / "index" / task)
        rows = [
            {
                "task": task,
                "query_id": f"{task}/q{n}",
                "query": f"{WORDS[n % 10]} {WORDS[n // 10]}",
                "positives": [{"doc_id": f"{task}/{n}", "text": text(task, n)}],
                "negatives": [
                    {"doc_id": f"{task}/{m}", "text": text(task, m)} for m in (25, 26, 27, 28)
                ],
            }
            for n in range(12)
        ]
        io.write_jsonl(tmp_path / "train" / f"{task}.jsonl", rows)
    (tmp_path / "kinds.tsv").write_text("task\tcorpora\nnews\tcode\n")
    header = "task\tintent\tdomain\tunit\tinstruction_1\tinstruction_2\n"
    (tmp_path / "table.tsv").write_text(
        header + "".join(f"{t}\ta\tb\tc\tFind {t}.\tShow {t}.\n" for t in ("news", "code"))
    )
    return tmp_path


def settings(folder, **options):
    options = {
        "examples": folder / "train",
        "index": folder / "index" / "{task}",
        "instructions": folder / "table.tsv",
        "unfollowing.table": folder / "kinds.tsv",
        "hard.count": 4,
        "block_size": 5,
    } | options
    words = [f"--config.{key}={value}" for key, value in options.items()]
    return config.load("configs/mine/default.py", words)
