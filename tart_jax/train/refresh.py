"""Negatives mined anew inside training, by the model as it stands (multi-task DPR, 3.2)."""

import json
import logging
from collections.abc import Callable, Iterator, Sequence
from functools import cache
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple, cast

import jax
from jax.sharding import Mesh
from ml_collections import ConfigDict

from tart_jax import config as configs
from tart_jax import io
from tart_jax.data import corpus as corpora
from tart_jax.data import instructions as tables
from tart_jax.data import lookup
from tart_jax.data.batching import Batch
from tart_jax.data.instructions import Order
from tart_jax.data.lookup import ById
from tart_jax.data.mixture import Mixture, reread
from tart_jax.data.sources import JsonlSource
from tart_jax.encode.encoder import Encoder
from tart_jax.index.exact import ExactIndex
from tart_jax.mine import run as mining
from tart_jax.mine.candidates import PLACE, Embedded, QuerySide, found
from tart_jax.models import weights
from tart_jax.models.pretrained import Pretrained
from tart_jax.search.partial import PartialFile
from tart_jax.train.initial import Model
from tart_jax.types import InputError, Query, ScoredDocument

log = logging.getLogger(__name__)


class Feed(NamedTuple):
    """This process's batches from an update on, and the queries of one of them."""

    batches: Callable[[int], Iterator[Batch]]
    query_ids: Callable[[int], list[str]]


BLOCK = 8192  # documents whose texts are in memory at a time
# Options of a mining that the training run decides.
DECIDED = ("examples", "max_per_task", "index", "run", "corpus", "instructions", "overwrite")
INSTRUCTED = "retriever.instructed"  # the only one of the retriever that it does not


class Refresh:
    """Every `every` updates, mines the examples' negatives with the parameters in training.

    Batches come from the newest file from then on. `feed`: the batches of that file, None before
    the first; `used`: its step and SHA-256, which go into every checkpoint. `identity`: what a
    resumed run must share.
    """

    def __init__(
        self,
        *,
        every: int,
        mine: str,
        corpus: str,
        mixture: Mixture,
        model: Model,
        instructions: str,
        mesh: Mesh,
        workdir: Path,
        feed: Callable[[Mixture], Feed],
        made_from: dict[str, Any],
    ):
        """mine: a config file of `tart-jax mine`. corpus: a path, "{task}" stands for the task.

        model: needs no params. instructions: the run's table, or "". feed: the batches of a mixture
        by first update. made_from: the fingerprints of the data. InputError: it does not fit.
        """
        if not isinstance(model, Pretrained):
            raise InputError(
                f"config.refresh.every is {every}, but the objective trains a cross-encoder, which"
                " searches no corpus; set it to 0."
            )
        if jax.process_count() > 1:
            raise InputError(
                f"config.refresh.every is {every}, but there are {jax.process_count()} processes;"
                " a refresh works in one: use tart-jax rounds, or set it to 0."
            )
        if not corpus:
            raise InputError("config.refresh.corpus is missing: the documents that are searched.")
        self._every, self._corpus, self._mixture, self._model = every, corpus, mixture, model
        self._mesh, self._folder, self._feed = mesh, workdir / "refresh", feed
        self._options = _options(mine, instructions)
        self._tasks = _asked(mixture, instructions)
        self._texts = cache(lookup.of_corpus)
        # Made here once, so that what is wrong with the options is said before training.
        made_by = mining.check_options(self._options, self._tasks)
        tasks = [part.task for part in mixture.components]
        paths = {task: self._path(task) for task in mining.corpora(self._options, tasks)}
        scanned = cache(lambda path: corpora.scan(path).fingerprint)
        self.identity = {
            "refresh.every": every,
            "refresh.corpora": {task: scanned(path) for task, path in paths.items()},
            "refresh.teacher": made_by,
            **{f"refresh.mine.{key}": value for key, value in _plain(self._options).items()},
        }
        self._made_from = made_from
        self.feed: Feed | None = None
        self.used: dict[str, Any] | None = None

    def due(self, step: int) -> bool:
        """Whether the batches after update `step` come from a new file."""
        return step > 0 and step % self._every == 0

    def __call__(self, step: int, params: Any) -> None:
        """Mines with these params, or takes what is there already, made from the same."""
        identity = {
            **self._made_from,
            **self.identity,
            "step": step,
            "weights_sha256": weights.params_sha256(params),
        }
        # What an unfinished file holds of other parameters is of no use to anyone.
        partial = PartialFile(self._file(step).parent, identity, name=mining.MINED, overwrite=True)
        if not partial.complete:
            finder = Finder(self._model, params, self._mesh, self._path)
            miner, _ = mining.make_miner(self._options, finder, self._documents, self._tasks)
            views = {part.task: part.examples for part in self._mixture.components}
            mining.write(partial, miner, views, self._options.block_size)
            partial.finish({})
            log.info(
                "Mined %s examples with the model of step %d in %.0f s: %s",
                f"{partial.queries:,}", step, partial.seconds, self._file(step),
            )  # fmt: skip
        self._take(step)

    def restore(self, step: int, saved: dict[str, Any] | None) -> None:
        """Goes on with the file that the checkpoint of `step` names as `saved`.

        At a step that is due the loop mines next, and no file is needed. InputError: it is gone, or
        has changed.
        """
        if saved is None or self.due(step):
            return
        path = self._file(saved["step"])
        if not path.is_file() or io.sha256(path) != saved["sha256"]:
            raise InputError(
                f"{path} {'has changed' if path.is_file() else 'is gone'}, and the checkpoint of"
                f" step {step} goes on with what it was (SHA-256 {saved['sha256'][:12]}); put it"
                " back, or remove the checkpoints after step"
                f" {saved['step']}, so that it is mined again."
            )
        self._take(saved["step"])

    def _take(self, step: int) -> None:
        source = JsonlSource(self._file(step))
        self.used = {"step": step, "sha256": source.fingerprint}
        self.feed = self._feed(reread(self._mixture, source))

    def _file(self, step: int) -> Path:
        return self._folder / f"step-{step}" / mining.MINED

    def _path(self, task: str) -> str:
        return self._corpus.replace(PLACE, task)

    def _documents(self, task: str) -> ById:
        return self._texts(self._path(task))


