"""The tasks of KILT, their files, and what a line of them must be.

Format and line counts: Petroni et al., "KILT" (2021), and the README of its repository. A line:
{id, input, output: [{answer?, provenance?: [{wikipedia_id, title?, section?, start_paragraph_id?,
start_character?, end_paragraph_id?, end_character?, bleu_score?, meta?}]}]?, meta?}.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple

from tart_jax import io
from tart_jax.data.kilt.knowledge_source import page_id
from tart_jax.types import InputError

Form = Literal["question", "claim", "slot", "mention", "dialogue"]


class Task(NamedTuple):
    """A task: the form of its queries, and the published numbers of lines (None: no such file)."""

    form: Form
    train: int | None
    dev: int | None


TASKS = {
    "fever": Task("claim", 104_966, 10_444),
    "aidayago2": Task("mention", 18_395, 4_784),
    "trex": Task("slot", 2_284_168, 5_000),
    "structured_zeroshot": Task("slot", 147_909, 3_724),
    "nq": Task("question", 87_372, 2_837),
    "hotpotqa": Task("question", 88_869, 5_600),
    "triviaqa": Task("question", 61_844, 5_359),
    "wow": Task("dialogue", 63_734, 3_054),
    "eli5": Task("question", 272_634, 1_507),
    "wned": Task("mention", None, 3_396),
    "cweb": Task("mention", None, 5_599),
}
_INTEGER = re.compile(r"-?[0-9]{1,18}")
# The eight of Maillard et al. (2021); the others are only read or searched.
TRAINING_TASKS = tuple(TASKS)[:8]


class Provenance(NamedTuple):
    """Where an output stands in the knowledge source; None where the record leaves it open.

    Entity linking names the page alone. Characters end exclusively; -1 says "not known".
    """

    wikipedia_id: str
    start_paragraph_id: int | None = None
    start_character: int | None = None
    end_paragraph_id: int | None = None
    end_character: int | None = None
    bleu_score: float | None = None


class Output(NamedTuple):
    """An answer, a set of evidence, or both. provenance: None where the key is missing."""

    answer: str | None
    provenance: tuple[Provenance, ...] | None


class Item(NamedTuple):
    """A line of a task file. `input` is "" in TriviaQA's files, which hold only ids."""

    kilt_id: str
    input: str
    outputs: tuple[Output, ...]

    @property
    def query_id(self) -> str:
        """The id without white space (entity linking has some), which would break a TREC run."""
        return "_".join(self.kilt_id.split())

    def provenance(self) -> tuple[Provenance, ...]:
        """That of all outputs, each place once."""
        return tuple(dict.fromkeys(p for output in self.outputs for p in output.provenance or ()))

    def answers(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(o.answer for o in self.outputs if o.answer is not None))


def require_task(name: str) -> Task:
    """The task of that name, or an InputError that lists the names."""
    if name not in TASKS:
        raise InputError(f"{name!r} is not a KILT task; the tasks are {', '.join(TASKS)}.")
    return TASKS[name]


def read_items(
    path: str | Path, *, inputs: Mapping[str, str] | None = None
) -> Iterator[tuple[int, Item]]:
    """(line number, item) of a task file, gzip or not, one in memory at a time.

    inputs: id -> text, for items without `input` (TriviaQA; see `triviaqa_inputs`).
    InputError, with file, line and field: a field of the wrong type, an item without a text.
    """
    for number, record in io.read_jsonl(path):
        where = f"{path}: line {number}"
        item = _item(record, where)
        if not item.input:
            item = item._replace(input=(inputs or {}).get(item.kilt_id, ""))
        if not item.input.strip():
            raise InputError(
                f"{where}: the item {item.kilt_id!r} has no 'input'; TriviaQA's questions come from"
                " its own files: name them in triviaqa_inputs."
            )
        yield number, item


