"""Raw files written by hand, converted by their task."""

from collections import Counter

import pytest

from tart_jax.data.berri.task import Dropped
from tart_jax.data.berri.tasks import TASKS


@pytest.fixture
def converted(tmp_path):
    """(task name, file name -> content) -> (instances and texts, reason -> number of drops)."""

    def convert(name: str, files: dict[str, str | bytes]):
        for file, content in files.items():
            (tmp_path / file).write_bytes(
                content if isinstance(content, bytes) else content.encode("utf-8")
            )
        made = list(TASKS[name].convert(tuple(tmp_path / file for file in files)))
        kept = [one for one in made if not isinstance(one, Dropped)]
        return kept, dict(Counter(one.reason for one in made if isinstance(one, Dropped)))

    return convert
