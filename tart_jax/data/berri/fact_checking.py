"""Statements and the texts that support or refute them: FEVER, ReCoRD."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tart_jax.data.berri import layouts, records
from tart_jax.data.berri.records import Made, Unreadable
from tart_jax.data.berri.task import Instance, Task, Text

PLACEHOLDER = "@placeholder"


def record(files: tuple[Path, ...]) -> Iterator[Made]:
    """ReCoRD: a statement about a news article, its gap filled by the answer, and the article."""
    return records.convert(files, records.json_lines, _article, inside="*train.jsonl")


def _article(key: str, line: Any) -> Iterator[Made]:
    if not isinstance(line, dict) or "passage" not in line:
        raise Unreadable("missing passage")
    # The article ends with its highlights, each behind a marker line that is no news.
    text = records.text(line["passage"], "text", "passage text").replace("\n@highlight\n", "\n")
    document = Text(text)
    return layouts.each(
        key, line.get("qas"), "qas", lambda place, qa: _statement(place, qa, document)
    )


def _statement(place: str, qa: Any, document: Text) -> Instance:
    query = records.text(qa, "query")
    if PLACEHOLDER not in query:
        raise Unreadable(f"no {PLACEHOLDER} in query")
    answers = qa.get("answers")
    if not isinstance(answers, list) or not answers:
        raise Unreadable("no answers")  # the hidden ones of the test set
    # The others are the same entity, as the article calls it elsewhere.
    answer = records.text(answers[0], "text", "answer")
    return Instance(place, query.replace(PLACEHOLDER, answer), (document,))


TASKS: tuple[Task, ...] = (
    Task(22, "fever", "Wikipedia", "fact checking", "paragraph", layouts.dpr_passages),
    # Its official instruction asks for the article that verifies the filled-in sentence.
    Task(33, "record", "news", "fact checking", "article", record),
)
