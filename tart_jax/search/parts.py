"""A run that several processes write: each its part of the queries; the first joins them."""

import contextlib
import os
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TypeVar

from tart_jax import distributed, io

T = TypeVar("T")


def mine(items: Sequence[T], block_size: int) -> Sequence[T]:
    """This process's part: whole blocks, so that what is computed together stays together."""
    index, processes = distributed.process()
    blocks = -(-len(items) // block_size)
    begin, end = (blocks * number // processes * block_size for number in (index, index + 1))
    return items[begin:end]


@contextlib.contextmanager
def writing(path: Path, *, whole: bool = False) -> Iterator[Path]:
    """As io.writing, for each process's part of the file; at the end process 0 joins them.

    whole: what each process writes is the whole already; that of process 0 counts.
    """
    index, processes = distributed.process()
    if processes == 1 or (whole and index == 0):
        with io.writing(path) as aside:
            yield aside
        return
    if whole:
        yield Path(os.devnull)
        return
    parts = [
        path.with_name(io.shard_name(path.stem, number, processes, path.suffix))
        for number in range(processes)
    ]
    with io.writing(parts[index]) as aside:
        yield aside
    distributed.barrier(f"{path.name} in parts")
    if index:
        return
    with io.writing(path) as aside, aside.open("wb") as joined:
        for part in parts:
            with part.open("rb") as file:
                shutil.copyfileobj(file, joined)
    for part in path.parent.glob(f"{path.stem}-*-of-*{path.suffix}"):
        part.unlink()  # older ones too, of a search that was killed with other processes
