"""Builds a KILT folder: passages of the knowledge source, training examples and dev sets of tasks.

Layout: corpus.jsonl (BEIR fields, and each passage's place in its page), passages.npy and pages.npy
(`mapping.PassageTable`), train/<task>.jsonl, dev/<task>/ in BEIR layout, kilt.json with the counts
of each part and what it was made of. A part whose making is recorded there is left as it is; one
made of other files or options is made anew.
"""

import json
import logging
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, get_args

from tart_jax import io
from tart_jax.data.kilt import layout, tasks
from tart_jax.data.kilt.knowledge_source import PUBLISHED_PAGES, read_pages
from tart_jax.data.kilt.layout import TaskFile
from tart_jax.data.kilt.mapping import PassageTable
from tart_jax.data.kilt.passages import PUBLISHED_PASSAGES, Chunking
from tart_jax.data.kilt.queries import Forms
from tart_jax.tables import Table
from tart_jax.types import InputError

logger = logging.getLogger(__name__)

KIND = "tart_jax kilt"
VERSION = 1  # of what is written; parts of another version are made anew
STATE = "kilt.json"
URL = "http://dl.fbaipublicfiles.com/KILT"

Files = Mapping[str, str | Path] | Sequence[str]


def run(
    workdir: Path,
    *,
    knowledge_source: str | Path,
    tasks: Files = (),
    dev_tasks: Files = (),
    triviaqa_inputs: Sequence[str | Path] = (),
    chunking: str = "words",
    words: int = 100,
    cross_sections: bool = True,
    bleu: float = 0.5,
    num_negatives: int = 1,
    dev_documents: int = 10_000,
    question_suffix: str = "?",
    mention_words: int = 64,
    dialogue_turns: int = 0,
    slot_separator: str = "[SEP]",
    mention_marks: Sequence[str] = ("[START_ENT]", "[END_ENT]"),
    turn_separator: str = "\n",
    seed: int = 0,
    max_pages: int = 0,
    max_items: int = 0,
) -> Table:
    """Builds what is not yet there, and returns a table of all counts.

    tasks, dev_tasks: name -> file, or "name=file" each. words: of a passage; tokens where chunking
    is "sentences". The same files and options give the same bytes.
    InputError: a bad option or file, before anything is written where it can be told so early.
    """
    forms = _forms(question_suffix, mention_words, dialogue_turns, slot_separator, mention_marks,
                   turn_separator)  # fmt: skip
    least = {"words": (words, 1), "num_negatives": (num_negatives, 0), "max_items": (max_items, 0),
             "dev_documents": (dev_documents, 0), "max_pages": (max_pages, 0)}  # fmt: skip
    _check(chunking, bleu, least)
    parts = {"train": _task_files(tasks, "tasks"), "dev": _task_files(dev_tasks, "dev_tasks")}
    inputs = _inputs(parts, triviaqa_inputs)
    source = _source(knowledge_source)
    building = _Building(workdir)
    corpus = building.corpus(
        source, chunking=chunking, words=words, cross_sections=cross_sections, max_pages=max_pages
    )
    made_of = {"forms": asdict(forms), "bleu": bleu, "seed": seed, "max_items": max_items}
    made_of |= {"triviaqa_inputs": list(map(_stamp, triviaqa_inputs))}
    extra = {"train": ("num_negatives", num_negatives), "dev": ("dev_documents", dev_documents)}
    for kind, files in parts.items():
        for task, path in files.items():
            file = TaskFile(task, path, forms, bleu, seed, inputs if task == "triviaqa" else {},
                            max_items)  # fmt: skip
            building.task(kind, file, extra[kind], made_of)
    return summary(building.parts, whole=not corpus["cut"])


