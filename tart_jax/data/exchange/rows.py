"""Rows with named columns from JSON lines, CSV, TSV and parquet; the only importer of pyarrow."""

import csv
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tart_jax import io
from tart_jax.data.exchange.records import Record, json_records, shown
from tart_jax.types import InputError

LONGEST_CELL = 1 << 24  # characters; csv's own limit, 131,072, is shorter than some documents


def read_rows(path: str | Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """(place, column -> value) of a .csv, .tsv or .parquet file, anything else is JSON.

    JSON rows are objects or arrays; the columns of an array are named "0", "1" and so on.
    """
    suffix = Path(str(path).removesuffix(".gz")).suffix
    if suffix == ".parquet":
        return _parquet(Path(path))
    if suffix in (".csv", ".tsv"):
        return _csv(Path(path), "," if suffix == ".csv" else "\t")
    return _json(path)


def _json(path: str | Path) -> Iterator[tuple[str, dict[str, Any]]]:
    for where, value in json_records(path):
        if isinstance(value, list):
            yield where, {str(index): cell for index, cell in enumerate(value)}
        else:
            yield where, dict(Record(value, where).fields)


def _csv(path: Path, delimiter: str) -> Iterator[tuple[str, dict[str, Any]]]:
    csv.field_size_limit(LONGEST_CELL)
    lines = (line + "\n" for _, line in io.lines(path))
    reader = csv.reader(lines, delimiter=delimiter, strict=True)
    names: list[str] = []
    first = 1  # a quoted cell may hold line ends: a row is named by its first line
    try:
        for cells in reader:
            where, first = f"{path}: line {first}", reader.line_num + 1
            if not names:
                names = [name.strip().lstrip("\ufeff") for name in cells]
                if len(set(names)) < len(names) or "" in names:
                    raise InputError(f"{where} should name every column once, not {shown(cells)}.")
            elif cells:
                if len(cells) != len(names):
                    raise InputError(
                        f"{where} has {len(cells)} cells, the header {len(names)}; quote cells that"
                        " hold the delimiter."
                    )
                yield where, dict(zip(names, cells, strict=True))
    except csv.Error as error:
        raise InputError(f"{path}: the row at line {first} cannot be read ({error}).") from error


def _parquet(path: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    try:
        import pyarrow as arrow
        import pyarrow.parquet as parquet
    except ModuleNotFoundError as error:
        raise InputError(f"{path}: parquet files need pyarrow: pip install pyarrow") from error
    number = 0
    io.existing(path)
    try:
        with parquet.ParquetFile(path) as file:
            for batch in file.iter_batches(batch_size=256):
                for row in batch.to_pylist():
                    number += 1
                    yield f"{path}: record {number}", row
    except (arrow.ArrowException, OSError, ValueError, MemoryError, OverflowError) as error:
        if isinstance(error, InputError):
            raise
        said = " ".join(str(error).split())[:120]
        raise InputError(f"{path}: record {number + 1} cannot be read ({said}).") from error
