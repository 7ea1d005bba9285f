"""Dialogues: the Wikipedia passage behind the next turn, and the next turn itself (WoW, QReCC)."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tart_jax import io
from tart_jax.data.berri import layouts, records
from tart_jax.data.berri.records import Made, Unreadable
from tart_jax.data.berri.task import Instance, Task, Text


def wow_response(files: tuple[Path, ...]) -> Iterator[Made]:
    """KILT's Wizard of Wikipedia: the turns so far, one a line, and what was said next."""
    return records.convert(files, records.json_lines, _dialogue)


def _dialogue(key: str, line: Any) -> Instance:
    turns = records.text(line, "input")
    outputs = line.get("output")
    if not isinstance(outputs, list):
        raise Unreadable("output is no list")
    # KILT's outputs may give provenance alone.
    answers = [
        Text(records.text(output, "answer"))
        for output in outputs
        if not isinstance(output, dict) or "answer" in output
    ]
    if not answers:
        raise Unreadable("no answer")
    return Instance(records.own_key(line, "id", key), turns, tuple(answers))


def qrecc(files: tuple[Path, ...]) -> Iterator[Made]:
    """QReCC: the question, rewritten to be clear without the turns before it, and the response."""
    return records.convert(files, io.read_json_list, _turn, inside="*qrecc_train.json")


def _turn(key: str, turn: Any) -> Instance:
    rewrite, answer = records.text(turn, "Rewrite"), records.text(turn, "Answer")
    return Instance(key, rewrite, (Text(answer),))


TASKS: tuple[Task, ...] = (
    Task(26, "wow_knowledge", "Wikipedia", "dialogue", "paragraph", layouts.dpr_passages),
    Task(27, "wow_response", "dialogue", "dialogue", "response", wow_response),
    Task(35, "qrecc", "dialogue", "dialogue", "response", qrecc),
)
