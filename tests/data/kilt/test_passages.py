"""Passages hold all words of their page once, at the places they name."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tart_jax.data.kilt.knowledge_source import Page, read_pages
from tart_jax.data.kilt.passages import Passage, passages
from tart_jax.types import InputError


def page_of(*paragraphs: str) -> Page:
    return Page("5", "T", ("T\n", *paragraphs))


def texts(page: Page, **options) -> list[str]:
    return [passage.text for passage in passages(page, **options)]


def words_of(found: list[Passage]) -> list[str]:
    return [word for passage in found for word in passage.text.split()]


@pytest.mark.parametrize(
    "options",
    [
        {"chunking": "words", "size": 5},
        {"chunking": "words", "size": 5, "cross_sections": False},
        {"chunking": "words", "size": 1},
        {"chunking": "words", "size": 100},
        {"chunking": "sentences", "size": 8},
    ],
    ids=str,
)
def test_passages_rejoined_are_the_words_of_the_page(oak, oak_words, options):
    found = list(passages(Page("101", "Oak", tuple(oak["text"])), **options))
    assert words_of(found) == oak_words
    assert words_of(found[:-1]) != oak_words  # the broken twin: a passage lost
    assert words_of([found[0], *found]) != oak_words  # or given twice


def test_blocks_have_the_asked_number_of_words_and_the_last_what_is_left(oak, oak_words):
    found = list(passages(Page("101", "Oak", tuple(oak["text"])), chunking="words", size=5))
    lengths = [len(passage.text.split()) for passage in found]
    assert lengths == [5, 5, 5, 5, len(oak_words) - 20] and lengths[-1] == 4
    assert [passage.doc_id for passage in found] == [f"101-{n}" for n in range(5)]


def test_blocks_run_over_sections_only_when_told(oak):
    page = Page("101", "Oak", tuple(oak["text"]))
    crossing = texts(page, chunking="words", size=12)
    assert crossing[0] == "An oak is a tree. It bears acorns in autumn. ships of"
    kept = texts(page, chunking="words", size=12, cross_sections=False)
    assert kept == [
        "An oak is a tree. It bears acorns in autumn.",
        "ships of the navy barrels for wine",
        "Ёлка and 東京  are\u00a0names, café too.",
    ]
    sections = [p.section for p in passages(page, chunking="words", size=12, cross_sections=False)]
    assert sections == ["Section::::Abstract", "Section::::Uses.", "Section::::Names.:Old names."]


@pytest.mark.parametrize("chunking", ["words", "sentences"])
def test_segments_point_at_the_text(oak, chunking):
    for passage in passages(Page("101", "Oak", tuple(oak["text"])), chunking=chunking, size=7):
        pieces = [oak["text"][p][start:end] for p, start, end in passage.segments]
        assert " ".join(pieces) == passage.text
        assert all(piece == piece.strip() and piece for piece in pieces)
        shifted = [oak["text"][p][start + 1 : end] for p, start, end in passage.segments]
        assert " ".join(shifted) != passage.text  # the broken twin


def test_a_record_names_the_hull_of_its_segments_and_reads_back(oak):
    second = list(passages(Page("101", "Oak", tuple(oak["text"])), chunking="words", size=12))[1]
    record = second.record()
    assert record["_id"] == "101-1" and record["wikipedia_id"] == "101"
    assert record["start_paragraph_id"] == 3 and record["end_paragraph_id"] == 6
    start = record["start_character"]
    assert oak["text"][3][start:].startswith("the navy")
    assert oak["text"][6][: record["end_character"]] == "Ёлка and 東京  are\u00a0names, café too."
    assert Passage.parse(record) == second


PARAGRAPHS = st.lists(
    st.one_of(
        st.text(alphabet="ab. é東\t\u00a0\u3000\n", max_size=40),
        st.sampled_from(["Section::::S.\n", "Section::::Other.:Deep.\n", "BULLET::::- \n"]),
        st.text(alphabet="ab. ", max_size=20).map(lambda text: f"BULLET::::- {text}\n"),
    ),
    max_size=8,
)


@given(PARAGRAPHS, st.integers(1, 9), st.booleans(), st.sampled_from(["words", "sentences"]))
def test_any_page_is_covered_once(paragraphs, size, cross, chunking):
    found = list(passages(page_of(*paragraphs), chunking=chunking, size=size, cross_sections=cross))
    plain = [p.removeprefix("BULLET::::- ") for p in paragraphs if not p.startswith("Section::::")]
    assert words_of(found) == " ".join(plain).split()
    if chunking == "words" and cross:
        lengths = [len(passage.text.split()) for passage in found]
        assert lengths[:-1] == [size] * len(lengths[:-1]) and all(n <= size for n in lengths)


def test_sentences_are_packed_as_the_kilt_chunker_packs_them():
    page = page_of(
        "One two three four. Five six seven.\n",  # 5 + 4 tokens: 9 stay under 10
        "Eight nine.\n",  # 3 more would not
        "Ten.\n",  # 3 + 2: joins, and counts 6 with the join
        "Go up now.\n",  # 6 + 4 is not under 10, so the join's one token matters
        "Section::::S.\n",
        "New.\n",  # never across a section
        "A a a a a a a a a a a a. Bb bb.\n",  # 13 tokens in one sentence, whole; then 3
        "Bb b b b b.\n",  # 3 + 6 stay under 10: joins the rest before it
    )
    assert texts(page, chunking="sentences", size=10) == [
        "One two three four. Five six seven.",
        "Eight nine. Ten.",
        "Go up now.",
        "New.",
        "A a a a a a a a a a a a.",
        "Bb bb. Bb b b b b.",
    ]


def test_a_page_without_text_has_no_passage():
    for chunking in ("words", "sentences"):
        page = page_of("Section::::S.\n", " \n", "BULLET::::- \n")
        assert texts(page, chunking=chunking, size=3) == []


def test_passages_depend_on_their_page_alone(source, write_lines, page_records):
    def all_of(path):
        return {
            passage.doc_id: passage
            for _, page in read_pages(path)
            for passage in passages(page, chunking="words", size=4)
        }

    whole = all_of(source)
    assert all_of(write_lines("backwards.json", page_records[::-1])) == whole
    alone = [all_of(write_lines("one.json", [record])) for record in page_records]
    assert {key: value for found in alone for key, value in found.items()} == whole
    assert len(whole) == sum(map(len, alone)) > 10


def test_pages_are_cut_as_they_are_asked_for():
    taken = []

    def pages():
        for number in range(3):
            taken.append(number)
            yield page_of("a b c d\n")

    stream = (p for page in pages() for p in passages(page, chunking="words", size=2))
    next(stream)
    next(stream)
    assert taken == [0]
    next(stream)
    assert taken == [0, 1]


def test_an_unknown_chunking_and_a_size_of_zero_are_refused():
    with pytest.raises(InputError, match="at least one word"):
        texts(page_of("a"), chunking="words", size=0)
