"""Peak memory of encoding, by corpus size: it should not grow with the corpus.

A random one-layer encoder encodes made-up passages of 16 tokens; each size runs in a process of its
own, whose peak resident memory is printed.

    python scripts/benchmark/encode_memory.py                       # 50,000 and 500,000 documents
    python scripts/benchmark/encode_memory.py --sizes 2000 20000
"""

import argparse
import json
import random
import resource
import subprocess
import sys
import tempfile
from pathlib import Path

LETTERS = "abcdefghijklmnopqrstuvwxyz"
WORDS = 14  # single letters; with [CLS] and [SEP] 16 tokens


def write_model(folder: Path) -> None:
    """A random one-layer model whose vocabulary is the letters."""
    import jax

    from tart_jax.data.tokenization import Tokenizer
    from tart_jax.models import dual_encoder, pretrained
    from tart_jax.models.bert import BertConfig

    vocabulary = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *LETTERS]
    (folder / "vocab.txt").write_text("\n".join(vocabulary) + "\n")
    bert = BertConfig(
        vocab_size=len(vocabulary),
        hidden_size=64,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=128,
        max_position_embeddings=32,
    )
    config = dual_encoder.DualEncoderConfig(encoder=bert)
    pretrained.export(
        folder / "model",
        config=config,
        params=dual_encoder.init(config, jax.random.key(0)),
        format=pretrained.Format(query_length=16, document_length=16),
        tokenizer=Tokenizer.load(folder),
    )


def write_corpus(path: Path, size: int) -> None:
    draw = random.Random(0)
    with path.open("w") as file:
        for number in range(size):
            text = " ".join(draw.choices(LETTERS, k=WORDS))
            file.write(json.dumps({"_id": f"passage-{number}", "text": text}) + "\n")


def encode(size: int) -> None:
    """Encodes `size` documents in this process and prints its peak memory in MiB."""
    from tart_jax import config
    from tart_jax.encode.run import run

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_model(folder)
        write_corpus(folder / "corpus.jsonl", size)
        options = [f"--config.model={folder}/model", f"--config.corpus={folder}/corpus.jsonl"]
        run(config.load("configs/encode/default.py", options), folder / "embeddings")
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss  # KiB on Linux, bytes on macOS
    print(peak / (2**20 if sys.platform == "darwin" else 2**10))


def peak(size: int) -> float:
    """Peak resident memory in MiB of a fresh process that encodes `size` documents."""
    command = [sys.executable, __file__, "--encode", str(size)]
    return float(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--sizes", type=int, nargs="+", default=[50_000, 500_000])
    parser.add_argument("--encode", type=int, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.encode:
        encode(options.encode)
        return
    peaks = []
    for size in options.sizes:
        peaks.append(peak(size))
        print(f"{size:>9,} documents: peak {peaks[-1]:,.0f} MiB", flush=True)
    print(f"last / first: {peaks[-1] / peaks[0]:.3f}")


if __name__ == "__main__":
    main()
