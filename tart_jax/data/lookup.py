"""Documents of a file by their id: 16 bytes a document in memory, the texts stay on disk."""

from array import array
from collections.abc import Callable, Iterable, Iterator, Sequence
from hashlib import blake2b
from pathlib import Path

import numpy as np

from tart_jax import io
from tart_jax.data import corpus
from tart_jax.types import Document, InputError, Query


def _hash(text: str) -> int:
    content = text.encode("utf-8", "surrogatepass")  # JSON can write half a surrogate pair
    return int.from_bytes(blake2b(content, digest_size=8).digest(), "little")


class ById:
    """`ids` in the order of the file, and `fetch`, which gives documents by their position."""

    def __init__(
        self,
        ids: Iterable[str],
        fetch: Callable[[list[int]], dict[int, Document]],
        path: str | Path,
    ):
        self._path = path
        hashes = np.frombuffer(array("Q", map(_hash, ids)), np.uint64)
        self._order = np.argsort(hashes, kind="stable")
        self._sorted = hashes[self._order]
        self._fetch = fetch

    def __len__(self) -> int:
        return len(self._order)

    def get(self, doc_id: str) -> Document | None:
        return self.many([doc_id]).get(doc_id)

    def many(self, doc_ids: Sequence[str]) -> dict[str, Document]:
        """id -> document of those that are there, read in the order of the file."""
        found = self._fetch(sorted({place for places in self._places(doc_ids) for place in places}))
        wanted = set(doc_ids)
        return {
            document.doc_id: document for document in found.values() if document.doc_id in wanted
        }

    def absent(self, doc_ids: Sequence[str]) -> list[str]:
        """The ids that no document can have, told by their hashes; nothing is read."""
        places = self._places(doc_ids)
        return [doc_id for doc_id, found in zip(doc_ids, places, strict=True) if not found]

    def _places(self, doc_ids: Sequence[str]) -> list[list[int]]:
        """The positions whose ids have the same hash: one, but for rare collisions."""
        keys = np.fromiter(map(_hash, doc_ids), np.uint64, len(doc_ids))
        left, right = (np.searchsorted(self._sorted, keys, side) for side in ("left", "right"))
        return [self._order[begin:end].tolist() for begin, end in zip(left, right, strict=True)]

    def at(self, positions: list[int]) -> list[Document]:
        found = self._fetch(positions)
        return [found[position] for position in positions]

    def random(self, count: int, *, seed: int, query_id: str, avoid: set[str]) -> list[Document]:
        """`count` different documents, a function of (seed, query_id); none of the ids `avoid`.

        InputError when the corpus is too small.
        """
        if count + len(avoid) > len(self):
            raise InputError(
                f"{self._path} holds no more than {len(self)} documents: too few for {count} random"
                f" negatives beside {len(avoid)} judged ones; lower random_negatives."
            )
        generator = np.random.default_rng([seed, _hash(query_id)])
        chosen: dict[int, Document] = {}
        tried: set[int] = set()
        while len(chosen) < count and len(tried) < len(self):
            position = int(generator.integers(len(self)))
            if position in tried:
                continue
            tried.add(position)
            document = self.at([position])[0]
            if document.doc_id not in avoid:
                chosen[position] = document
        return list(chosen.values())


def of_corpus(path: str | Path) -> ById:
    """A BEIR or TFDS folder, .jsonl or .tsv; not gzip, which has no random access."""
    file = corpus.corpus_file(path)
    if not file.is_dir():
        refuse_gzip(file)
    ids = (document.doc_id for document in corpus.read_documents(file))
    return ById(ids, corpus.Lookup(file).fetch, file)


def queries_of(path: str | Path) -> dict[str, Query]:
    """query_id -> query, of a BEIR folder or a file of queries."""
    file = corpus.queries_file(path)
    return {query.query_id: query for query in corpus.read_queries(file)}


def byte_lines(path: Path) -> Iterator[tuple[str, int, str]]:
    """(place, offset, line) of the lines that are not blank.

    Lines end at line feeds only: text mode would end one at a lone carriage return in a passage,
    and offsets would be others than numbers of lines.
    """
    refuse_gzip(io.existing(path))
    begin = 0
    with path.open("rb") as file:
        for number, line in enumerate(file, start=1):
            where = f"{path}: line {number}"
            try:
                text = line.decode("utf-8").rstrip("\r\n")
            except UnicodeDecodeError as error:
                raise InputError(
                    f"{where} is not UTF-8 ({error.reason}); convert the file to UTF-8."
                ) from error
            if text.strip():
                yield where, begin, text
            begin += len(line)


def line_at(path: Path, begin: int) -> str:
    with path.open("rb") as file:
        file.seek(begin)
        return file.readline().decode("utf-8").rstrip("\r\n")


def refuse_gzip(file: Path) -> None:
    if file.is_dir():
        raise InputError(f"{file} is a folder where a file was expected.")
    if io.is_gzip(file):
        raise InputError(
            f"{file} is gzip, which has no random access; unpack it once: gunzip -k {file}"
        )
