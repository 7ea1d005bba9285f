"""The run of a system on one task of a benchmark: encoded, indexed, searched and reranked.

Each step is a stage with a folder of its own, so that any figure leads to its run, its config and
its command; a step that is done of the same inputs is not done again.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from tart_jax import io
from tart_jax.data import corpus
from tart_jax.data.instructions import InstructionRow
from tart_jax.encode import run as encode
from tart_jax.encode.store import MANIFEST
from tart_jax.evaluate.steps import Stage, Step, content
from tart_jax.index import run as index
from tart_jax.index.store import BM25, DESCRIPTION, EXACT
from tart_jax.models import class_towers
from tart_jax.search import rerank_run
from tart_jax.search import run as search_run
from tart_jax.types import InputError


class Options(NamedTuple):
    """What `configs/evaluate/default.py` says of a benchmark."""

    benchmark: str
    root: str
    download: bool
    tasks: Sequence[str]
    pooled: bool
    pools: bool
    instruction: Sequence[str]
    max_queries: int
    max_documents: int
    gold: Sequence[str]
    instructions: str
    judged: str
    judging_sheet: str
    retriever: str
    encode_options: Sequence[str]
    retriever_options: Sequence[str]
    plain_retriever: bool
    reranker: str
    reranker_kind: str
    reranker_options: Sequence[str]
    k: int
    candidates: int
    measures: Sequence[str]
    drop_self: bool
    complete: bool
    resamples: int
    seed: int


class Setting(NamedTuple):
    """What every search of a benchmark shares; score: the stage that scores one run."""

    options: Options
    workdir: Path
    test: Path
    table: Mapping[str, InstructionRow]
    groups: Mapping[str, str]  # task -> whose mean counts as one task
    score: Stage


def ranked(setting: Setting, task: str, scope: str, words: str, folder: Path) -> tuple[Path, str]:
    """(the folder of a task's last run, a digest of what it was made of)."""
    options, test = setting.options, setting.test
    texts, prefix = corpus_of(options, test, task, scope)
    name = texts.name.removesuffix(".gz").removesuffix(".jsonl")
    built, digest = _indexed(setting, texts, prefix, f"{task}-{scope}" if prefix else name)
    # Of a pool all are ranked, to find those that were judged.
    depth = io.read_json(built / DESCRIPTION)["count"] if options.pools else options.k
    search = {"index": built, "queries": test / task, "k": depth, "drop_self": options.drop_self}
    search |= _pairs(options.retriever_options)
    if options.retriever != BM25:  # which matches words, and reads no instruction
        plain = options.plain_retriever
        model = class_towers.folder_of(options.retriever, task)
        search |= {"model": model, "instruction": "" if plain else words}
    last, queries = folder / "run", content(test / task)
    digest = Step("search", search_run.run, last, "run.trec", search, (digest, queries)).done()
    if options.pools:
        last = _judged(last, test / task / "qrels" / "test.tsv", folder / "judged")
    if not options.reranker:
        return last, digest
    rerank = {
        "run": last / "run.trec", "corpus": texts, "queries": test / task, "instruction": words,
        "k": options.candidates, "model": options.reranker, "kind": options.reranker_kind,
        **_pairs(options.reranker_options),
    }  # fmt: skip
    last, inputs = folder / "reranked", (digest, queries, content(options.reranker))
    return last, Step("rerank", rerank_run.run, last, "run.trec", rerank, inputs).done()


def corpus_of(options: Options, test: Path, task: str, scope: str) -> tuple[Path, str]:
    """(corpus, prefix of the ids that count): the pooled one is encoded once, for all tasks."""
    if options.gold:  # KILT's tasks share one corpus
        return corpus.corpus_file(options.benchmark), ""
    own = test / task
    if not options.pooled and any(own.glob("corpus.jsonl*")):
        return own, ""
    return test / "pooled", "" if scope == "pooled" else f"{task}/"


def _indexed(setting: Setting, source: Path, prefix: str, name: str) -> tuple[Path, str]:
    """(the index folder of a part of a corpus, a digest of what it was made of)."""
    options, folder = setting.options, setting.workdir / "index" / name
    texts = content(source)
    if options.retriever == BM25:
        made = {"factory": BM25, "corpus": source, "prefix": prefix}
        return folder, Step("index", index.run, folder, DESCRIPTION, made, (texts,)).done()
    place = "pooled" if prefix else name
    embeddings = setting.workdir / "embeddings" / place
    model = class_towers.folder_of(options.retriever, next(iter(setting.table)))  # documents': any
    made_of = {"model": model, "corpus": source, **_pairs(options.encode_options)}
    inputs = (texts, content(options.retriever))
    digest = Step("encode", encode.run, embeddings, MANIFEST, made_of, inputs).done()
    made = {"factory": EXACT, "embeddings": embeddings, "prefix": prefix}
    return folder, Step("index", index.run, folder, DESCRIPTION, made, (digest,)).done()


def _pairs(words: Sequence[str]) -> dict[str, str]:
    """ "key=value" by key. InputError: not of that form."""
    if wrong := [word for word in words if "=" not in word]:
        raise InputError(f"options: {wrong[0]!r} should look like 'key=value'.")
    return {key: value for key, _, value in (word.partition("=") for word in words)}


def _judged(run: Path, qrels: Path, out: Path) -> Path:
    """`out` with those hits of a run that were judged for their query: each query's own pool."""
    judged = io.read_qrels(qrels)
    with io.writing(out / "run.trec") as aside, aside.open("w", encoding="utf-8") as file:
        for block in io.run_blocks(run / "run.trec"):
            for query_id, hits in block.items():
                pool = judged.get(query_id, {})
                kept = (hit for hit in hits if hit.doc_id in pool)
                file.writelines(io.run_lines(query_id, kept, "pool"))
    return out
