"""Texts and their summaries: CNN/DailyMail, XSum, CC News, Gigaword, Multi-LexSum."""

import functools
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tart_jax.data.berri import layouts, records
from tart_jax.data.berri.records import Made
from tart_jax.data.berri.task import Instance, Task, Text


def multilexsum(files: tuple[Path, ...]) -> Iterator[Made]:
    """Multi-LexSum: the long summary of a legal case, or else the short one, and the sentence."""
    return records.convert(files, records.json_lines, _case)


def _case(key: str, line: Any) -> Instance:
    sentence = records.text(line, "summary/tiny")
    long = records.text_or_empty(line, "summary/long").strip()
    query = long or records.text(line, "summary/short", "long and short summary")
    return Instance(key, query, (Text(sentence),))


TASKS: tuple[Task, ...] = (
    # The official instructions go from the summary to the article here, against the paper's rule
    # for summarisation; the file has the summary first.
    Task(17, "cnn_dailymail", "news", "summarisation", "article", records.pairs),
    # The file has the summary first.
    Task(18, "xsum", "news", "summarisation", "sentence",
         functools.partial(records.pairs, flipped=True)),
    Task(21, "ccnews", "news", "summarisation", "article", records.pairs),
    Task(32, "gigaword", "news", "summarisation", "sentence",
         functools.partial(
             layouts.parallel_lines, query="*train.src.txt*", document="*train.tgt.txt*")),
    Task(34, "multilexsum", "law", "summarisation", "sentence", multilexsum),
)  # fmt: skip
