"""Science and medicine: SciTLDR, PubMedQA, MedMCQA, medical simplification."""

import functools
import gzip
import re
import zlib
from collections.abc import Iterator
from io import BufferedIOBase
from pathlib import Path
from typing import Any, cast

from tart_jax import io
from tart_jax.data.berri import layouts, records
from tart_jax.data.berri.records import Made, Rows, Unreadable
from tart_jax.data.berri.task import Instance, Task, Text

NESTED = re.compile(rb'\s*\{\s*"[^"]*"\s*:\s*\{')  # an object whose first member is an object


def scitldr(files: tuple[Path, ...]) -> Iterator[Made]:
    """SciTLDR-A: the sentences of an abstract, and its TLDRs (one in training, several later)."""
    return records.convert(files, records.json_lines, _abstract)


def _abstract(key: str, line: Any) -> Instance:
    sentences = line.get("source") if isinstance(line, dict) else None
    if sentences is None:
        raise Unreadable("missing source")
    if not isinstance(sentences, list) or not all(isinstance(one, str) for one in sentences):
        raise Unreadable("source is no list of texts")
    # A blank sentence (there is one) is a slip of the splitter, no reason to lose the paper.
    abstract = records.as_text(" ".join(one.strip() for one in sentences if one.strip()), "source")
    summaries = records.texts(line, "target")
    if not summaries:
        raise Unreadable("empty target")
    return Instance(records.own_key(line, "paper_id", key), abstract, tuple(map(Text, summaries)))


def pubmedqa(files: tuple[Path, ...]) -> Iterator[Made]:
    """PubMedQA: a question and the abstract (without its conclusion) of the paper that asks it.

    One JSON object by PubMed id, as published, or JSON lines that name it `pmid`.
    """
    return records.convert(files, _papers, _paper)


def _papers(path: Path) -> Rows:
    if not NESTED.match(_head(path)):
        yield from records.json_lines(path)
        return
    for number, (pmid, paper) in layouts.tree_members(path):
        yield number, {**paper, "pmid": pmid} if isinstance(paper, dict) else paper


def _head(path: Path) -> bytes:
    with io.open_text(path) as file:
        try:
            return cast(BufferedIOBase, file.buffer).read1(1000)
        except (EOFError, gzip.BadGzipFile, zlib.error):
            return b""  # the reader that comes next says what is wrong, and where


def _paper(key: str, paper: Any) -> Instance:
    question, contexts = records.text(paper, "QUESTION"), records.texts(paper, "CONTEXTS")
    if not contexts:
        raise Unreadable("empty CONTEXTS")
    return Instance(records.own_key(paper, "pmid", key), question, (Text(" ".join(contexts)),))


def medmcqa(files: tuple[Path, ...]) -> Iterator[Made]:
    """MedMCQA: an exam question without its options, and the explanation of the right one."""
    return records.convert(files, records.json_lines, _exam_question, inside="*train.json")


def _exam_question(key: str, line: Any) -> Instance:
    question, explanation = records.text(line, "question"), records.text(line, "exp")
    return Instance(records.own_key(line, "id", key), question, (Text(explanation),))


TASKS: tuple[Task, ...] = (
    Task(28, "medical_simplification", "medicine", "simplification", "paragraph",
         functools.partial(layouts.parallel_lines, query="*.source*", document="*.target*")),
    Task(29, "scitldr", "science", "summarisation", "sentence", scitldr),
    Task(30, "pubmedqa", "medicine", "question answering", "abstract", pubmedqa),
    Task(31, "medmcqa", "medicine", "question answering", "paragraph", medmcqa),
)  # fmt: skip
