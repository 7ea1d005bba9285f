"""Six retrieval tasks over Python: the query says what about, the instruction what kind.

A subject is one function (or a few of one module that share a summary) or one section of the
language reference. Four tasks ask about a function with the same words, so that only the
instruction tells which of its documents is wanted; a fifth asks with its code, which is itself a
document of the first.
"""

import hashlib
import random
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from tart_jax.data.duplicates import find_repeats
from tart_jax.data.examples import TrainingExample
from tart_jax.data.python_sources import Function, Module
from tart_jax.data.python_topics import Section
from tart_jax.types import Document

SHARED_QUERY_TASKS = ("implementation", "signature", "documentation", "overview")
PROSE_TASKS = ("documentation", "overview")  # alike in form, apart in intent
TASKS = (*SHARED_QUERY_TASKS, "description", "reference")
FUNCTION_TASKS = TASKS[:-1]

SUMMARY_WORDS = range(4, 41)
SHORTEST_PROSE = 80  # characters of a documentation or overview document
MOST_POSITIVES = 4  # a summary shared by more functions of one module names none of them
MOST_HARD = 4
MOST_UNFOLLOWING = 5
VAGUE = re.compile(
    r"(see|same as|like|deprecated|internal|overrid\w+|override|todo|xxx)\b", re.IGNORECASE
)
CALL = re.compile(
    r"[\w.]+\(.*?\)\s*(?:$|-|=|:)|[\w.]+\([^)]*$"
)  # a signature where a sentence should be


@dataclass(frozen=True)
class Subject:
    """What queries ask about, with the query and the documents of each task it can serve."""

    key: str
    module: str  # hard negatives come from the same module
    summary: str  # the query's words, without the module's name
    queries: dict[str, str]
    documents: dict[str, tuple[Document, ...]]

    def query_id(self, task: str) -> str:
        """No document's id: a hit with the query's own id is taken for the query itself (BEIR)."""
        return f"{task}/{self.key}?"

    def tasks(self) -> tuple[str, ...]:
        return tuple(task for task in TASKS if task in self.queries and self.documents.get(task))

    def complete(self) -> bool:
        """Every function task can be asked of it (any section of the reference is complete)."""
        return len(self.tasks()) == (1 if "reference" in self.queries else len(FUNCTION_TASKS))


def digest(*parts: object) -> bytes:
    """A seeded order that no hash seed and no path changes."""
    return hashlib.sha256("\0".join(map(str, parts)).encode()).digest()


def contains(text: str, query: str) -> bool:
    """Whether the text holds the query verbatim, but for case, spaces, quotes and final stop."""
    return _plain(query) in _plain(text)


def _plain(text: str) -> str:
    return " ".join(re.sub(r"[\"'`*]", "", text.lower()).split()).rstrip(".")


def function_subjects(module: Module, drops: Counter[str]) -> list[Subject]:
    """The subjects of a module; `drops` counts functions and documents left out, by reason."""
    groups: dict[str, list[Function]] = defaultdict(list)
    for function in module.functions:
        reason = _unfit(function.summary)
        if reason:
            drops[reason] += 1
        else:
            groups[_plain(function.summary)].append(function)
    subjects = []
    for functions in groups.values():
        if len(functions) > MOST_POSITIVES:
            drops["summary_of_many_functions"] += len(functions)
        else:
            subjects.append(_function_subject(module, functions, drops))
    return subjects


def _unfit(summary: str) -> str:
    if len(summary.split()) not in SUMMARY_WORDS:
        return "summary_too_short" if len(summary.split()) < 4 else "summary_too_long"
    if CALL.match(summary):
        return "summary_is_a_signature"
    return "summary_vague" if VAGUE.match(summary) else ""


