"""Documents of other kinds: the paper's pairs, shares, draws."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tart_jax.data import instructions
from tart_jax.mine.unfollowing import allowance, choose, read_table
from tart_jax.types import InputError, ScoredDocument


def test_the_papers_table_names_berris_tasks():
    table = read_table("paper")
    assert len(table) == 11 and set(table) <= set(instructions.bank("berri"))
    assert table["stackexchange_title_title"] == ("stackexchange_query_answer",)
    assert table["stackexchange_query_answer"] == ("stackexchange_title_title",)


@given(st.integers(0, 1000), st.floats(0, 0.99))
def test_an_allowance_is_the_most_that_its_share_allows(others, share):
    count = allowance(others, share)
    assert count <= share * (others + count) + 1e-6
    assert count + 1 > share * (others + count + 1) - 1e-6


@pytest.mark.parametrize("others,count", [(0, 0), (3, 0), (4, 1), (8, 2), (12, 3), (16, 4)])
def test_a_fifth_of_all_is_a_quarter_of_the_others(others, count):
    assert allowance(others, 0.2) == count


def test_a_smaller_draw_begins_a_larger_one():
    pools = {name: [ScoredDocument(f"{name}{n}", 1.0) for n in range(20)] for name in "ab"}
    drawn = choose(pools, 10, 0, "q")
    assert choose(pools, 4, 0, "q") == drawn[:4] and len(set(drawn)) == 10
    assert {corpus for corpus, _ in drawn} == {"a", "b"}
    assert all(hit.doc_id.startswith(corpus) for corpus, hit in drawn)
    assert choose(pools, 10, 1, "q") != drawn != choose(pools, 10, 0, "r")
    assert len(choose(pools, 100, 0, "q")) == 40 and choose({}, 5, 0, "q") == []


@pytest.mark.parametrize(
    "text,named",
    [
        ("task\tkinds\na\tb\n", "line 1 should be the header"),
        ("task\tcorpora\na\n", "line 2 should be a task"),
        ("task\tcorpora\na\tb,,c\n", "line 2 should be a task"),
        ("task\tcorpora\na\tb\na\tc\n", "line 3 repeats the task 'a'"),
        ("task\tcorpora\na\tb, a\n", "line 2 names 'a' as the wrong kind"),
        ("task\tcorpora\n", "holds no row"),
    ],
)
def test_a_table_gone_wrong_is_refused_with_its_line(tmp_path, text, named):
    (tmp_path / "t.tsv").write_text(text)
    with pytest.raises(InputError, match=named):
        read_table(str(tmp_path / "t.tsv"))
