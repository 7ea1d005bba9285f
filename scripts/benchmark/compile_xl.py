"""TART-full's step at FLAN-T5-XL's shape: compiled for 8 simulated devices, not run.

    python scripts/benchmark/compile_xl.py
    python scripts/benchmark/compile_xl.py --apart   # layers one by one, for the compile time

Everything is as configs/train/tart_full.py says (mesh, rules, batch, accumulation, remat, scan); no
weight is allocated. Prints seconds, XLA's memory of one device, and what is not divided.
"""

import argparse
import json
import time
from typing import Any

import jax

from tart_jax import config as configs
from tart_jax import distributed
from tart_jax.models import cross_encoder
from tart_jax.models.cross_encoder import CrossEncoderConfig
from tart_jax.models.t5_config import T5Config
from tart_jax.train import plan


def shape(layers: int) -> T5Config:
    """google/flan-t5-xl's encoder, with so many of its 24 layers."""
    return T5Config(
        vocab_size=32_128,
        d_model=2048,
        d_kv=64,
        d_ff=5120,
        num_layers=layers,
        num_heads=32,
        feed_forward_proj="gated-gelu",
        tie_word_embeddings=False,
    )


def report(layers: int, apart: bool, changes: list[str]) -> dict[str, Any]:
    from tart_jax.train import run as train  # orbax counts the devices as it is imported

    settings = configs.load("configs/train/tart_full.py", changes)
    settings.model.scan = not apart
    mesh = distributed.make_mesh(settings.mesh.to_dict())
    want, data = settings.model, settings.data
    config = CrossEncoderConfig(
        shape(layers), dropout=want.dropout, dtype=want.dtype, remat=want.remat, scan=want.scan
    )
    graphdef, params = cross_encoder.graphdef(config), cross_encoder.abstract_params(config)
    state, step = train.build(settings, graphdef, params, mesh)
    start = time.perf_counter()
    batch = plan.pair_batch(data.batch_size, 1 + data.num_negatives, data.pair_length, mesh)
    compiled = plan.compile_step(step, state, batch, prng=settings.prng, mesh=mesh)
    seconds = time.perf_counter() - start
    parts = list(plan.parts(state))
    weights = [part for part in parts if part.path.startswith("params/")]
    return {
        "mesh": dict(mesh.shape),
        "layers": layers,
        "scanned": want.scan,
        "lower_and_compile_seconds": round(seconds, 1),
        "parameters": sum(part.entries for part in weights),
        "weights_megabytes": sum(part.total for part in weights) / 1e6,
        "weights_megabytes_per_device": sum(part.per_device for part in weights) / 1e6,
        "state_megabytes_per_device": sum(part.per_device for part in parts) / 1e6,
        "megabytes_per_device": {k: v / 1e6 for k, v in plan.memory(compiled).items()},
        # of each parameter the share that is on every device: all of it, or none
        "whole_on_every_device": {part.path: part.entries for part in weights if part.whole},
        "whole_share_of_parameters": sum(part.entries for part in weights if part.whole)
        / sum(part.entries for part in weights),
        "weights_made_whole_in_the_program": plan.whole_weights(compiled, state),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--layers", type=int, default=24)
    parser.add_argument("--apart", action="store_true", help="do not scan the layers")
    options, changes = parser.parse_known_args()
    jax.config.update("jax_num_cpu_devices", 8)
    print(json.dumps(report(options.layers, options.apart, changes), indent=1))


if __name__ == "__main__":
    main()
