"""The tasks of BERRI by name, in the order of the paper's Table 5."""

from collections.abc import Iterable

from tart_jax.data.berri import (
    code,
    dialogue,
    fact_checking,
    headlines,
    paraphrase,
    question_answering,
    science,
    similarity,
    summarization,
    web,
)
from tart_jax.data.berri.task import Task

MODULES = (
    code, dialogue, fact_checking, headlines, paraphrase, question_answering, science, similarity,
    summarization, web,
)  # fmt: skip


def table(tasks: Iterable[Task]) -> dict[str, Task]:
    """Name -> task, by number, those without one last. ValueError: a name or number given twice."""
    by_name: dict[str, Task] = {}
    numbers: set[int | None] = set()
    for task in sorted(tasks, key=lambda task: (task.number is None, task.number or 0, task.name)):
        if task.name in by_name or (task.number in numbers and task.number is not None):
            raise ValueError(f"task {task.name} or its number {task.number} is given twice.")
        by_name[task.name] = task
        numbers.add(task.number)
    return by_name


TASKS: dict[str, Task] = table(task for module in MODULES for task in module.TASKS)
