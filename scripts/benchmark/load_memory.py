"""Peak memory of loading a T5 cross-encoder onto 8 simulated devices, against its file's size.

    python scripts/benchmark/load_memory.py                # placed as it is read
    python scripts/benchmark/load_memory.py --host         # read whole, then placed: twice

A random float32 checkpoint of TART-full's layout in shards is made and loaded with stacked layers,
in a process of its own. CPU devices keep their arrays in that process's memory, so 1 is the least.
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

WIDTH, INNER, WORDS = 1024, 2816, 8192  # flan-t5-large's but for the words; a layer has 51 MB
LETTERS = "abcdefghijklmnopqrstuvwxyz"


def write(folder: Path, megabytes: int, shards: int) -> None:
    """Config, tokenizer and shards, of as many layers as fill the megabytes."""
    import jax
    import safetensors.numpy

    from tart_jax.data.tokenization import Tokenizer
    from tart_jax.models import checkpoint_layouts, checkpoint_params, cross_format, encoders
    from tart_jax.models.cross_encoder import CrossEncoderConfig, abstract_params
    from tart_jax.models.t5_config import T5Config

    encoder = T5Config(
        vocab_size=WORDS, d_model=WIDTH, num_heads=16, d_ff=INNER, num_layers=megabytes // 51,
        feed_forward_proj="gated-gelu",
    )  # fmt: skip
    config = CrossEncoderConfig(encoder, scan=True)
    draw = np.random.default_rng(0)
    params = jax.tree.map(
        lambda leaf: draw.standard_normal(leaf.shape, np.float32), abstract_params(config)
    )
    tensors = checkpoint_params.write(params, checkpoint_layouts.NAMES["enc_t5"], config)
    names = sorted(tensors)
    index = {}
    for number in range(shards):
        file = f"model-{number + 1:05d}-of-{shards:05d}.safetensors"
        part = {name: tensors[name] for name in names[number::shards]}
        safetensors.numpy.save_file(part, folder / file)
        index |= dict.fromkeys(part, file)
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": index}))
    (folder / "config.json").write_text(json.dumps(encoders.config_to_hf(encoder)))
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *LETTERS]
    (folder / "vocab.txt").write_text("\n".join(words) + "\n")
    cross_format.write(folder, cross_format.CrossFormat())
    Tokenizer.load(folder)


def load(folder: Path, host: bool) -> None:
    """Loads in this process; prints its memory before, its peak and seconds."""
    import jax

    jax.config.update("jax_num_cpu_devices", 8)
    from tart_jax import distributed, sharding
    from tart_jax.models import pretrained_cross

    mesh = distributed.make_mesh({"data": 1, "tensor": 8})
    jax.block_until_ready(jax.numpy.zeros(8))
    before, start = peak_megabytes(), time.perf_counter()

    def place(params):
        return sharding.from_rules(params, (), mesh)

    model = pretrained_cross.load(folder, scan=True, shardings=None if host else place)
    placed = jax.device_put(model.params, place(model.params)) if host else model.params
    jax.block_until_ready(placed)
    figures = {"before": before, "peak": peak_megabytes(), "seconds": time.perf_counter() - start}
    print(json.dumps(figures))


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--megabytes", type=int, default=1000)
    parser.add_argument("--shards", type=int, default=4)
    parser.add_argument("--host", action="store_true", help="read whole, then place")
    parser.add_argument("--write", help=argparse.SUPPRESS)
    parser.add_argument("--load", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.write:
        write(Path(options.write), options.megabytes, options.shards)
        return
    if options.load:
        load(Path(options.load), options.host)
        return
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run([sys.executable, *sys.argv, "--write", folder], check=True)
        command = [sys.executable, *sys.argv, "--load", folder]
        done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
        size = sum(path.stat().st_size for path in Path(folder).glob("*.safetensors")) / 2**20
    found = json.loads(done.stdout.splitlines()[-1])
    report = {
        "file_megabytes": round(size),
        "shards": options.shards,
        "megabytes_before": found["before"],
        "peak_megabytes": found["peak"],
        "peak_share_of_file": round((found["peak"] - found["before"]) / size, 3),
        "seconds": round(found["seconds"], 1),
    }
    print(json.dumps(report))


if __name__ == "__main__":
    main()
