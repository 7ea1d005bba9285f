"""Questions and the Wikipedia passages that answer them: HotpotQA, NQ, TriviaQA, SQuAD."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tart_jax.data.berri import layouts, records
from tart_jax.data.berri.records import Made
from tart_jax.data.berri.task import Instance, Task, Text


def squad(files: tuple[Path, ...]) -> Iterator[Made]:
    """SQuAD 1.1: articles hold paragraphs hold questions; a paragraph answers its questions."""
    return records.convert(files, lambda path: layouts.tree_items(path, "data.item"), _article)


def _article(key: str, article: Any) -> Iterator[Made]:
    title = records.text(article, "title").replace("_", " ")  # as in the article's address

    def paragraph(place: str, part: Any) -> Iterator[Made]:
        document = Text(records.text(part, "context"), title)
        if part.get("qas") == []:
            yield document
        yield from layouts.each(
            place, part.get("qas"), "qas", lambda place, qa: _question(place, qa, document)
        )

    return layouts.each(key, article.get("paragraphs"), "paragraphs", paragraph)


def _question(place: str, qa: Any, document: Text) -> Instance:
    key = records.own_key(qa, "id", place)
    return Instance(key, records.text(qa, "question"), (document,))


# HotpotQA: the passages that support an answer are its several positives.
TASKS: tuple[Task, ...] = (
    Task(23, "hotpotqa", "Wikipedia", "question answering", "paragraph", layouts.dpr_passages),
    Task(24, "nq", "Wikipedia", "question answering", "paragraph", layouts.dpr_passages),
    Task(25, "triviaqa", "Wikipedia", "question answering", "paragraph", layouts.dpr_passages),
    Task(37, "squad", "Wikipedia", "question answering", "paragraph", squad),
)
