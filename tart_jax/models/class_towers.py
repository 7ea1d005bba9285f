"""One query tower for each class of tasks beside one document tower, in training and on disk.

Maillard et al. 2021, section 3.2 and Table 6. In training the query tower's parameters have one
more, leading axis: the classes. A batch is of one task, so of one class, and reads one tower; the
others get no gradient from it. On disk each class is an ordinary model of two towers, and all have
the same document tower, so that one index serves them.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np

from tart_jax import io
from tart_jax.types import InputError

FILE = "towers.json"  # task -> the folder of its class
Classes = Mapping[str, tuple[str, ...]]  # class -> its tasks


def parse(words: Sequence[str]) -> dict[str, tuple[str, ...]]:
    """Class -> tasks, of "class=task,task". InputError: another form, a name or a task twice."""
    found: dict[str, tuple[str, ...]] = {}
    for word in words:
        name, mark, rest = word.partition("=")
        tasks = tuple(task.strip() for task in rest.split(",") if task.strip())
        if not name or not mark or not tasks or "/" in name or name in found:
            raise InputError(
                f"config.model.query_towers: {word!r} should look like 'class=task,task', each"
                " class once."
            )
        found[name] = tasks
    every = [task for tasks in found.values() for task in tasks]
    if twice := sorted({task for task in every if every.count(task) > 1}):
        raise InputError(f"config.model.query_towers: the task {twice[0]!r} is in two classes.")
    return found


def numbers(classes: Classes) -> dict[str, int]:
    """Task -> the place of its class on the leading axis."""
    return {task: n for n, tasks in enumerate(classes.values()) for task in tasks}


def stack(params: Mapping[str, Any], count: int) -> dict[str, Any]:
    """Parameters of two towers with `count` copies of the query tower."""
    copies = jax.tree.map(lambda leaf: np.stack([np.asarray(leaf)] * count), params["query"])
    return {**params, "query": copies}


def select(params: Mapping[str, Any], number: Any) -> dict[str, Any]:
    """Those of one class, an ordinary model's. number: an int, traced or not."""
    return {**params, "query": jax.tree.map(lambda leaf: leaf[number], params["query"])}


def folder_of(model: str | Path, task: str) -> str:
    """The model that answers a task: `model`, or the class's folder in it.

    InputError: the model has class towers and none of them is the task's.
    """
    path = Path(model) / FILE
    if not path.is_file():
        return str(model)
    known = io.read_json(path)
    if task not in known:
        raise InputError(f"{path} has no tower for the task {task!r}; it has {', '.join(known)}.")
    return str(Path(model) / known[task])


def refuse(model: str | Path) -> None:
    """InputError: a folder of several models, where one is asked for."""
    path = Path(model) / FILE
    if path.is_file():
        names = dict.fromkeys(io.read_json(path).values())
        raise InputError(f"{model} holds a model for each class of tasks: {', '.join(names)}; name"
                         f" one, such as {Path(model) / next(iter(names))}.")  # fmt: skip


def write(directory: Path, classes: Classes) -> None:
    """The table of tasks beside the classes' folders."""
    record = {task: name for name, tasks in classes.items() for task in tasks}
    io.write_json(directory / FILE, record)
