"""The miner's encoder on several devices."""

import jax
import numpy as np
import pytest

from tart_jax import config, distributed, io
from tart_jax.encode import run as encode_stage
from tart_jax.encode.encoder import Encoder
from tart_jax.index import run as index_stage
from tart_jax.mine.run import run
from tests.mine.conftest import settings


@pytest.fixture
def embedded(folder, tiny_model):
    """The same with indexes of embeddings; the options that mine them."""
    for task in ("news", "code"):
        words = [f"--config.model={tiny_model}", f"--config.corpus={folder / 'corpora' / task}"]
        encode_stage.run(config.load("configs/encode/default.py", words), folder / "e" / task)
        words = [f"--config.embeddings={folder / 'e' / task}"]
        index_stage.run(config.load("configs/index/default.py", words), folder / "v" / task)
    return {"index": folder / "v" / "{task}", "retriever.model": tiny_model}


def on(devices, monkeypatch):
    make = distributed.make_mesh
    monkeypatch.setattr(
        distributed, "make_mesh", lambda sizes, _: make(sizes, jax.devices()[:devices])
    )


def compared(folder, one, other):
    """Whether two files hold the same hard negatives with the same scores, within 1e-5.

    Embeddings are of length 1, and eight devices add the same numbers in another order. Documents
    that score the same within that gap may change places, also with the first that is left out.
    """
    files = [[r for _, r in io.read_jsonl(folder / n / "mined.jsonl")] for n in (one, other)]
    for records in zip(*files, strict=True):
        first, second = (
            {d["doc_id"]: d["retrieved"] for d in r["hard_negatives"]} for r in records
        )
        if not np.allclose(sorted(first.values()), sorted(second.values()), rtol=0, atol=1e-5):
            return False
        last = min(first.values())
        for scores, others in ((first, second), (second, first)):
            if any(abs(others.get(d, last) - score) > 1e-5 for d, score in scores.items()):
                return False
    return True


def test_one_and_eight_devices_mine_the_same(folder, embedded, monkeypatch):
    for devices in (1, 8):
        with monkeypatch.context() as patched:
            on(devices, patched)
            run(settings(folder, **embedded), folder / str(devices))
    assert compared(folder, "1", "8")
    embed = Encoder._run  # the broken twin: rows that come back from the devices in another order
    with monkeypatch.context() as patched:
        on(8, patched)
        patched.setattr(Encoder, "_run", lambda *args: embed(*args)[::-1])
        run(settings(folder, **embedded), folder / "mixed")
    assert not compared(folder, "1", "mixed")


def test_a_killed_miner_goes_on_with_other_devices(folder, embedded, monkeypatch):
    run(settings(folder, **embedded), folder / "out")
    again = settings(folder, **embedded, **{"retriever.mesh.data": 8})
    run(again, folder / "out")  # another identity would be refused
