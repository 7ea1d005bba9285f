"""Hugging Face `datasets`, where installed: a folder of `save_to_disk` or a data set of the hub."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from tart_jax.data.exchange import pairs
from tart_jax.data.exchange.records import Item
from tart_jax.types import InputError


def read(
    path: str | Path,
    *,
    task: str,
    split: str = "train",
    query: str = "",
    positive: str = "",
    negatives: Sequence[str] = (),
    label: str = "",
    threshold: float = 0.5,
) -> Iterator[Item]:
    """Rows as `pairs` takes them; a data set of the hub is streamed."""
    columns = pairs.Columns(query, positive, tuple(negatives), label)
    return pairs.from_rows(_rows(str(path), split), task, columns, threshold)


def _rows(path: str, split: str) -> Iterator[tuple[str, Mapping[str, Any]]]:
    try:
        import datasets
    except ModuleNotFoundError as error:
        raise InputError(
            f"{path}: Hugging Face data sets need the package datasets: pip install datasets"
        ) from error
    try:
        if Path(path).is_dir():
            loaded = datasets.load_from_disk(path)
            rows = loaded[split] if isinstance(loaded, datasets.DatasetDict) else loaded
        else:
            rows = datasets.load_dataset(path, split=split, streaming=True)
        for number, row in enumerate(rows, start=1):
            yield f"{path}: record {number}", row
    except (OSError, ValueError, KeyError) as error:  # what datasets raises on bad names and files
        if isinstance(error, InputError):
            raise
        raise InputError(f"{path}, split {split!r}, cannot be read ({error}).") from error
