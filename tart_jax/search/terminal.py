"""Queries typed in the terminal, hits printed there."""

import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.markup import escape

from tart_jax.data import corpus, lookup
from tart_jax.encode.encoder import Encoder
from tart_jax.index.store import StoredIndex
from tart_jax.search.retrieve import Hit, rank
from tart_jax.types import Document, InputError, Query

HELP = (
    "Type a query; '/instruction TEXT' sets the instruction, '/instruction' drops it, '/quit' ends."
)
PREFIXES = ("/instruction", "instruction:")


class Session:
    """Answers queries one at a time; `options` go to `rank`."""

    def __init__(
        self,
        stored: StoredIndex,
        encoder: Encoder | None,
        corpus_path: str,
        options: dict[str, Any],
        console: Console,
    ):
        self._stored, self._encoder, self._console = stored, encoder, console
        self._options = dict(options)
        # The corpus that was encoded may have moved or gone; hits then show their ids alone.
        recorded = stored.description["corpus"]
        path = corpus_path or (recorded if Path(recorded).exists() else "")
        # Positions are those of the whole corpus, unless the index holds a part of it.
        part = bool(stored.description.get("prefix"))
        self._texts = corpus.Lookup(path) if path and not part else None
        self._by_id = lookup.of_corpus(path) if path and part else None

    def loop(self, read_line: Callable[[], str], *, asks: bool) -> None:
        """Reads queries until the input ends ("") or says /quit; asks: prompts, for a terminal."""
        if asks:
            self._console.print(HELP, style="dim", markup=False)
        while True:
            if asks:
                self._console.print("[bold]query>[/bold] ", end="")
            try:
                line = read_line()
            except KeyboardInterrupt:
                break
            if not line or line.strip() in ("/quit", "/exit"):
                break
            if line.strip():
                self.handle(line.strip())
            sys.stdout.flush()

    def handle(self, line: str) -> None:
        """One line: an instruction to keep, or a query."""
        for prefix in PREFIXES:
            if line.startswith(prefix):
                self._options["instruction"] = line.removeprefix(prefix).strip()
                said = self._options["instruction"] or "none"
                self._console.print(f"instruction: {said}", style="dim", markup=False)
                return
        self.answer(line)

    def answer(self, text: str) -> list[Hit]:
        """Prints the hits of one query and returns them."""
        stored = self._stored
        query = Query("query", text)
        answers = rank(self._encoder, stored.index, stored.doc_ids, [query], **self._options)
        (_, hits) = next(iter(answers))
        documents = self._documents(hits)
        for place, (hit, document) in enumerate(zip(hits, documents, strict=True), 1):
            self._console.print(
                f"{place:3} [bold]{hit.score:8.4f}[/bold]  [cyan]{escape(hit.doc_id)}[/cyan]"
                f"  [bold]{escape(document.title)}[/bold]"
            )
            if document.text:
                snippet = " ".join(document.text.split())
                width = max(self._console.width - 14, 20)
                self._console.print(f"{'':14}{snippet[:width]}", markup=False, no_wrap=True)
        if not hits:
            self._console.print("no document matches.")
        return hits

    def _documents(self, hits: Sequence[Hit]) -> list[Document]:
        """The hits' texts; bare ids where there is no corpus."""
        bare = [Document(hit.doc_id, "") for hit in hits]
        if self._by_id is not None:
            known = self._by_id.many([hit.doc_id for hit in hits])
            return [known.get(document.doc_id, document) for document in bare]
        if self._texts is None:
            return bare
        found = self._texts.fetch([hit.position for hit in hits])
        documents = [found[hit.position] for hit in hits]
        if [document.doc_id for document in documents] != [hit.doc_id for hit in hits]:
            raise InputError(
                f"the corpus {self._texts.path} is not the one that was indexed (other ids at the"
                " same positions); name it with --config.corpus, or encode and index again."
            )
        return documents
