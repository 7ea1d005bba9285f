"""Collections of the package ir_datasets, by their name there, written once in BEIR's layout."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tqdm import tqdm

from tart_jax import io
from tart_jax.types import InputError, Qrels

MARK = "ir_datasets:"  # before a name where a folder is asked for


def folder(name: str, root: Path) -> Path:
    """`root/ir_datasets/NAME` with corpus.jsonl, queries.jsonl and qrels/test.tsv of a collection.

    ir_datasets downloads what it lacks. A folder that is there is taken. InputError: the package is
    missing, the name unknown, or the collection has no queries or judgements.
    """
    out = root / "ir_datasets" / name
    if out.is_dir():
        return out
    dataset = _load(name)
    lacking = [
        what for what in ("docs", "queries", "qrels") if not getattr(dataset, f"has_{what}")()
    ]
    if lacking:
        raise InputError(f"{MARK}{name} has no {', '.join(lacking)}; name one of its parts.")
    with io.writing(out) as aside:
        documents = tqdm(dataset.docs_iter(), desc=name, unit="doc", disable=None)
        io.write_jsonl(aside / "corpus.jsonl", map(_document, documents))
        io.write_jsonl(aside / "queries.jsonl", map(_query, dataset.queries_iter()))
        io.write_qrels(aside / "qrels" / "test.tsv", _qrels(dataset.qrels_iter()))
    return out


def _load(name: str) -> Any:
    try:
        import ir_datasets
    except ModuleNotFoundError as error:
        raise InputError(
            f"{MARK}{name} needs the package ir_datasets: pip install ir_datasets."
        ) from error
    try:
        return ir_datasets.load(name)
    except KeyError as error:
        raise InputError(f"ir_datasets has no collection {name!r}; see ir-datasets.com.") from error


def _document(document: Any) -> dict[str, str]:
    title = getattr(document, "title", "") or ""
    text = getattr(document, "text", None)
    if text is None:  # of many forms; this is the package's own choice of what to read
        text = document.default_text()
    return {"_id": str(document.doc_id), "title": title, "text": text}


def _query(query: Any) -> dict[str, str]:
    text = getattr(query, "text", None)
    return {"_id": str(query.query_id), "text": query.default_text() if text is None else text}


def _qrels(judgements: Iterator[Any]) -> Qrels:
    qrels: Qrels = {}
    for one in judgements:
        qrels.setdefault(str(one.query_id), {})[str(one.doc_id)] = int(one.relevance)
    return qrels
