"""Raw source files as rows: JSON lines, CSV, TSV; plain, gzip'd, or members of a zip archive."""

import contextlib
import csv
import errno
import fnmatch
import gzip
import json
import shutil
import struct
import tempfile
import zipfile
import zlib
from collections.abc import Generator, Iterator
from pathlib import Path, PurePosixPath
from typing import Any

from tart_jax import io
from tart_jax.types import InputError

Rows = Iterator[tuple[int, Any]]  # (line number from 1, record)


def members(path: Path, pattern: str = "*") -> Generator[Path, None, None]:
    """The file itself; of a zip archive each member whose name matches, unpacked in its turn.

    The unpacked file is gone when the next is asked for. InputError when the archive is broken or
    holds no such member.
    """
    with io.existing(path).open("rb") as file:
        if file.read(4) != b"PK\x03\x04":
            yield path
            return
    with contextlib.ExitStack() as stack:
        with _broken_zip_refused(path):
            archive = stack.enter_context(zipfile.ZipFile(path))
        names = [name for name in sorted(archive.namelist()) if _wanted(name, pattern)]
        if not names:
            raise InputError(f"{path} holds no member like {pattern!r}; is it the right file?")
        # the folder's name tells the archive in the readers' errors
        folder = stack.enter_context(tempfile.TemporaryDirectory(prefix=f"{path.name}-"))
        for name in names:
            # the last part alone: a member's name must not lead out of the folder
            unpacked = Path(folder) / PurePosixPath(name).name
            with _broken_zip_refused(path):
                with archive.open(name) as source, unpacked.open("wb") as target:
                    shutil.copyfileobj(source, target)
            yield unpacked
            unpacked.unlink()


def _wanted(name: str, pattern: str) -> bool:
    file = not name.endswith("/") and PurePosixPath(name).name not in ("", "..")
    # __MACOSX: what a Mac adds to every archive
    return file and not name.startswith("__MACOSX/") and fnmatch.fnmatchcase(name, pattern)


@contextlib.contextmanager
def _broken_zip_refused(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno != errno.EINVAL:  # a seek to before the file's start, by a wrong offset
            raise
        raise InputError(f"{path} is a broken zip archive; download it again.") from error
    except (
        zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError, ValueError,
        struct.error,
    ) as error:  # fmt: skip
        raise InputError(f"{path} is a broken zip archive ({error}); download it again.") from error


def json_lines(path: Path) -> Rows:
    """(line number, JSON value) of each line that is not blank."""
    for number, line in io.lines(path):
        if not line.strip():
            continue
        try:
            record = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise InputError(
                f"{path}: line {number} is not JSON ({error}): {line[:80]!r}."
            ) from error
        yield number, record


def holds_json(path: Path) -> bool:
    """Whether the first line that is not blank begins like a JSON list or object."""
    for _, line in io.lines(path):
        if line.strip():
            return line.lstrip("\ufeff \t")[:1] in ("[", "{")
    return False


def tsv_rows(path: Path) -> Iterator[tuple[int, list[str]]]:
    """(line number, cells) of each line that is not empty; quotes mean nothing."""
    for number, line in io.lines(path):
        if line:
            yield number, line.split("\t")


def csv_rows(path: Path) -> Iterator[tuple[int, list[str]]]:
    """(line number where the row ends, cells); a quoted cell may hold line ends.

    A quote that never closes is an InputError, as is text that is not UTF-8.
    """
    csv.field_size_limit(2**31 - 1)  # the module's own limit, 131,072, is shorter than articles
    opener = gzip.open if io.is_gzip(io.existing(path)) else open
    # utf-8-sig: spreadsheets put a byte order mark before the first cell
    with opener(path, "rt", encoding="utf-8-sig", newline="") as file:
        reader = csv.reader(file, strict=True)
        try:
            for row in reader:
                if row:
                    yield reader.line_num, row
        except csv.Error as error:
            raise InputError(
                f"{path}: line {reader.line_num} is not CSV ({error}); was it cut?"
            ) from error
        except UnicodeDecodeError as error:
            raise InputError(
                f"{path}: line {reader.line_num + 1} or later is not UTF-8"
                f" ({error.reason}); convert the file to UTF-8."
            ) from error
        except (EOFError, gzip.BadGzipFile, zlib.error) as error:
            raise InputError(
                f"{path}: the gzip stream ends early or is broken after line"
                f" {reader.line_num} ({error})."
            ) from error
