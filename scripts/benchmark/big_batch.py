"""Training steps of up to 65,536 pairs on one device: their memory as XLA plans it.

    python scripts/benchmark/big_batch.py                        # 1k, 4k, 16k and 65,536 pairs
    python scripts/benchmark/big_batch.py --layers 1 --sizes 1024 4096
    python scripts/benchmark/big_batch.py --sizes --run 16384    # a real step of a tiny encoder

Of a MiniLM-shaped encoder the step is lowered and compiled, nothing is allocated or run; the config
is configs/train/default.py with gradient caching and scores in blocks. Fails if the program of b
pairs holds an array of b * b entries, or if its temporaries grow by more than four times what the
embeddings do (they, their gradients, and as much again).
"""

import argparse
import json
import time
from typing import Any

import jax
import numpy as np
from ml_collections import ConfigDict

from tart_jax import config as configs
from tart_jax import distributed, sharding
from tart_jax.models import dual_encoder
from tart_jax.models.bert import BertConfig
from tart_jax.models.dual_encoder import DualEncoderConfig
from tart_jax.train import plan

CHUNK = 256  # texts encoded at a time
BLOCK = 128  # queries scored at a time
WIDTH = 384


def encoder(layers: int, width: int, dropout: float) -> DualEncoderConfig:
    """A BERT; of width 384 and 6 layers it has MiniLM's shape."""
    bert = BertConfig(
        vocab_size=30_522 if width == WIDTH else 512,
        hidden_size=width,
        num_hidden_layers=layers,
        num_attention_heads=max(1, width // 32),
        intermediate_size=4 * width,
        hidden_dropout_prob=dropout,
        attention_probs_dropout_prob=dropout,
    )
    return DualEncoderConfig(bert, normalize=True)


def settings(pairs: int, changes: list[str]) -> ConfigDict:
    ours = {
        "data.batch_size": pairs,
        "data.num_negatives": 0,
        "objective.chunk_size": CHUNK,
        "objective.score_block": BLOCK,
    }
    flags = [f"--config.{key}={value}" for key, value in ours.items()]
    return configs.load("configs/train/default.py", flags + changes)


def compiled(
    pairs: int, layers: int, changes: list[str]
) -> tuple[dict[str, Any], jax.stages.Compiled]:
    """(what the step needs, its program)"""
    from tart_jax.train import run as train  # orbax counts the devices as it is imported

    config = settings(pairs, changes)
    data, mesh = config.data, distributed.make_mesh({"data": 1}, jax.devices()[:1])
    model = encoder(layers, WIDTH, config.model.dropout)
    params = dual_encoder.abstract_params(model)
    state, step = train.build(config, dual_encoder.graphdef(model), params, mesh)
    batch = plan.text_batch(
        data.batch_size,
        1 + data.num_negatives,
        query_length=data.query_length,
        document_length=data.document_length,
        known_positives=data.known_positives,
        mesh=mesh,
    )
    start = time.perf_counter()
    program = plan.compile_step(step, state, batch, prng=config.prng, mesh=mesh)
    memory = plan.memory(program)
    report = {
        "pairs": pairs,
        "documents": pairs * (1 + data.num_negatives),
        "chunk_size": config.objective.chunk_size,
        "score_block": config.objective.score_block,
        "lower_and_compile_seconds": round(time.perf_counter() - start, 1),
        "megabytes": {name: value / 1e6 for name, value in memory.items()},
        "megabytes_of_embeddings": 4 * pairs * (2 + data.num_negatives) * WIDTH / 1e6,
        "megabytes_of_all_scores": 4 * pairs**2 * (1 + data.num_negatives) / 1e6,
    }
    return report, program


def grow(sizes: list[int], layers: int, changes: list[str]) -> None:
    """Prints a report for each size, the smaller first. SystemExit: a batch needs too much."""
    last, before = compiled(sizes[0] // 2, layers, changes)
    for pairs in sizes:
        report, program = compiled(pairs, layers, changes)
        if square := plan.grown(program, before, pairs**2):
            raise SystemExit(f"the step of {pairs} pairs holds arrays of b * b entries: {square}")
        more = report["megabytes"]["temporaries"] - last["megabytes"]["temporaries"]
        more /= report["megabytes_of_embeddings"] - last["megabytes_of_embeddings"]
        report["temporaries_grew_by_so_many_embeddings"] = more
        if more > 4:
            raise SystemExit(f"temporaries grow faster than the batch: {report}, after {last}")
        print(json.dumps(report), flush=True)
        last, before = report, program


def step_of(pairs: int, *, chunk: int, block: int) -> tuple[float, np.ndarray, float]:
    """(loss, gradients in one row, seconds) of a real step, without dropout."""
    from tart_jax.train import objectives

    draw = np.random.default_rng(0)
    model, length = encoder(2, 16, 0.0), 8
    mesh = distributed.make_mesh({"data": 1}, jax.devices()[:1])
    hashes = draw.integers(0, 2**32, (pairs, 1, 2), dtype=np.uint32)
    hashes[1::64] = hashes[::64]  # some documents are known positives of another query
    tokens = draw.integers(1, 512, (2, pairs, length)).astype(np.int32)
    batch = {
        "query_tokens": tokens[0],
        "query_mask": np.ones((pairs, length), bool),
        "document_tokens": tokens[1][:, None],
        "document_mask": np.ones((pairs, 1, length), bool),
        "document_hash": hashes,
        "positive_hash": hashes,
        "document_valid": np.ones((pairs, 1), bool),
        "document_kind": np.zeros((pairs, 1), np.int8),
    }
    objective = objectives.dual_contrastive(
        dual_encoder.graphdef(model), temperature=0.05, unfollowing_weight=1.0, mesh=mesh,
        chunk_size=chunk, score_block=block,
    )  # fmt: skip
    step = jax.jit(jax.value_and_grad(objective, has_aux=True))
    params = dual_encoder.init(model, jax.random.key(1))
    start = time.perf_counter()
    placed = sharding.to_global(batch, sharding.over_batch(mesh))
    (loss, _), grads = jax.block_until_ready(step(params, placed, None))
    seconds = time.perf_counter() - start
    return float(loss), np.concatenate([np.ravel(x) for x in jax.tree.leaves(grads)]), seconds


def compare(pairs: int) -> dict[str, Any]:
    """A real step, cached and in blocks, beside the one that holds all. SystemExit: they differ."""
    loss, grads, seconds = step_of(pairs, chunk=CHUNK, block=BLOCK)
    whole_loss, whole_grads, whole_seconds = step_of(pairs, chunk=0, block=0)
    report = {
        "pairs": pairs,
        "losses": [loss, whole_loss],
        "largest_gradient": float(np.abs(whole_grads).max()),
        "largest_difference": float(np.abs(grads - whole_grads).max()),
        "seconds_with_compilation": [round(seconds, 1), round(whole_seconds, 1)],
    }
    # float32 sums of so many terms in another order
    far = report["largest_difference"] > 1e-5 * report["largest_gradient"]
    if far or abs(loss - whole_loss) > 1e-5 * whole_loss:
        raise SystemExit(f"the cached step is not the whole one: {report}")
    return report


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--sizes", type=int, nargs="*", default=[1024, 4096, 16_384, 65_536])
    parser.add_argument("--layers", type=int, default=6)
    parser.add_argument("--run", type=int, default=0, help="pairs of one real step; 0: none")
    options, changes = parser.parse_known_args()
    if options.sizes:
        grow(sorted(options.sizes), options.layers, changes)
    if options.run:
        print(json.dumps(compare(options.run)))


if __name__ == "__main__":
    main()
