"""The files of a KILT folder are written from streams, whole or not at all."""

import json
import re
import tracemalloc

import numpy as np
import pytest

from tart_jax.data import corpus
from tart_jax.data.kilt import layout
from tart_jax.data.kilt.knowledge_source import Page, read_pages
from tart_jax.data.kilt.mapping import PassageTable
from tart_jax.types import InputError

OPTIONS = {"chunking": "words", "size": 5, "cross_sections": True}


def write(folder, source, **options):
    return layout.write_corpus(folder, read_pages(source), source=source, **(OPTIONS | options))


def test_the_corpus_is_read_as_any_other(tmp_path, source, oak_words):
    counts = write(tmp_path, source)
    assert (counts["pages"], counts["passages"], counts["pages without a passage"]) == (4, 11, 1)
    documents = list(corpus.read_documents(tmp_path / "corpus.jsonl"))
    assert [document.doc_id for document in documents][:2] == ["101-0", "101-1"]
    assert " ".join(d.text for d in documents if d.title == "Oak").split() == oak_words
    info = corpus.scan(tmp_path)
    assert (info.count, info.fingerprint) == (11, counts["fingerprint"])
    assert counts["bytes"] == (tmp_path / "corpus.jsonl").stat().st_size


def test_a_line_keeps_the_place_of_its_passage(tmp_path, source):
    write(tmp_path, source)
    line = (tmp_path / "corpus.jsonl").read_text().splitlines()[2]
    assert json.loads(line) == {
        "_id": "101-2",
        "title": "Oak",
        "text": "ships of the navy barrels",
        "wikipedia_id": "101",
        "section": "Section::::Uses.",
        "start_paragraph_id": 3,
        "start_character": 12,
        "end_paragraph_id": 4,
        "end_character": 20,
        "sources": [[3, 12, 29], [4, 13, 20]],
    }


def test_fewer_pages_give_a_prefix_of_the_corpus(tmp_path, source):
    write(tmp_path / "all", source)
    layout.write_corpus(
        tmp_path / "some", read_pages(source, max_pages=2), source=source, **OPTIONS
    )
    whole, part = ((tmp_path / n / "corpus.jsonl").read_bytes() for n in ("all", "some"))
    assert whole.startswith(part) and len(part) < len(whole)


def test_the_tables_tell_where_each_line_begins(tmp_path, source):
    write(tmp_path, source)
    begins = np.load(tmp_path / "passages.npy")
    content = (tmp_path / "corpus.jsonl").read_bytes()
    ends = [match.end() for match in re.finditer(b"\n", content)]
    assert begins.tolist() == [0, *ends]
    pages = np.load(tmp_path / "pages.npy")
    assert pages.tolist() == [[101, 0], [7, 5], [300, 9], [12, 9], [0, 11]]


def test_a_page_given_twice_is_refused_with_both_lines(tmp_path, write_lines, page_records):
    source = write_lines("source.json", [*page_records, "", page_records[1]])
    with pytest.raises(InputError, match="'wikipedia_id' 7 on lines 2 and 6"):
        write(tmp_path / "out", source)
    assert list((tmp_path / "out").iterdir()) == []


def test_a_source_without_passages_is_refused(tmp_path, write_lines, page_records):
    source = write_lines("source.json", [page_records[2]])
    with pytest.raises(InputError, match="gives no passage"):
        write(tmp_path / "out", source)


def test_a_bad_line_leaves_nothing_half_written(tmp_path, write_lines, page_records):
    source = write_lines("source.json", [*page_records, "{"])
    with pytest.raises(InputError, match=rf"{re.escape(str(source))}: line 5 is not JSON"):
        write(tmp_path / "out", source)
    assert list((tmp_path / "out").iterdir()) == []


def peak_of(folder, pages) -> tuple[int, dict]:
    tracemalloc.start()
    counts = layout.write_corpus(folder, pages, source="pages", **(OPTIONS | {"size": 100}))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return peak, counts


def test_writing_a_corpus_holds_one_page_at_a_time(tmp_path):
    text = "oak " * 2_500  # 10 kB
    pages = ((n, Page(str(n), "Oak", ("Oak\n", text + str(n)))) for n in range(1, 401))
    peak, counts = peak_of(tmp_path, pages)
    assert counts["bytes"] > 4_000_000 > 4 * peak


def test_writing_a_corpus_holds_few_bytes_a_passage(tmp_path):
    def pages(count):
        return ((n, Page(str(n), "Oak", ("Oak\n", "oak elm"))) for n in range(1, count + 1))

    (few, _), (many, counts) = (peak_of(tmp_path / str(n), pages(n)) for n in (1_000, 9_000))
    assert counts["passages"] == 9_000
    # 8 bytes a passage and 24 a page; the last sort and copy of the tables take as much again.
    assert (many - few) / 8_000 < 80


def test_negatives_never_come_from_a_page_that_the_item_names(
    tmp_path, source, write_lines, nq_records
):
    from tart_jax.data import examples
    from tart_jax.data.kilt.layout import TaskFile
    from tart_jax.data.kilt.queries import Forms

    write(tmp_path, source)
    file = TaskFile("nq", write_lines("nq.jsonl", nq_records), Forms(), 0.5, 0, {})
    with PassageTable(tmp_path) as table:
        layout.write_train(tmp_path / "nq.jsonl", file, table, 99)
    found = {example.query_id: example for example in examples.read(tmp_path / "nq.jsonl")}
    pages = {
        name: {document.doc_id.partition("-")[0] for document in example.negatives}
        for name, example in found.items()
    }
    assert pages == {"q1": {"7", "12"}, "no_answer": {"101", "12"}, "two_pages": {"101"}}
    assert len(found["q1"].negatives) == 6  # all there are
