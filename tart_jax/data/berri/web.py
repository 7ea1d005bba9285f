"""Questions of the web and of community forums, and what answers them."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tart_jax.data.berri import records
from tart_jax.data.berri.records import Made
from tart_jax.data.berri.task import Instance, Task, Text


def best_voted_answers(files: tuple[Path, ...]) -> Iterator[Made]:
    """Title -> best voted answer: lines `[title, answer]`, or the same list under "texts"."""

    def make(key: str, record: Any) -> Instance:
        listed = record.get("texts") if isinstance(record, dict) else record
        title, answer = records.listed(listed, 2)
        return Instance(
            key,
            records.as_text(title, "title"),
            (Text(records.as_text(answer, "answer")),),
        )

    return records.convert(files, records.json_lines, make)


def _answers(
    number: int, name: str, domain: str, unit: str, convert: Any = records.pairs, **changes: Any
) -> Task:
    return Task(number, name, domain, "question answering", unit, convert, **changes)


TASKS: tuple[Task, ...] = (
    _answers(3, "stackexchange_query_answer", "community forums", "answer", best_voted_answers),
    _answers(4, "yahoo_answers", "community forums", "answer"),
    # which of the documented line forms these two files have is not documented
    _answers(5, "msmarco", "web", "paragraph", records.documented, cap=None),
    _answers(6, "eli5", "community forums", "answer"),
    _answers(7, "wikihow", "how-to guides", "article"),
    _answers(8, "searchqa", "web", "snippets", records.documented),
    _answers(15, "paq", "Wikipedia", "paragraph"),
)
