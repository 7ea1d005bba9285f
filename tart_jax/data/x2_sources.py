"""The six tasks of X2 out of their public files, by the recipes of TART (section 4.2, appendix).

Each yields documents and queries with the ids of the documents that answer them, one at a time.
"""

import ast
import csv
import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlparse

from tart_jax import io
from tart_jax.data import corpus
from tart_jax.types import Document, InputError


class Asked(NamedTuple):
    """A query and the documents that answer it."""

    query_id: str
    text: str
    doc_ids: tuple[str, ...]


Entry = Document | Asked


def wikiqa(folder: Path) -> Iterator[Entry]:
    """WikiQA-{train,dev,test}.tsv: every sentence of every split; questions of dev and test.

    A sentence is `{title}_{place}` of its article's summary. Questions without an answer are out.
    """
    seen = set[str]()
    asked: dict[str, tuple[str, list[str]]] = {}
    for split in ("train", "dev", "test"):
        path = io.existing(folder / f"WikiQA-{split}.tsv", "file of WikiQA")
        with io.open_text(path) as stream:
            for row in csv.DictReader(stream, delimiter="\t", quoting=csv.QUOTE_NONE):
                title, sentence = _cells(row, path, "DocumentTitle", "Sentence")
                question, text, place, label = _cells(
                    row, path, "QuestionID", "Question", "SentenceID", "Label"
                )
                doc_id = f"{'_'.join(title.split())}_{place.rpartition('-')[2]}"
                if doc_id not in seen:
                    seen.add(doc_id)
                    yield Document(doc_id, sentence, title)
                if split != "train" and label == "1":
                    asked.setdefault(question, (text, []))[1].append(doc_id)
    for question, (text, doc_ids) in asked.items():
        yield Asked(f"wikiqa_{question}", text, tuple(dict.fromkeys(doc_ids)))


def ambigqa(folder: Path) -> Iterator[Entry]:
    """{train,dev}_light.json of AmbigNQ: the disambiguated questions are documents, dev asks."""
    for split, name in (("train", "train"), ("dev", "test")):
        path = io.existing(folder / f"{split}_light.json", "file of AmbigNQ")
        number = 0
        for place, item in io.read_json_list(path):
            try:
                pairs = [p for a in item["annotations"] for p in a.get("qaPairs", ())]
                texts = list(dict.fromkeys(pair["question"] for pair in pairs))
                query, text = str(item["id"]), item["question"]
            except (KeyError, TypeError, AttributeError) as error:
                raise InputError(
                    f"{path}: item {place} should have id, question and annotations with qaPairs."
                ) from error
            doc_ids = [f"ambig_{name}_{number + n}" for n in range(len(texts))]
            number += len(texts)
            yield from (Document(*both) for both in zip(doc_ids, texts, strict=True))
            if split == "dev" and doc_ids:
                yield Asked(f"ambig_nq_source_{query}", text, tuple(doc_ids))


def scifact(folder: Path) -> Iterator[Entry]:
    """BEIR's folder of SciFact, its test split."""
    yield from corpus.read_documents(folder)
    qrels = io.read_qrels(folder / "qrels" / "test.tsv")
    for query in corpus.read_queries(folder):
        good = tuple(doc for doc, grade in qrels.get(query.query_id, {}).items() if grade > 0)
        if good:
            yield Asked(query.query_id, query.text, good)


def gooaq_technical(path: Path) -> Iterator[Entry]:
    """GooAQ's questions whose answer is a snippet of stackoverflow.com; equal answers are one."""
    known: dict[str, str] = {}
    for number, row in io.read_jsonl(io.existing(path, "file of GooAQ")):
        host = urlparse(str(row.get("answer_url") or row.get("url") or "")).hostname or ""
        technical = host == "stackoverflow.com" or host.endswith(".stackoverflow.com")
        if not technical or row.get("answer_type") != "feat_snip":
            continue
        answer, question = row.get("answer"), row.get("question")
        if not isinstance(answer, str) or not isinstance(question, str):
            raise InputError(f"{path}: line {number} should have the texts question and answer.")
        if answer not in known:
            known[answer] = f"gooaq_technical_{len(known)}"
            yield Document(known[answer], answer)
        yield Asked(f"gooaq_technical_q{number}", question, (known[answer],))