def triviaqa_inputs(paths: Sequence[str | Path]) -> dict[str, str]:
    """id -> question of TriviaQA's own files, or of JSON lines {id, input} (name in .jsonl).

    Its own: qa/wikipedia-{train,dev}.json of triviaqa-rc, {"Data": [{QuestionId, Question}]}.
    """
    found: dict[str, str] = {}
    for path in paths:
        if Path(path).name.removesuffix(".gz").endswith(".jsonl"):
            rows = ((f"line {number}", record) for number, record in io.read_jsonl(path))
            names = ("id", "input")
        else:
            value = io.read_json(path)
            data = value.get("Data") if isinstance(value, dict) else None
            if not isinstance(data, list):
                raise InputError(
                    f"{path} should hold TriviaQA's object with the list 'Data'; JSON lines"
                    " {id, input} end in .jsonl."
                )
            rows = ((f"Data, item {number}", record) for number, record in enumerate(data, 1))
            names = ("QuestionId", "Question")
        for place, record in rows:
            fields = record if isinstance(record, Mapping) else {}
            query_id, text = fields.get(names[0]), fields.get(names[1])
            if not (isinstance(query_id, str) and isinstance(text, str) and text.strip()):
                raise InputError(
                    f"{path}: {place} should be an object with the strings {names[0]!r} and"
                    f" {names[1]!r}, not {str(record)[:80]!r}."
                )
            if found.setdefault(query_id, text) != text:
                raise InputError(
                    f"{path}: {place} gives {query_id!r} another question than before."
                )
    return found


def _item(record: Mapping[str, Any], where: str) -> Item:
    kilt_id = record.get("id")
    if isinstance(kilt_id, int) and not isinstance(kilt_id, bool):
        kilt_id = str(kilt_id)
    if not isinstance(kilt_id, str) or not kilt_id.strip():
        raise InputError(f"{where}: 'id' should be a non-empty string, not {str(kilt_id)[:40]!r}.")
    text = _optional(record, "input", str, where, "a string") or ""
    outputs = _optional(record, "output", list, where, "a list of outputs") or []
    item = Item(kilt_id, text, tuple(_output(o, f"{where}: 'output' {i}")
                                     for i, o in enumerate(outputs)))  # fmt: skip
    try:
        "\n".join([kilt_id, text, *item.answers()]).encode("utf-8")
    except UnicodeEncodeError as error:
        bad = error.object[error.start : error.end]
        raise InputError(
            f"{where}: a text holds {bad!r}, half a surrogate pair; repair the line."
        ) from error
    return item


def _output(record: Any, where: str) -> Output:
    if not isinstance(record, Mapping):
        raise InputError(f"{where} should be an object, not {str(record)[:40]!r}.")
    answer = _optional(record, "answer", str, where, "a string")
    places = _optional(record, "provenance", list, where, "a list of places")
    if places is None:
        return Output(answer, None)
    return Output(
        answer,
        tuple(_provenance(place, f"{where}: 'provenance' {i}") for i, place in enumerate(places)),
    )


def _provenance(record: Any, where: str) -> Provenance:
    if not isinstance(record, Mapping):
        raise InputError(f"{where} should be an object, not {str(record)[:40]!r}.")
    score = record.get("bleu_score")
    number = isinstance(score, int | float) and not isinstance(score, bool)
    if score is not None and not (number and abs(score) <= 1):
        raise InputError(
            f"{where}: 'bleu_score' should be a number up to 1, not {str(score)[:40]!r}."
        )
    return Provenance(
        page_id(record.get("wikipedia_id"), where),
        _number(record, "start_paragraph_id", where),
        _number(record, "start_character", where),
        _number(record, "end_paragraph_id", where),
        _number(record, "end_character", where),
        None if score is None else float(score),
    )


def _number(record: Mapping[str, Any], key: str, where: str) -> int | None:
    value = record.get(key)
    if isinstance(value, str) and _INTEGER.fullmatch(value):
        value = int(value)  # KILT's own test files mix "1" and 1
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if value is None or (isinstance(value, int) and not isinstance(value, bool)):
        return value
    raise InputError(f"{where}: {key!r} should be a whole number, not {str(value)[:40]!r}.")


def _optional(record: Mapping[str, Any], key: str, kind: type, where: str, said: str) -> Any:
    value = record.get(key)
    if value is not None and not isinstance(value, kind):
        raise InputError(f"{where}: {key!r} should be {said}, not {str(value)[:40]!r}.")
    return value