def _function_subject(
    module: Module, functions: Sequence[Function], drops: Counter[str]
) -> Subject:
    name, summary = module.name, functions[0].summary
    key = f"{name}.{functions[0].name}"
    found: dict[str, list[Document]] = {task: [] for task in FUNCTION_TASKS}
    for function in functions:
        path = f"{name}.{function.name}"
        if function.source:
            found["implementation"].append(
                Document(f"implementation/{path}", function.source, name)
            )
        else:
            drops["body_too_short"] += 1
        found["signature"].append(Document(f"signature/{path}", function.signature))
        if len(function.details) >= SHORTEST_PROSE:
            found["documentation"].append(Document(f"documentation/{path}", function.details, name))
        else:
            drops["details_too_short"] += 1
        found["overview"] += _overviews(module, function)
    found["description"].append(Document(f"description/{key}", summary))
    queries = dict.fromkeys(SHARED_QUERY_TASKS, f"{name}: {summary.rstrip('.')}")
    documents = {
        task: tuple(dict.fromkeys(found[task]))[:MOST_POSITIVES] for task in FUNCTION_TASKS
    }
    for task in SHARED_QUERY_TASKS:
        documents[task] = _without_query(documents[task], summary, drops)
    code = functions[0].source
    if code and contains(code, summary):  # a comment repeats the docstring
        drops["query_contains_positive"] += 1
    elif code:
        queries["description"] = code
    return Subject(
        key, name, summary, queries, {task: docs for task, docs in documents.items() if docs}
    )


def _without_query(
    documents: Iterable[Document], query: str, drops: Counter[str]
) -> tuple[Document, ...]:
    kept = tuple(document for document in documents if not contains(document.contents(), query))
    drops["positive_contains_query"] += len(tuple(documents)) - len(kept)
    return kept


def _overviews(module: Module, function: Function) -> list[Document]:
    """The docstrings of the classes around a function, innermost first, then that of its module."""
    label, found = function.name, []
    while label:
        label = label.rpartition(".")[0]
        text = module.overviews.get(label, "")
        if len(text) >= SHORTEST_PROSE:
            path = f"{module.name}.{label}".rstrip(".")
            found.append(Document(f"overview/{path}", text, module.name))
    return found


def section_subjects(sections: Iterable[Section], drops: Counter[str]) -> list[Subject]:
    """One subject a section of the language reference; its module is its topic."""
    subjects = []
    for section in sections:
        name = "-".join(re.findall(r"\w+", section.label))
        key = f"{section.topic}.{name}"
        documents = [
            Document(f"reference/{key}-{number}", text)
            for number, text in enumerate(section.chunks, start=1)
        ]
        kept = _without_query(documents, section.label, drops)
        if kept:
            subject = Subject(
                key, section.topic, section.label, {"reference": section.label}, {"reference": kept}
            )
            subjects.append(subject)
    return subjects


def in_order(subjects: Iterable[Subject], seed: int) -> list[Subject]:
    """Complete subjects first, one of each module in turn: the order in which every cap counts.

    So a capped set holds the same functions for all tasks, and no module rules it (tkinter has
    700 functions).
    """
    by_module: dict[str, list[Subject]] = defaultdict(list)
    for subject in subjects:
        by_module[subject.module].append(subject)
    ranked = []
    for members in by_module.values():
        members.sort(key=lambda subject: (not subject.complete(), digest(seed, subject.key)))
        ranked += [
            (not s.complete(), rank, digest(seed, s.key), s) for rank, s in enumerate(members)
        ]
    return [subject for *_, subject in sorted(ranked, key=lambda row: row[:3])]


def merge_equal_documents(subjects: Sequence[Subject]) -> list[Subject]:
    """Equal documents of a task get one id (the first): no copy counts as a wrong answer."""
    first: dict[tuple[str, str, str], Document] = {}
    merged = []
    for subject in subjects:
        documents = {
            task: tuple(
                dict.fromkeys(
                    first.setdefault((task, document.title, _plain(document.text)), document)
                    for document in found
                )
            )
            for task, found in subject.documents.items()
        }
        merged.append(replace(subject, documents=documents))
    return merged


