"""CodeSearchNet: from the comment of a function to its code. Python is kept out, for evaluation."""

import functools
import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tart_jax.data.berri import records
from tart_jax.data.berri.records import Made, Unreadable
from tart_jax.data.berri.task import Instance, Task, Text

LANGUAGES = {"codesearch_java": "java", "codesearch_ruby": "ruby",
             "codesearch_javascript": "javascript", "codesearch_go": "go"}  # fmt: skip

_MARKS = ("/*", "*", "//", "#")  # what a line of a comment begins with


def functions(files: tuple[Path, ...], language: str) -> Iterator[Made]:
    """Comment -> implementation of the functions of one language.

    Of the archive, the training files alone: the other two are what code search is measured on.
    """
    make = functools.partial(_function, language)
    return records.convert(files, records.json_lines, make, inside="*/train/*.jsonl.gz")


def _function(language: str, key: str, record: Any) -> Instance:
    if records.text(record, "language") != language:
        raise Unreadable("another language")
    comment, code = records.text(record, "docstring"), records.text(record, "code")
    bare = records.as_text(without_comment(code, comment), "code but for the comment")
    return Instance(key, comment, (Text(bare),))


def without_comment(code: str, comment: str) -> str:
    """The code without the block of comment lines that begins with `comment`, if it has one.

    With it, the words alone would find the code.
    """
    wanted = _words(comment.splitlines())
    if not wanted:
        return code
    kept = []
    blocks = itertools.groupby(code.splitlines(), lambda line: line.lstrip().startswith(_MARKS))
    for is_comment, block in blocks:
        lines = list(block)
        if not (is_comment and _words(lines).startswith(wanted)):
            kept += lines
    return "\n".join(kept).strip() if len(kept) < len(code.splitlines()) else code


def _words(lines: list[str]) -> str:
    bare = (line.strip("/*# \t") for line in lines)
    return " ".join(" ".join(bare).split())


TASKS: tuple[Task, ...] = tuple(
    Task(number, name, "code", "code search", "code",
         functools.partial(functions, language=language))
    for number, (name, language) in enumerate(LANGUAGES.items(), start=11)
)  # fmt: skip
