"""Pages of the knowledge source are read one at a time, or refused with file and line."""

import re
import tracemalloc

import pytest

from tart_jax.data.kilt import knowledge_source
from tart_jax.data.kilt.knowledge_source import Page, body, read_pages
from tart_jax.types import InputError


def test_pages_are_read_with_their_line_numbers(source):
    pages = dict(read_pages(source))
    assert list(pages) == [1, 2, 3, 4]
    assert [page.wikipedia_id for page in pages.values()] == ["101", "7", "300", "12"]
    assert pages[1].title == "Oak" and len(pages[1].paragraphs) == 7
    assert pages[1].wikidata_id == "Q12004"


def test_a_gzip_source_holds_the_same_pages(write_lines, page_records, source):
    packed = write_lines("source.json.gz", page_records)
    assert list(read_pages(packed)) == list(read_pages(source))


def test_no_more_pages_are_read_than_asked_for(write_lines, oak):
    path = write_lines("source.json", [oak, "this line is never looked at"])
    assert len(list(read_pages(path, max_pages=1))) == 1
    with pytest.raises(InputError, match="line 2 is not JSON"):
        list(read_pages(path, max_pages=2))


@pytest.mark.parametrize(
    "change,said",
    [
        ({"wikipedia_id": "Q1"}, "'wikipedia_id' should be a page number"),
        ({"wikipedia_id": True}, "'wikipedia_id' should be a page number"),
        ({"wikipedia_id": None}, "'wikipedia_id' should be a page number"),
        ({"wikipedia_title": " "}, "'wikipedia_title' should be a non-empty string"),
        ({"text": "one string"}, "'text' should be the list of paragraphs"),
        ({"text": ["Oak", 3]}, "'text', paragraph 1, should be a string, not '3'"),
        ({"text": ["Oak", "\ud800"]}, "half a surrogate pair"),
        ({"wikidata_info": {"wikidata_id": 3}}, "'wikidata_info' should be an object"),
    ],
)
def test_a_malformed_page_is_refused_with_file_and_line(write_lines, oak, change, said):
    path = write_lines("source.json", [oak, oak | change])
    with pytest.raises(InputError, match=rf"{re.escape(str(path))}: line 2.*{re.escape(said)}"):
        list(read_pages(path))


def test_a_page_without_wikidata_is_read(write_lines, oak):
    del oak["wikidata_info"]
    path = write_lines("source.json", [oak])
    assert next(read_pages(path))[1].wikidata_id == ""


def test_body_leaves_out_title_section_lines_and_list_marks(oak):
    page = Page("101", "Oak", tuple(oak["text"]))
    found = [(p.section, p.paragraph_id, p.text[p.begin :].strip()[:5]) for p in body(page)]
    assert found == [
        ("Section::::Abstract", 1, "An oa"),
        ("Section::::Uses.", 3, "ships"),
        ("Section::::Uses.", 4, "barre"),
        ("Section::::Names.:Old names.", 6, "Ёлка "),
    ]


def test_every_mutated_page_is_read_or_refused_with_file_and_line(tmp_path, oak, mutated):
    path, refused = tmp_path / "source.json", 0
    for line in mutated(oak, 1000):
        path.write_bytes(line)
        try:
            for _, page in read_pages(path):
                list(body(page))
        except InputError as error:
            assert f"{path}: line 1" in str(error)
            refused += 1
    assert 200 < refused < 1000


def test_reading_holds_one_page_at_a_time(write_lines, oak):
    pages = [oak | {"wikipedia_id": str(n), "text": ["Oak\n", "oak " * 25_000]} for n in range(100)]
    path = write_lines("source.json", pages)  # 10 MB
    del pages
    tracemalloc.start()
    total = sum(len(page.paragraphs[1]) for _, page in knowledge_source.read_pages(path))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert total == 10_000_000 and peak < 2_000_000