def linkso_py(folder: Path) -> Iterator[Entry]:
    """LinkSO's Python: all questions are documents; test questions ask for their duplicates."""
    wanted = {line.strip() for _, line in io.lines(folder / "python_test_qid.txt")} - {""}
    duplicates: dict[str, list[str]] = {name: [] for name in wanted}
    pairs = folder / "python_cosidf.txt"
    for number, line in io.lines(pairs):
        cells = line.split("\t")
        if len(cells) != 4:
            raise InputError(f"{pairs}: line {number} has {len(cells)} columns, not 4.")
        if cells[0] in duplicates and cells[3].strip() == "1":
            duplicates[cells[0]].append(f"linkso_python_{cells[1]}")
    path, titles = io.existing(folder / "python_qid2all.txt", "file of LinkSO"), {}
    for number, line in io.lines(path):
        cells = line.split("\t")
        if len(cells) < 3:
            raise InputError(
                f"{path}: line {number} has {len(cells)} columns, not id, title, body."
            )
        yield Document(f"linkso_python_{cells[0]}", cells[2], cells[1])
        if duplicates.get(cells[0]):
            titles[cells[0]] = cells[1]
    for name, title in titles.items():
        yield Asked(f"linkso_python_q{name}", title, tuple(dict.fromkeys(duplicates[name])))


def codesearch_py(folder: Path) -> Iterator[Entry]:
    """CodeSearchNet's Python, every split: functions without docstring; docstrings ask for them.

    Queries: docstrings of the test split of more than 50 and less than 300 characters.
    """
    for split in ("train", "valid", "test"):
        files = sorted((folder / split).glob("*.jsonl*"))
        if not files:
            raise InputError(f"{folder / split} holds no .jsonl of CodeSearchNet.")
        number = 0
        for file in files:
            for line, row in io.read_jsonl(file):
                code, docstring = row.get("code"), row.get("docstring")
                if not isinstance(code, str) or not isinstance(docstring, str):
                    raise InputError(f"{file}: line {line} should have the texts code, docstring.")
                doc_id = f"codesearch_py_{split}_{number}"
                number += 1
                yield Document(doc_id, without_docstring(code, docstring))
                if split == "test" and 50 < len(docstring) < 300:
                    yield Asked(f"{doc_id}_q", docstring, (doc_id,))


def without_docstring(code: str, docstring: str) -> str:
    """A function without its docstring, whichever Python it is written in."""
    try:
        node = ast.parse(code).body[0]
        first = node.body[0]  # type: ignore[attr-defined]
        if not isinstance(first, ast.Expr) or ast.get_docstring(node) is None:  # type: ignore[arg-type]
            return code
        lines = code.splitlines(keepends=True)
        if first.lineno > node.lineno:  # else it stands behind the colon of the head
            return "".join(lines[: first.lineno - 1] + lines[first.end_lineno :])
    except (SyntaxError, IndexError, AttributeError, ValueError, TypeError):
        pass
    pattern = rf"[ \t]*[urURbB]*(\"\"\"|'''|\"|')\s*{re.escape(docstring)}\s*\1[ \t]*\n?"
    return re.sub(pattern, "", code, count=1)


def _cells(row: dict[str, Any], path: Path, *names: str) -> list[str]:
    values = [row.get(name) for name in names]
    if not all(isinstance(value, str) for value in values):
        raise InputError(
            f"{path} lacks one of the columns {', '.join(names)}: {json.dumps(row)[:99]}"
        )
    return [str(value) for value in values]


# Task -> (its reader, queries that the paper draws of it; 0: all).
TASKS: dict[str, tuple[Callable[[Path], Iterator[Entry]], int]] = {
    "ambigqa": (ambigqa, 0),
    "wikiqa": (wikiqa, 0),
    "scifact": (scifact, 0),
    "gooaq_technical": (gooaq_technical, 1000),
    "linkso_py": (linkso_py, 0),
    "codesearch_py": (codesearch_py, 1000),
}
