"""KILT task files to examples, and TREC runs to KILT prediction lines.

Task records: {id, input, output: [{answer?, provenance: [{wikipedia_id, title,
start_paragraph_id, end_paragraph_id, ...}]}]}. The text of a provenance is in a corpus of passages:
a BEIR corpus.jsonl whose lines also have wikipedia_id (and paragraph ids). Source: the KILT
repository.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal, NamedTuple

from tart_jax import io
from tart_jax.data.corpus import corpus_file, queries_file
from tart_jax.data.exchange.records import Item, Record, Rejected, json_records, text_lines
from tart_jax.data.exchange.writers import Exported
from tart_jax.data.kilt.mapping import PAGES, PassageTable
from tart_jax.data.lookup import byte_lines, line_at, queries_of
from tart_jax.types import Document, InputError, ScoredDocument

PAGE = "wikipedia_id"
PLACE = (PAGE, "start_paragraph_id", "end_paragraph_id")
NO_PROVENANCE = "no output has a provenance"
NO_ANSWER = "no output has an answer"
NO_PASSAGE = "no passage of the corpus holds its provenance"


class Span(NamedTuple):
    """Paragraphs of a page, both ends included; None: the whole page."""

    page: str
    start: int | None
    end: int | None

    def meets(self, other: "Span") -> bool:
        if self.page != other.page:
            return False
        if self.start is None or self.end is None or other.start is None or other.end is None:
            return True
        return self.start <= other.end and other.start <= self.end


def read(
    path: str | Path,
    *,
    task: str,
    corpus: str = "",
    positives: Literal["provenance", "answers"] = "provenance",
) -> Iterator[Item]:
    """One example a record of a task file; `input` is the query.

    positives: "provenance" takes the passages of `corpus` that meet a provenance's paragraphs (all
    of the page where paragraph ids are missing on a side); "answers" takes the answers themselves
    as documents, as dialogue tasks do. Test files have no outputs: their records are rejected.
    """
    if positives == "provenance" and not corpus:
        raise InputError(
            f"{path}: a KILT file has no texts; name the passages by --config.options.corpus, or"
            " take the answers as documents by --config.options.positives=answers."
        )
    passages = _Passages(corpus, _pages(path)) if positives == "provenance" else None
    for where, value in json_records(path):
        record = Record(value, where)
        outputs = [
            Record(output, f"{where}, 'output' {number},")
            for number, output in enumerate(record.items("output", optional=True))
        ]
        if passages is None:
            documents = [
                d for o in outputs if o.fields.get("answer") is not None
                for d in record.document("", record.clean(o.fields["answer"], "'answer'"))
            ]  # fmt: skip
            reason, answers = NO_ANSWER, []
        else:
            spans = [span for output in outputs for span in _spans(output)]
            documents = passages.of(spans)
            reason = NO_PASSAGE if spans else NO_PROVENANCE
            answers = [o.text("answer") for o in outputs if o.fields.get("answer") is not None]
        query, query_id = record.text("input"), record.identifier("id")
        if not documents:
            yield Rejected(where, reason)
            continue
        distinct = {d.doc_id: d for d in documents}.values()
        answers = list(dict.fromkeys(answers))
        yield record.read(task, query, query_id=query_id, positives=list(distinct), answers=answers)


def _spans(output: Record) -> list[Span]:
    return [
        _span(Record(value, f"{output.where} 'provenance' {number},"))
        for number, value in enumerate(output.items("provenance", optional=True))
    ]


def _span(record: Record) -> Span:
    page = record.identifier(PAGE)
    if not page:
        raise InputError(f"{record.where} needs the field {PAGE!r} with the id of a page.")
    ends = [record.fields.get(name) for name in PLACE[1:]]
    for name, value in zip(PLACE[1:], ends, strict=True):
        if value is not None and (isinstance(value, bool) or not isinstance(value, int)):
            raise InputError(f"{record.where} needs the field {name!r} as an integer.")
    return Span(page, *ends)


def _pages(path: str | Path) -> set[str]:
    """The pages that a task file names: what is to be found in the corpus."""
    found: set[str] = set()
    for where, value in json_records(path):
        for number, output in enumerate(Record(value, where).items("output", optional=True)):
            found |= {s.page for s in _spans(Record(output, f"{where}, 'output' {number},"))}
    return found


class _Passages:
    """Where the passages of some pages stand in a corpus; texts stay on disk."""

    def __init__(self, path: str, pages: set[str]):
        self._file = corpus_file(path)
        self._places: dict[str, list[tuple[Span, int]]] = {}
        for where, begin, line in byte_lines(self._file):
            record = _line(line, where)
            span = _span(record)
            if span.page in pages:
                _passage(record)  # refuses what would fail later, without its line
                self._places.setdefault(span.page, []).append((span, begin))

    def of(self, spans: list[Span]) -> list[Document]:
        begins = dict.fromkeys(
            begin
            for span in spans
            for place, begin in self._places.get(span.page, ())
            if span.meets(place)
        )
        lines = (line_at(self._file, begin) for begin in begins)
        return [d for line in lines for d in _passage(_line(line, str(self._file)))]


def _passage(record: Record) -> list[Document]:
    title, text = record.text("title", optional=True), record.text("text")
    return record.document(title, text, record.identifier("_id", "id"))


def _line(line: str, where: str) -> Record:
    try:
        return Record(json.loads(line), where)
    except (ValueError, RecursionError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(f"{where} is not JSON ({error}): {line[:80]!r}.") from error


def write_predictions(path: Path, run: str | Path, *, corpus: str, queries: str) -> Exported:
    """A TREC run as KILT prediction lines: one output a query, its provenance by falling score.

    A query of the file that the run lacks gets an empty provenance: KILT wants every id.
    """
    if not corpus or not queries:
        raise InputError(
            "KILT predictions need --config.options.corpus (passages with wikipedia_id) and"
            " --config.options.queries (their inputs)."
        )
    hits = io.read_run(run)
    inputs = _inputs(queries)
    wanted = {hit.doc_id for ranked in hits.values() for hit in ranked}
    places = dict(_places(corpus, wanted))
    exported = Exported()
    exported.records = io.write_jsonl(
        path,
        (_prediction(run, name, hits.get(name, []), inputs, places) for name in {**inputs, **hits}),
    )
    exported.examples = len(inputs)
    return exported


def _inputs(queries: str) -> dict[str, tuple[str, str]]:
    """query_id -> (KILT's id, text); our ids have no white space, as TREC runs want it."""
    file = queries_file(queries)
    known = {}
    if file.name.removesuffix(".gz").endswith(".jsonl"):
        known = {str(row.get("_id")): row.get("kilt_id") for _, row in io.read_jsonl(file)}
    return {name: (known.get(name) or name, q.text) for name, q in queries_of(file).items()}


def _places(corpus: str, wanted: set[str]) -> Iterator[tuple[str, dict[str, Any]]]:
    folder = corpus_file(corpus).parent
    if (folder / PAGES).is_file():  # of 36 million lines only those that are wanted are read
        with PassageTable(folder) as table:
            for doc_id in wanted:
                if (position := table.position(doc_id)) is not None:
                    passage = table[position].record()
                    yield doc_id, {name: passage[name] for name in PLACE}
        return
    for where, line in text_lines(corpus_file(corpus)):
        record = _line(line, where)
        doc_id = record.identifier("_id", "id")
        if doc_id in wanted:
            span = _span(record)
            values = zip(PLACE, span, strict=True)
            yield doc_id, {name: value for name, value in values if value is not None}


def _prediction(
    run: str | Path,
    query_id: str,
    hits: list[ScoredDocument],
    inputs: dict[str, tuple[str, str]],
    places: dict[str, dict[str, Any]],
) -> dict[str, Any]:
    if query_id not in inputs:
        raise InputError(f"{run}: query {query_id!r} is not in the queries file.")
    provenance = []
    for hit in sorted(hits, key=lambda hit: -hit.score):
        if hit.doc_id not in places:
            raise InputError(f"{run}: the hit {hit.doc_id!r} is not in the corpus.")
        provenance.append(places[hit.doc_id])
    kilt_id, text = inputs[query_id]
    return {"id": kilt_id, "input": text, "output": [{"provenance": provenance}]}