class _Building:
    """The folder, and the record of its finished parts."""

    def __init__(self, folder: Path):
        self.folder = folder
        state = io.read_json(folder / STATE) if (folder / STATE).exists() else {}
        ours = isinstance(state, dict) and state.get("kind") == KIND
        if not ours and any((folder / name).exists() for name in (STATE, "corpus.jsonl")):
            raise InputError(
                f"{folder} holds a corpus that this builder did not write; name another folder."
            )
        same = ours and state.get("version") == VERSION
        self.parts: dict[str, Any] = state.get("parts", {}) if same else {}
        _remove_leftovers(folder)
        self._write()

    def _write(self) -> None:
        io.write_json(self.folder / STATE, {"kind": KIND, "version": VERSION, "parts": self.parts})

    def _make(
        self, name: str, made_of: dict[str, Any], files: Sequence[str], make: Callable[[], dict]
    ) -> dict[str, Any]:
        """The record of a part, made if there is none of the same making."""
        made_of = json.loads(json.dumps(made_of))  # as kilt.json gives it back: lists, no tuples
        found = self.parts.get(name, {})
        present = all((self.folder / file).exists() for file in files)
        if present and found.get("made_of") == made_of:
            logger.info("%s is finished and left as it is", name)
            return found
        if self.parts.pop(name, None) is not None:
            self._write()  # a part that is being replaced is not finished, should this end early
        self.parts[name] = make() | {"made_of": made_of}
        self._write()
        return self.parts[name]

    def corpus(
        self, source: Path, *, chunking: Any, words: int, cross_sections: bool, max_pages: int
    ) -> dict[str, Any]:
        made_of = {"source": _stamp(source), "chunking": chunking, "words": words,
                   "cross_sections": cross_sections, "max_pages": max_pages}  # fmt: skip

        def make() -> dict[str, Any]:
            pages = read_pages(source, max_pages=max_pages)
            counts = layout.write_corpus(
                self.folder, pages, source=source, chunking=chunking, size=words,
                cross_sections=cross_sections,
            )  # fmt: skip
            counts["cut"] = 0 < max_pages == counts["pages"]
            return counts

        record = self._make("corpus", made_of, layout.CORPUS_FILES, make)
        self._remove_parts_of_another_corpus(record["fingerprint"])
        _log_corpus(record, chunking)
        return record

    def _remove_parts_of_another_corpus(self, fingerprint: str) -> None:
        """Their ids would name passages of this one that hold other texts."""
        for name, part in list(self.parts.items()):
            if name != "corpus" and part["made_of"]["corpus"] != fingerprint:
                logger.info("%s was made of another corpus and is removed", name)
                _remove(self._target(name))
                del self.parts[name]
        self._write()

    def _target(self, name: str) -> Path:
        return self.folder / (f"{name}.jsonl" if name.startswith("train/") else name)

    def task(
        self, kind: str, file: TaskFile, extra: tuple[str, int], options: Mapping[str, Any]
    ) -> None:
        name = f"{kind}/{file.task}"
        target = self._target(name)
        made_of = {"file": _stamp(file.path), "corpus": self.parts["corpus"]["fingerprint"],
                   **options, extra[0]: extra[1]}  # fmt: skip

        def make() -> dict[str, Any]:
            with PassageTable(self.folder) as table:
                write = layout.write_train if kind == "train" else layout.write_dev
                return write(target, file, table, extra[1])

        record = self._make(name, made_of, [str(target.relative_to(self.folder))], make)
        published = getattr(tasks.TASKS[file.task], kind)
        logger.info(
            "%s: %s lines (published: %s), %s kept, provenances dropped: %s",
            name, f"{record['lines']:,}", f"{published:,}", f"{record['kept']:,}",
            record["dropped provenances"] or "none",
        )  # fmt: skip


def summary(parts: Mapping[str, Any], *, whole: bool) -> Table:
    """A row for each task file; the corpus and the reasons of drops in the note."""
    header = ["part", "lines", "published", "kept", "no provenance", "no passage", "no answer",
              "provenances", "dropped"]  # fmt: skip
    rows, reasons = [], dict[str, int]()
    for name, part in parts.items():
        kind, _, task = name.partition("/")
        if not task:
            continue
        dropped = part["dropped provenances"]
        for reason, count in dropped.items():
            reasons[reason] = reasons.get(reason, 0) + count
        figures = [
            part["lines"], getattr(tasks.TASKS[task], kind), part["kept"],
            part["without provenance"], part["without a passage"], part["without answers"],
            part["provenances"], sum(dropped.values()),
        ]  # fmt: skip
        rows.append([name, *(f"{figure:,}" for figure in figures)])
    corpus = parts["corpus"]
    chunking = corpus["made_of"]["chunking"]
    note = (
        f"Corpus: {corpus['pages']:,} pages (published: {PUBLISHED_PAGES:,}),"
        f" {corpus['passages']:,} passages (published: {PUBLISHED_PASSAGES[chunking]:,})"
        f"{'' if whole else '; cut by max_pages'}. Pages without a passage:"
        f" {corpus['pages without a passage']:,}. Provenances dropped:"
        f" {', '.join(f'{count:,} {reason}' for reason, count in reasons.items()) or 'none'}."
    )
    return Table("KILT", header, rows, note)


