"""Gold places find the passages that hold them; what is dropped is counted."""

from collections import Counter

import pytest

from tart_jax.data.kilt import layout, mapping
from tart_jax.data.kilt.knowledge_source import read_pages
from tart_jax.data.kilt.mapping import LOW_BLEU, LOW_SCORE, NO_PAGE, NO_TEXT, PassageTable, held
from tart_jax.data.kilt.tasks import Item, Output, Provenance
from tart_jax.types import InputError


def write(folder, source, size=5, chunking="words"):
    return layout.write_corpus(
        folder, read_pages(source), source=source, chunking=chunking, size=size, cross_sections=True
    )


@pytest.fixture
def table(tmp_path, source):
    write(tmp_path, source)
    with PassageTable(tmp_path) as table:
        yield table


def found(table, *places: Provenance, threshold: float = 0.5) -> tuple[list[str], dict[str, int]]:
    drops = Counter[str]()
    item = Item("1", "x", (Output("a", places),))
    positions = mapping.positives(item, table, threshold=threshold, drops=drops)
    return [table[position].doc_id for position in positions], dict(drops)


def test_passages_are_found_by_position_and_by_page(table):
    # 24 words in blocks of five, then 20, none, 10.
    assert len(table) == 5 + 4 + 0 + 2
    assert [table.page(page) for page in ("101", "7", "300", "12")] == [
        range(0, 5), range(5, 9), range(9, 9), range(9, 11)]  # fmt: skip
    assert table.page("999") is None and table.page("8") is None
    assert [table[position].doc_id for position in (0, 8, 10)] == ["101-0", "7-3", "12-1"]
    document = table.document(10)
    assert (document.title, document.text) == ("Ash", "is dry or green alike.")


def test_a_place_inside_a_passage_finds_it(table):
    assert found(table, Provenance("101", 1, 18, 1, 26)) == (["101-1"], {})  # "It bears"
    assert found(table, Provenance("101", 4, 13, 4, 20)) == (["101-2"], {})  # "barrels"


def test_a_place_over_a_border_finds_the_passage_that_holds_most(table):
    # "oak is a tree. It": four words in 101-0, one in 101-1.
    assert found(table, Provenance("101", 1, 3, 1, 20)) == (["101-0"], {})
    # "tree. It bears acorns in autumn.": one word before the border.
    assert found(table, Provenance("101", 1, 12, 1, 44)) == (["101-1"], {})


def test_a_place_no_passage_holds_enough_of_is_dropped_and_counted(table):
    whole = Provenance("7", 1, 0, 2, 999)  # 20 words over four blocks of five
    assert found(table, whole) == ([], {LOW_BLEU: 1})
    assert found(table, whole, threshold=0.0) == (["7-0"], {})


def test_a_place_over_paragraphs_counts_their_words_together(table):
    # paragraphs 3 to 4: "ships of the navy" and "barrels for wine"; 101-2 holds five of the seven
    # words, a brevity penalty of exp(1 - 7/5).
    place = Provenance("101", 3, 0, 4, 999)
    assert found(table, place, threshold=0.67) == (["101-2"], {})
    assert found(table, place, threshold=0.68) == ([], {LOW_BLEU: 1})


def test_unknown_characters_are_those_of_the_whole_paragraph(table):
    for start, end in ((None, None), (-1, -1)):
        place = Provenance("7", 1, start, 1, end)  # 7-0 holds five of eight words: exp(1 - 8/5)
        assert found(table, place, threshold=0.54) == (["7-0"], {})
        assert found(table, place, threshold=0.55) == ([], {LOW_BLEU: 1})
    assert found(table, Provenance("7", 1)) == (["7-0"], {})


def test_a_page_alone_finds_its_first_passage(table):
    assert found(table, Provenance("12"), Provenance("101")) == (["12-0", "101-0"], {})
    assert found(table, Provenance("300")) == ([], {NO_TEXT: 1})


def test_places_without_a_passage_are_counted_by_reason(table):
    places = (
        Provenance("999", 1, 0, 1, 5),
        Provenance("7", 1, 0, 1, 5, 0.499),
        Provenance("7", 0, 0, 0, 3),  # the title
        Provenance("101", 2, 0, 2, 9),  # a section line
        Provenance("7", 9, 0, 9, 9),  # no such paragraph
        Provenance("101", 4, 0, 3, 0),  # backwards
        Provenance("7", 1, 0, 1, 5, 0.5),
    )
    assert found(table, *places) == (["7-0"], {NO_PAGE: 1, LOW_SCORE: 1, NO_TEXT: 4})


def test_two_places_in_one_passage_are_one_positive(table):
    places = (Provenance("7", 1, 0, 1, 7), Provenance("7", 1, 4, 1, 11))
    assert found(table, *places) == (["7-0"], {})


@pytest.mark.parametrize("chunking,size", [("words", 3), ("words", 7), ("sentences", 6)])
def test_every_place_is_held_by_the_passages_word_for_word(tmp_path, source, oak, chunking, size):
    write(tmp_path, source, size, chunking)
    paragraph = oak["text"][6]
    with PassageTable(tmp_path) as table:
        passages = [table[position] for position in table.page("101")]
    for start in range(len(paragraph)):
        for end in range(start + 1, len(paragraph)):
            if (start and not paragraph[start - 1].isspace()) or not paragraph[end].isspace():
                continue  # whole words only: a border in a word would cut it
            span = ((6, start), (6, end))
            words = [word for passage in passages for word in held(passage, span)]
            assert words == paragraph[start:end].split()


def test_negatives_are_drawn_by_seed_and_key_alone(table):
    def draw(seed, key, number=3):
        return mapping.draw(len(table), number, avoid={0, 1, 2}, seed=seed, key=key)

    assert draw(0, "a") == draw(0, "a") != draw(0, "b")
    assert len({tuple(draw(seed, "a")) for seed in range(9)}) > 1
    assert sorted(draw(0, "a", number=99)) == list(range(3, len(table)))


def test_negatives_of_a_large_corpus_avoid_what_they_should():
    drawn = mapping.draw(1000, 50, avoid=set(range(100)), seed=1, key="k")
    assert len(set(drawn)) == 50 and min(drawn) >= 100


def test_files_that_do_not_belong_together_are_refused(tmp_path, source):
    write(tmp_path, source)
    with (tmp_path / "corpus.jsonl").open("a") as file:
        file.write("{}\n")
    with pytest.raises(InputError, match=r"corpus.jsonl and passages.npy do not belong together"):
        PassageTable(tmp_path)
