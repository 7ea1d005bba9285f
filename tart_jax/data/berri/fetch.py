"""The raw files of a task: found in its folder or downloaded, verified by size and checksum."""

import logging
import os
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

from tart_jax import io
from tart_jax.data.berri.task import Origin, Source
from tart_jax.types import InputError

logger = logging.getLogger(__name__)
TIMEOUT = 60  # seconds without an answer or a byte
CHUNK = 1 << 20  # bytes


class Found(NamedTuple):
    """units: the files to convert together, in the order of the sources. sources: for the record,
    file, url, size in bytes and sha256 of each."""

    units: tuple[tuple[Path, ...], ...]
    sources: list[dict[str, Any]]


def missing(task: str, origin: Origin, folder: Path) -> list[Source]:
    """The files of a task that are not in `folder/task`."""
    return [source for source in origin.files if not (folder / task / source.file).is_file()]


def manual(task: str, origin: Origin, folder: Path, lacking: list[Source]) -> str:
    """The sentence that says which files are missing and how to get them by hand."""
    names = ", ".join(source.file for source in lacking[:3]) + (", ..." if lacking[3:] else "")
    return f"task {task}: {names} not in {folder / task}; {origin.manual}"


def find(task: str, origin: Origin, folder: Path, *, download: bool) -> Found:
    """The verified files of a task in `folder/task`; `download` gets those that are missing.

    InputError: a file that is missing (with the way to get it by hand), cannot be downloaded, or
    has another size or checksum than known.
    """
    lacking = missing(task, origin, folder)
    by_hand = [source for source in lacking if not (download and source.url)]
    if by_hand:
        raise InputError(manual(task, origin, folder, by_hand))
    for source in lacking:
        _from_anywhere(task, source, origin, folder / task / source.file)
    units: dict[str, list[Path]] = {}
    sources = []
    for source in origin.files:
        path = folder / task / source.file
        sources.append({"file": source.file, "url": source.url} | _verified(path, source))
        units.setdefault(source.unit, []).append(path)
    return Found(tuple(tuple(paths) for paths in units.values()), sources)


def _verified(path: Path, source: Source) -> dict[str, Any]:
    size = path.stat().st_size
    if source.size is not None and size != source.size:
        raise InputError(
            f"{path} has {size:,} bytes, not the {source.size:,} known for it; remove it and get it"
            " again."
        )
    digest = io.sha256(path)
    if source.sha256 is not None and digest != source.sha256:
        raise InputError(
            f"{path} has the sha256 {digest}, not the {source.sha256} known for it; remove it and"
            " get it again."
        )
    if source.md5 is not None and (found := io.md5(path)) != source.md5:
        raise InputError(
            f"{path} has the md5 {found}, not the {source.md5} known for it; remove it and get it"
            " again."
        )
    return {"size": size, "sha256": digest}


def _from_anywhere(task: str, source: Source, origin: Origin, path: Path) -> None:
    """From its url, or from the first mirror that has it. InputError: of the last one asked."""
    places = [source, *(source._replace(url=mirror) for mirror in source.mirrors)]
    for place, following in zip(places, places[1:], strict=False):
        try:
            return _download(task, place, origin, path)
        except InputError as error:
            logger.warning("%s Now asking %s.", error, following.url)
    _download(task, places[-1], origin, path)


def _download(task: str, source: Source, origin: Origin, path: Path) -> None:
    """Gets a file beside its place, goes on where an earlier try broke off, moves it when whole."""
    import requests  # comes with pooch

    assert source.url is not None
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f"{path.name}.part")
    logger.info("Downloading %s to %s", source.url, path)
    try:
        with part.open("ab") as file:
            _append(source.url, file)
    except (requests.RequestException, OSError) as error:
        kept = f" {part.stat().st_size:,} bytes are kept in {part}, and another run goes on there."
        if not part.stat().st_size:
            part.unlink()
            kept = ""
        said = " ".join(str(error).split())[:200]
        raise InputError(
            f"task {task}: {source.url} could not be downloaded ({said}).{kept} By hand:"
            f" {origin.manual}"
        ) from error
    try:
        _verified(part, source)
    except InputError as error:
        part.unlink()  # nothing to go on from
        raise InputError(
            f"task {task}: {source.url} is not what it was: {error} By hand: {origin.manual}"
        ) from error
    with part.open("rb+") as whole:
        os.fsync(whole.fileno())
    os.replace(part, path)


def _append(url: str, file: BinaryIO) -> None:
    """What `file` lacks of the url's content; all of it where the server knows no ranges."""
    import pooch
    import requests

    begin = os.fstat(file.fileno()).st_size

    def check(response: Any, *args: Any, **kwargs: Any) -> None:
        if begin and response.status_code in (200, 416):
            file.truncate(0)  # all of it comes, or `file` holds as much or more than there is
        page = "text/html" in response.headers.get("content-type", "")
        if page and response.status_code in (200, 206):  # not a redirection's own page
            raise requests.RequestException("the answer is a web page, so the file has moved")

    headers = {"Accept-Encoding": "identity"} | ({"Range": f"bytes={begin}-"} if begin else {})
    get = pooch.HTTPDownloader(
        chunk_size=CHUNK, timeout=TIMEOUT, headers=headers, hooks={"response": check}
    )
    try:
        get(url, file, None)
    except requests.HTTPError as error:
        if not begin or error.response is None or error.response.status_code != 416:
            raise
        _append(url, file)  # the partial file was no beginning of it, and is empty now
