"""Our miner and sentence-transformers' `mine_hard_negatives` over the same embeddings.

    python scripts/benchmark/mine.py

Needs tart-jax[cpu,torch] and `datasets`. Texts and embeddings are made (a document is near its
topic's centre, a query near its document), so that encoding is outside of the timing; ours reads
the texts it needs from disk and writes mined.jsonl, the peer has all of them in memory. Prints
seconds, each side's peak memory, and the share of queries whose negatives are the same, in the same
order.
"""

import argparse
import json
import tempfile
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from measure import alternate, machine, peak_megabytes, peak_of

from tart_jax import io
from tart_jax.data import lookup, mixture
from tart_jax.index.faiss_index import FaissIndex
from tart_jax.mine import run
from tart_jax.mine.miner import Miner
from tart_jax.mine.negatives import Rules
from tart_jax.search.partial import PartialFile
from tart_jax.types import Query, ScoredDocument

WIDTH, TOPICS = 384, 500
RULES = {"absolute_margin": 0.01, "relative_margin": 0.02, "max_score": 0.95}
WINDOW, COUNT = (3, 60), 5  # ranks, negatives of a query


class World(NamedTuple):
    """Texts and unit vectors; query i is answered by document `answers[i]`."""

    documents: list[str]
    queries: list[str]
    answers: np.ndarray
    document_vectors: np.ndarray
    query_vectors: np.ndarray


def make(documents: int, queries: int) -> World:
    draw = np.random.default_rng(0)

    def unit(vectors: np.ndarray) -> np.ndarray:
        return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)

    def noise(count: int, size: float) -> np.ndarray:
        return size * draw.normal(size=(count, WIDTH))

    centres = draw.normal(size=(TOPICS, WIDTH))
    vectors = unit(centres[draw.integers(TOPICS, size=documents)] + noise(documents, 0.8))
    answers = draw.choice(documents, queries, replace=False)
    words = draw.integers(20_000, size=(documents, 60))
    return World(
        [f"{n} " + " ".join(f"w{w}" for w in row) for n, row in enumerate(words)],
        [f"query {n}" for n in range(queries)],
        answers,
        vectors,
        unit(vectors[answers] + noise(queries, 0.03)),
    )


def ours(
    world: World, by_id: lookup.ById, folder: Path, near_duplicate: float | None
) -> dict[str, list[str]]:
    """query -> ids of its negatives. Texts are read from disk, mined.jsonl is written there."""
    index = FaissIndex("Flat", WIDTH)
    index.add(world.document_vectors)
    place = {query: number for number, query in enumerate(world.queries)}

    def find(_: str, queries: Any, k: int) -> list[list[ScoredDocument]]:
        asked = world.query_vectors[[place[query.text] for query in queries]]
        return [
            [ScoredDocument(f"d{p}", float(s)) for s, p in zip(*row, strict=True)]
            for row in zip(*index.search(asked, k), strict=True)
        ]

    rules = Rules(*WINDOW, count=COUNT, near_duplicate=near_duplicate, **RULES)
    miner = Miner(find, lambda task: by_id, rules, table={})
    source = mixture.open_sources(str(folder / "train.jsonl"))[str(folder / "train.jsonl")]
    partial = PartialFile(folder / "out", {"benchmark": 0}, name="mined.jsonl")
    if partial.complete:  # an earlier round's
        (folder / "out" / "mined.jsonl").unlink()
        partial = PartialFile(folder / "out", {"benchmark": 0}, name="mined.jsonl")
    run.write(partial, miner, {"made": mixture.View([source], np.arange(len(source)))}, 64)
    partial.finish({})
    return {
        record["query"]: [document["doc_id"] for document in record["hard_negatives"]]
        for _, record in io.read_jsonl(folder / "out" / "mined.jsonl")
    }


class Given:
    """Stands where a SentenceTransformer does: its embeddings are there already."""

    device = "cpu"

    def __init__(self, world: World):
        self._world = world

    def get_embedding_dimension(self) -> int:
        return WIDTH

    def encode_query(self, texts: list[str], **_: Any) -> np.ndarray:
        return self._world.query_vectors[[int(text.split()[1]) for text in texts]]

    def encode_document(self, texts: list[str], **_: Any) -> np.ndarray:
        return self._world.document_vectors[[int(text.split()[0]) for text in texts]]

    def similarity_pairwise(self, one: np.ndarray, other: np.ndarray) -> Any:
        import torch

        return torch.from_numpy((np.asarray(one) * np.asarray(other)).sum(axis=1))


def peer(world: World) -> dict[str, list[str]]:
    import datasets
    from sentence_transformers.util import mine_hard_negatives

    pairs = {"anchor": world.queries, "positive": [world.documents[n] for n in world.answers]}
    mined = mine_hard_negatives(
        datasets.Dataset.from_dict(pairs),
        Given(world),
        corpus=world.documents,
        range_min=WINDOW[0] - 1,
        range_max=WINDOW[1],
        num_negatives=COUNT,
        use_faiss=True,
        output_format="n-tuple",
        verbose=False,
        **RULES,
    )
    names = [f"negative_{n + 1}" for n in range(COUNT)]
    return {row["anchor"]: [f"d{row[n].split()[0]}" for n in names] for row in mined}


def write(world: World, folder: Path) -> None:
    rows = ({"_id": f"d{n}", "text": text} for n, text in enumerate(world.documents))
    io.write_jsonl(folder / "corpus.jsonl", rows)
    examples = (
        {
            "task": "made",
            "query_id": Query(str(n), text).query_id,
            "query": text,
            "positives": [{"doc_id": f"d{answer}", "text": world.documents[answer]}],
        }
        for n, (text, answer) in enumerate(zip(world.queries, world.answers, strict=True))
    )
    io.write_jsonl(folder / "train.jsonl", examples)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--documents", type=int, default=100_000)
    parser.add_argument("--queries", type=int, default=1_000)
    parser.add_argument("--pairs", type=int, default=3)
    parser.add_argument("--only", choices=["ours", "peer"], help="mine once, print peak memory")
    options = parser.parse_args()
    world = make(options.documents, options.queries)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write(world, folder)
        by_id = lookup.of_corpus(folder / "corpus.jsonl")  # the peer is given its texts in memory
        if options.only:
            ours(world, by_id, folder, None) if options.only == "ours" else peer(world)
            print(json.dumps({"peak_megabytes": peak_megabytes()}))
            return
        mined, theirs = ours(world, by_id, folder, None), peer(world)
        same = [mined[query] == theirs[query] for query in theirs]
        full = [query for query, ids in mined.items() if len(ids) == COUNT]
        report = {
            "documents": options.documents,
            "queries": options.queries,
            "with_all_negatives": {"ours": len(full), "peer": len(theirs)},
            "same_negatives": sum(same) / len(same),
            "seconds": alternate(
                lambda: ours(world, by_id, folder, None), lambda: peer(world), options.pairs
            ),
            "seconds_with_near_duplicates_out": alternate(
                lambda: ours(world, by_id, folder, 0.8), lambda: peer(world), options.pairs
            ),
        }
    again = [__file__, "--documents", str(options.documents), "--queries", str(options.queries)]
    report["peak_megabytes"] = {s: peak_of([*again, "--only", s]) for s in ("ours", "peer")}
    print(json.dumps(report | {"machine": machine()}, indent=2))


if __name__ == "__main__":
    main()