class Finder:
    """Exact search with parameters in training; a corpus is encoded when it is first asked for."""

    def __init__(self, model: Pretrained, params: Any, mesh: Mesh, path: Callable[[str], str]):
        def encoder(tower: str, length: int) -> Encoder:
            return Encoder.from_parts(
                model.config, params, model.tokenizer, tower=tower, max_length=length, mesh=mesh
            )

        format = model.format
        separator = model.tokenizer.separator if format.separator is None else format.separator
        order = cast(Order, format.instruction_order)
        side = QuerySide(model, encoder("query", format.query_length), order, separator)
        self._path, self._embedded = path, Embedded(side)
        self._document = encoder("document", format.document_length)
        self._title_separator = format.title_separator
        self._indexes: dict[str, tuple[ExactIndex, list[str]]] = {}

    def __call__(
        self, task: str, queries: Sequence[Query], k: int, /
    ) -> list[list[ScoredDocument]]:
        path = self._path(task)
        if path not in self._indexes:
            self._indexes[path] = self._index(path)
        index, doc_ids = self._indexes[path]
        return found(index, doc_ids, self._embedded(queries), k)

    def _index(self, path: str) -> tuple[ExactIndex, list[str]]:
        index, doc_ids = ExactIndex(self._document.dims), list[str]()
        documents = corpora.read_documents(path)
        while block := list(islice(documents, BLOCK)):
            texts = [document.contents(self._title_separator) for document in block]
            index.add(self._document.encode(texts))
            doc_ids += [document.doc_id for document in block]
        return index, doc_ids


def _options(mine: str, instructions: str) -> ConfigDict:
    """The mine config of a refresh. InputError: it sets what the training run decides."""
    options, _ = configs.parse([f"--config={mine}"], stage="mine")
    usual = configs.leaves(configs.load("configs/mine/default.py"))
    for key, value in configs.leaves(options).items():
        decided = key in DECIDED or (key.startswith("retriever.") and key != INSTRUCTED)
        if decided and value != usual[key]:
            raise InputError(
                f"config.refresh.mine={mine} sets {key} to {value!r}, which a refresh takes from"
                f" the training run; leave it at {usual[key]!r}."
            )
    options.instructions = instructions
    return options


def _plain(options: ConfigDict) -> dict[str, Any]:
    """The options that make a difference, as plain JSON."""
    leaves = json.loads(json.dumps(configs.leaves(options)))
    return {key: value for key, value in leaves.items() if key not in DECIDED}


def _asked(mixture: Mixture, instructions: str) -> list[str]:
    """The tasks that the table must know: a task whose examples bring their own may be absent."""
    table = tables.read_table(instructions) if instructions else {}
    tasks = {part.task for part in mixture.components}
    return sorted(mixture.uninstructed | (tasks & set(table)))
