"""Our models in the harnesses of others: mteb's encoder and cross-encoder, BEIR's model.

Neither package is imported before one of their harnesses asks for it: `pip install mteb`.

>>> import mteb
>>> from tart_jax.harness import MtebEncoder
>>> model = MtebEncoder("runs/a/model", instructions={"NFCorpus": "Find a medical article."})
>>> mteb.evaluate(model, mteb.get_tasks(tasks=["NFCorpus"]))
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

from tart_jax.api import Reranker, Retriever

FRAMEWORK = "tart_jax"


class _Mteb:
    """What mteb asks of both kinds: instructions by its task's name, and what the model is."""

    def __init__(self, model: Any, source: str | Path, instructions: Any, name: str):
        self._model, self._instructions, self._about = model, instructions, None
        self._name = name or f"{FRAMEWORK}/{Path(str(source)).name.replace(':', '-')}"

    def _instruction(self, task_metadata: Any) -> str:
        given = self._instructions
        return given if isinstance(given, str) else given.get(task_metadata.name, "")

    @property
    def mteb_model_meta(self) -> Any:
        if self._about is None:
            from mteb.models.model_meta import ModelMeta

            about = {
                "name": self._name,
                "revision": self._model.weights_sha256[:40],
                "embed_dim": getattr(self._model.config, "dims", None),
                "similarity_fn_name": "dot",
                "use_instructions": True,
            }
            self._about = ModelMeta.create_empty(overwrites=about)
        return self._about


class MtebEncoder(_Mteb):
    """A dual encoder as mteb's EncoderProtocol (mteb 2).

    instructions: of all tasks, or by mteb's task name; queries read them, documents never do. Where
    a task's queries bring instructions of their own (FollowIR, InstructIR), those are read.
    """

    def __init__(
        self, model: str | Path, *, instructions: str | Mapping[str, str] = "", name: str = ""
    ):
        self.retriever = Retriever.load(model)
        super().__init__(self.retriever.model, model, instructions, name)

    def encode(
        self,
        inputs: Iterable[Mapping[str, Any]],
        *,
        task_metadata: Any,
        hf_split: str = "",
        hf_subset: str = "",
        prompt_type: Any = None,
        **kwargs: Any,
    ) -> Float[np.ndarray, "n d"]:
        """Embeddings of the batches' texts, float32; those of queries with their instruction."""
        if getattr(prompt_type, "value", prompt_type) != "query":
            texts = [text for batch in inputs for text in batch["text"]]
            return np.asarray(self.retriever.encode_documents(texts))
        asked = list(_asked(inputs, self._instruction(task_metadata)))
        found = np.empty((len(asked), self.retriever.model.config.dims), np.float32)
        for instruction in dict.fromkeys(instruction for _, instruction in asked):
            rows = [place for place, pair in enumerate(asked) if pair[1] == instruction]
            queries = [asked[row][0] for row in rows]
            found[rows] = self.retriever.encode_queries(queries, instruction=instruction)
        return found

    def similarity(self, embeddings1: Any, embeddings2: Any) -> Any:
        """Inner products, as a torch tensor, which mteb's search wants."""
        import torch

        one, other = (torch.as_tensor(np.asarray(x)) for x in (embeddings1, embeddings2))
        return torch.atleast_2d(one) @ torch.atleast_2d(other).T

    def similarity_pairwise(self, embeddings1: Any, embeddings2: Any) -> Any:
        """The inner product of each pair."""
        import torch

        one, other = (torch.as_tensor(np.asarray(x)) for x in (embeddings1, embeddings2))
        return (one * other).sum(dim=-1)


class MtebCrossEncoder(_Mteb):
    """A cross-encoder as mteb's CrossEncoderProtocol (mteb 2); see `MtebEncoder`."""

    def __init__(
        self, model: str | Path, *, instructions: str | Mapping[str, str] = "", name: str = ""
    ):
        self.reranker = Reranker.load(model)
        super().__init__(self.reranker.model, model, instructions, name)

    def predict(
        self,
        inputs1: Iterable[Mapping[str, Any]],
        inputs2: Iterable[Mapping[str, Any]],
        *,
        task_metadata: Any,
        hf_split: str = "",
        hf_subset: str = "",
        prompt_type: Any = None,
        **kwargs: Any,
    ) -> Float[np.ndarray, " n"]:
        """The score of each query beside its document."""
        asked = _asked(inputs1, self._instruction(task_metadata))
        documents = (text for batch in inputs2 for text in batch["text"])
        pairs = zip(asked, documents, strict=True)
        scores = [
            self.reranker.scores(query, [text for _, text in some], instruction=instruction)
            for (query, instruction), some in groupby(pairs, key=lambda pair: pair[0])
        ]
        return np.concatenate(scores) if scores else np.zeros(0, np.float32)


class BeirModel:
    """A dual encoder as BEIR's dense search wants it (`DenseRetrievalExactSearch(BeirModel(...))`);
    score_function="dot". instruction: read with every query."""

    def __init__(self, model: str | Path, *, instruction: str = ""):
        self.retriever = Retriever.load(model)
        self._instruction = instruction

    def encode_queries(
        self, queries: Sequence[str], batch_size: int = 0, **kwargs: Any
    ) -> Float[np.ndarray, "n d"]:
        """batch_size is BEIR's own; ours come from the texts' lengths."""
        found = self.retriever.encode_queries(queries, instruction=self._instruction)
        return np.asarray(found)

    def encode_corpus(
        self, corpus: Sequence[Mapping[str, str]], batch_size: int = 0, **kwargs: Any
    ) -> Float[np.ndarray, "n d"]:
        """Of documents {"title", "text"}, read as `title text`."""
        texts = [f"{row.get('title', '')} {row['text']}".strip() for row in corpus]
        return np.asarray(self.retriever.encode_documents(texts))


def _asked(inputs: Iterable[Mapping[str, Any]], instruction: str) -> Iterator[tuple[str, str]]:
    """(query, instruction) of each row of the batches."""
    for batch in inputs:
        own = batch.get("instruction")
        # with instructions of their own, mteb's "text" is both, "query" the query alone
        queries = batch["query"] if own else batch["text"]
        yield from zip(queries, own or [instruction] * len(queries), strict=True)
