"""Training, encoding, indexing and mining, killed at random moments, end as if they never were.

Ten kills; `pytest -m slow tests/test_kills.py --kills=50` for as many as one likes.
"""

import hashlib
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import safetensors.numpy

from tart_jax import io
from tart_jax.data import examples
from tests.train.conftest import WORDS, training_examples, write_model

ROOT = Path(__file__).parents[1]
STAGES = ("train", "encode", "index", "mine")
# What must be the same, byte for byte.
OUTPUTS = {
    "train": ("model/model.safetensors", "model/tart_jax.json"),
    "encode": ("embeddings-*.npy", "embeddings-*.utf8"),
    "index": ("index.faiss", "*.utf8"),
    "mine": ("mined.jsonl",),
}


@pytest.fixture(scope="module")
def world(tmp_path_factory) -> Path:
    """A model, examples with instructions, and a corpus of what they might be answered by."""
    folder = tmp_path_factory.mktemp("kills")
    write_model(folder / "model")
    examples.write(folder / "train.jsonl", training_examples(128))
    (folder / "table.tsv").write_text(
        "task\tintent\tdomain\tunit\tinstruction_1\npairs\tanswer\twords\tline\tfind w1\n"
    )
    (folder / "corpus").mkdir()
    texts = (f"w{20 + i % 20} w{20 + i // 20 % 20} w{i % 7}" for i in range(4000))
    io.write_jsonl(
        folder / "corpus" / "corpus.jsonl",
        ({"_id": f"c{i}", "title": "", "text": text} for i, text in enumerate(texts)),
    )
    assert len(WORDS) == 40
    return folder


def words(stage: str, world: Path, out: Path) -> list[str]:
    """The command; each stage reads what the one before left in `out`."""
    options = {
        "train": {
            "config": "configs/train/default.py", "model.source": world / "model",
            "data.train": world / "train.jsonl", "data.instructions": world / "table.tsv",
            "steps": 60, "data.batch_size": 8, "data.num_negatives": 1, "data.query_length": 8,
            "data.document_length": 8, "optimizer.warmup_steps": 1, "optimizer.peak_lr": 1e-3,
            "checkpoint.save_every": 7, "log.every": 5, "log.tensorboard": False,
        },
        "encode": {
            "model": world / "model", "corpus": world / "corpus", "shard_size": 250,
        },
        "index": {"embeddings": out / "encode", "factory": "IVF8,Flat"},
        "mine": {
            "examples": world / "train.jsonl", "instructions": world / "table.tsv",
            "index": out / "index", "corpus": world / "corpus", "retriever.model": world / "model",
            "block_size": 4, "hard.count": 3, "hard.sampling": "random",
        },
    }[stage]  # fmt: skip
    config = [f"--config={options.pop('config')}"] if "config" in options else []
    keys = [f"--config.{key}={value}" for key, value in options.items()]
    return [sys.executable, "-m", "tart_jax", stage, *config, f"--workdir={out / stage}", *keys]


def start(stage: str, world: Path, out: Path, log: Path) -> subprocess.Popen:
    environ = os.environ | {"JAX_PLATFORMS": "cpu", "XDG_CACHE_HOME": str(world / "cache")}
    with log.open("ab") as file:
        return subprocess.Popen(
            words(stage, world, out), cwd=ROOT, env=environ, stdout=file, stderr=file
        )


def finished(stage: str, world: Path, out: Path) -> float:
    """Seconds that the stage took to its end."""
    begun, log = time.perf_counter(), out / f"{stage}.log"
    assert start(stage, world, out, log).wait() == 0, log.read_text()
    return time.perf_counter() - begun


def results(stage: str, out: Path) -> dict[str, str]:
    paths = sorted(p for pattern in OUTPUTS[stage] for p in (out / stage).glob(pattern))
    assert paths
    return {
        str(path.relative_to(out)): hashlib.sha256(path.read_bytes()).hexdigest() for path in paths
    }


def unreadable(folder: Path) -> list[str]:
    """Files under their final names that are not whole; Orbax's own folders are left to it."""
    found = []
    readers = {".json": lambda p: json.loads(p.read_text()), ".npy": np.load}
    readers[".safetensors"] = safetensors.numpy.load_file
    for path in folder.rglob("*"):
        hidden = any(part.startswith(".") or part == "checkpoints" for part in path.parts)
        if hidden or path.suffix not in readers or not path.is_file():
            continue
        try:
            readers[path.suffix](path)
        except Exception as error:
            found.append(f"{path}: {error}")
    return found


@pytest.mark.slow
@pytest.mark.timeout(6 * 3600)
def test_stages_killed_at_random_moments_end_as_if_they_never_were(world, tmp_path, request):
    kills, draw = request.config.getoption("--kills"), random.Random()
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    whole.mkdir(), killed.mkdir()
    for number, stage in enumerate(STAGES):
        seconds = finished(stage, world, whole)
        share = kills // len(STAGES) + (number < kills % len(STAGES))
        done, log = 0, killed / f"{stage}.log"
        while done < share:
            process = start(stage, world, killed, log)
            try:
                process.wait(draw.uniform(0.2, 1.0) * seconds)
                assert process.returncode == 0, log.read_text()
                shutil.rmtree(killed / stage)  # it was done before: once more, from the start
            except subprocess.TimeoutExpired:
                process.send_signal(signal.SIGKILL)
                process.wait()
                done += 1
                assert unreadable(killed) == []
        finished(stage, world, killed)
        assert results(stage, killed) == results(stage, whole)
