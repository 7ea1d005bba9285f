"""The input of a KILT item as the text of a query, by the form of its task."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from tart_jax.data.kilt.tasks import Form
from tart_jax.types import InputError

START, END = "[START_ENT]", "[END_ENT]"
SLOT = "[SEP]"
_MENTION = re.compile(rf"{re.escape(START)}(.*?){re.escape(END)}", re.DOTALL)


@dataclass(frozen=True)
class Forms:
    """How queries are written.

    question_suffix: put after a question that does not end in it; DPR: "?".
    mention_words: words kept about a mention, marks and mention included; 0: all.
    dialogue_turns: turns kept, the last ones; 0: all. A tokenizer cuts at the end, so a long
        dialogue would lose the very turn that is to be answered.
    slot_separator, mention_marks, turn_separator: in place of " [SEP] ", [START_ENT] and [END_ENT],
        and the line end, for a tokenizer that has other special tokens.
    """

    question_suffix: str = ""
    mention_words: int = 0
    dialogue_turns: int = 0
    slot_separator: str = SLOT
    mention_marks: tuple[str, str] = (START, END)
    turn_separator: str = "\n"

    @classmethod
    def of(cls, parts: Mapping[str, Any]) -> "Forms":
        """Those that the parts of a KILT folder (`parts` of kilt.json) were written with."""
        empty: dict[str, Any] = {}
        made = next((part["made_of"]["forms"] for n, part in parts.items() if "/" in n), empty)
        values: dict[str, Any] = {
            key: tuple(value) if isinstance(value, list) else value for key, value in made.items()
        }
        return cls(**values)

    def query(self, text: str, form: Form, where: str) -> str:
        """The query of an input; `where` (file and line) goes into the error of a bad one."""
        if form == "question":
            text = text.strip()
            return text if text.endswith(self.question_suffix) else text + self.question_suffix
        if form == "slot":
            return self._slot(text, where)
        if form == "mention":
            return self._mention(text, where)
        if form == "dialogue":
            turns = [turn.strip() for turn in text.split("\n") if turn.strip()]
            return self.turn_separator.join(turns[-self.dialogue_turns :])
        return text.strip()

    def _slot(self, text: str, where: str) -> str:
        subject, mark, relation = (part.strip() for part in text.partition(SLOT))
        if not (subject and mark and relation):
            raise InputError(
                f"{where}: 'input' should be 'subject {SLOT} relation', not {text[:80]!r}."
            )
        return f"{subject} {self.slot_separator} {relation}"

    def _mention(self, text: str, where: str) -> str:
        match = _MENTION.search(text)
        if not match or text.count(START) != 1 or text.count(END) != 1 or not match[1].strip():
            raise InputError(
                f"{where}: 'input' should hold one '{START} mention {END}', not {text[:80]!r}."
            )
        left, right = text[: match.start()].split(), text[match.end() :].split()
        mention = match[1].split()
        if self.mention_words:
            left, right = window(left, right, self.mention_words - len(mention) - 2)
        opens, closes = self.mention_marks
        return " ".join([*left, opens, *mention, closes, *right])


def window(left: list[str], right: list[str], room: int) -> tuple[list[str], list[str]]:
    """At most `room` words nearest the middle: half on each side, more where the other has fewer.

    The odd word goes to the left. No room: none (a mention is never cut).
    """
    room = max(0, room)
    before = min(len(left), max(room - room // 2, room - len(right)))
    after = min(len(right), room - before)
    return left[len(left) - before :], right[:after]