def texts_of(subject: Subject) -> list[str]:
    """Every text of a subject that training or evaluation would show a model."""
    documents = [document.text for found in subject.documents.values() for document in found]
    return [subject.summary, *subject.queries.values(), *documents]


def without_repeats(
    training: Sequence[Subject], held_out: Iterable[Subject], *, threshold: float
) -> tuple[list[Subject], dict[str, int]]:
    """Training subjects without the texts that repeat a held-out one, and the counts."""
    texts = list(dict.fromkeys(text for subject in training for text in texts_of(subject)))
    known = [text for subject in held_out for text in texts_of(subject)]
    repeats = find_repeats(texts, known, threshold=threshold)
    flagged = {texts[position] for position in repeats.equal | repeats.near}
    kept, lost = [], Counter[str]()
    for subject in training:
        said = subject.summary in flagged
        queries = {
            task: query
            for task, query in subject.queries.items()
            if query not in flagged and not (said and task != "description")
        }
        documents = {
            task: tuple(document for document in found if document.text not in flagged)
            for task, found in subject.documents.items()
        }
        left = replace(
            subject,
            queries=queries,
            documents={t: found for t, found in documents.items() if found},
        )
        lost.update(set(subject.tasks()) - set(left.tasks()))
        kept.append(left)
    counts = {"equal_texts": len(repeats.equal), "near_equal_texts": len(repeats.near)}
    return kept, counts | {f"{task}_examples": lost[task] for task in TASKS}


def training_examples(
    subjects: Sequence[Subject], *, max_per_task: int | None, num_negatives: int, seed: int
) -> list[TrainingExample]:
    """At most `max_per_task` examples of each task, the tasks mixed; negatives as TART names them.

    Unfollowing: the same subject's documents of other tasks. Hard: other documents of the task from
    the same module. Random: documents of the task from the whole training corpus.
    """
    pool: dict[str, list[Document]] = {}
    near: dict[tuple[str, str], list[Document]] = {}
    for task in TASKS:
        pool[task] = list(dict.fromkeys(d for s in subjects for d in s.documents.get(task, ())))
        grouped: dict[str, dict[Document, None]] = defaultdict(dict)
        for subject in subjects:
            grouped[subject.module].update(dict.fromkeys(subject.documents.get(task, ())))
        near |= {(task, module): list(found) for module, found in grouped.items()}
    examples = []
    for task in TASKS:
        for subject in [s for s in subjects if task in s.tasks()][:max_per_task]:
            rng = random.Random(f"{seed} {task} {subject.key}")
            # People will not name the module; a model that always saw it takes its lack for a task.
            bare = task in SHARED_QUERY_TASKS and digest(seed, "bare", subject.key)[0] % 2 == 0
            positives = subject.documents[task]
            hard = sample(near[task, subject.module], MOST_HARD, positives, rng)
            # Every kind once before any kind twice.
            others = [d for t in TASKS if t != task for d in subject.documents.get(t, ())[:1]]
            others += [d for t in TASKS if t != task for d in subject.documents.get(t, ())[1:]]
            examples.append(
                TrainingExample(
                    task,
                    subject.query_id(task),
                    subject.summary if bare else subject.queries[task],
                    positives,
                    sample(pool[task], num_negatives, positives, rng),
                    hard,
                    tuple(others[:MOST_UNFOLLOWING]),
                )
            )
    return sorted(examples, key=lambda example: digest(seed, example.query_id))


def sample(
    documents: Sequence[Document], size: int, excluded: Sequence[Document], rng: random.Random
) -> tuple[Document, ...]:
    """Up to `size` distinct documents, none of the excluded; few draws however large the list."""
    drawn = rng.sample(documents, min(len(documents), size + len(excluded)))
    return tuple(document for document in drawn if document not in excluded)[:size]