def _log_corpus(record: Mapping[str, Any], chunking: str) -> None:
    figures = f"{record['pages']:,} pages, {record['passages']:,} passages"
    if record["cut"]:
        logger.info("corpus: %s; cut by max_pages", figures)
    else:
        logger.info("corpus: %s; published: %s and %s", figures, f"{PUBLISHED_PAGES:,}",
                    f"{PUBLISHED_PASSAGES[chunking]:,}")  # fmt: skip


def _forms(
    suffix: str, words: int, turns: int, slot: str, marks: Sequence[str], turn: str
) -> Forms:
    if len(marks) != 2 or isinstance(marks, str):
        raise InputError(f"mention_marks should be two texts, not {marks!r}.")
    for name, value in (("mention_words", words), ("dialogue_turns", turns)):
        if value < 0:
            raise InputError(f"{name} is {value}; it should be 0 (all) or more.")
    return Forms(suffix, words, turns, slot, (marks[0], marks[1]), turn)


def _check(chunking: str, bleu: float, least: Mapping[str, tuple[int, int]]) -> None:
    if chunking not in get_args(Chunking):
        raise InputError(f"chunking {chunking!r} is not one of {', '.join(get_args(Chunking))}.")
    if not 0 <= bleu <= 1:
        raise InputError(f"bleu is {bleu}; a BLEU score lies between 0 and 1.")
    for name, (value, smallest) in least.items():
        if value < smallest:
            raise InputError(f"{name} is {value}; it should be {smallest} or more.")


def _task_files(files: Files, key: str) -> dict[str, Path]:
    """Task -> existing file, or an InputError that names the key."""
    pairs = files.items() if isinstance(files, Mapping) else [_pair(text, key) for text in files]
    found: dict[str, Path] = {}
    for name, path in pairs:
        task = tasks.require_task(name)
        if name in found:
            raise InputError(f"{key} names the task {name!r} twice.")
        if key == "tasks" and task.train is None:
            raise InputError(f"{key}: {name!r} has no training file; name it in dev_tasks.")
        found[name] = io.existing(path, f"{key}, {name}:")
    return found


def _pair(text: str, key: str) -> tuple[str, str]:
    name, mark, path = text.partition("=")
    if not (mark and path):
        raise InputError(
            f"{key} should hold 'task=file', such as 'nq=nq-train-kilt.jsonl', not {text!r}."
        )
    return name, path


def _inputs(parts: Mapping[str, Mapping[str, Path]], paths: Sequence[str | Path]) -> dict[str, str]:
    wanted = any("triviaqa" in files for files in parts.values())
    return tasks.triviaqa_inputs(paths) if wanted else {}


def _source(path: str | Path) -> Path:
    if not str(path):
        raise InputError(
            "knowledge_source is empty; it names the file kilt_knowledgesource.json (35 GB,"
            f" {URL}/kilt_knowledgesource.json)."
        )
    return io.existing(path, "knowledge_source")


def _stamp(path: str | Path) -> dict[str, Any]:
    """What tells a file from a changed one without reading its 35 GB."""
    stat = io.existing(path).stat()
    return {"name": Path(path).name, "bytes": stat.st_size, "modified_ns": stat.st_mtime_ns}


def _remove_leftovers(folder: Path) -> None:
    """What a killed run could not remove itself."""
    for place in (folder, folder / "train", folder / "dev"):
        for path in place.glob(".*.tmp") if place.is_dir() else ():
            _remove(path)


def _remove(path: Path) -> None:
    shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)
