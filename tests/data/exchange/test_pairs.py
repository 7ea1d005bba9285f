"""Pairs, triplets, n-tuples and labelled pairs in every file form."""

import json

import pytest

from tart_jax.data.examples import TrainingExample
from tart_jax.data.exchange import pairs
from tart_jax.data.exchange.records import Read, Rejected, content_id
from tart_jax.types import Document, InputError


def documents(*texts):
    return tuple(Document(content_id("", text), text) for text in texts)


def example(query, positives, negatives=(), hard=()):
    return TrainingExample("t", content_id("", query), query, positives, negatives, hard)


TRIPLET = example("oak", documents("a tree"), (), documents("a bird"))


def jsonl(path, *rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


@pytest.mark.parametrize(
    "row",
    [
        ["oak", "a tree", "a bird"],
        {"anchor": "oak", "positive": "a tree", "negative": "a bird"},
        {"query": "oak", "pos": ["a tree"], "neg": ["a bird"]},
    ],
)
def test_a_triplet_is_read_by_the_order_of_its_columns(row, tmp_path):
    assert list(pairs.read(jsonl(tmp_path / "a.jsonl", row), task="t")) == [Read(TRIPLET)]


def test_pairs_and_tuples_of_any_length(tmp_path):
    path = jsonl(tmp_path / "a.jsonl", ["oak", "a tree"], ["elm", " "], [" ", "x"])
    assert list(pairs.read(path, task="t")) == [
        Read(example("oak", documents("a tree"))),
        Rejected(f"{path}: line 2", "it has no positive document"),
        Rejected(f"{path}: line 3", "the query is empty"),
    ]
    path = jsonl(tmp_path / "a.jsonl", ["oak", "a tree", "n1", "n2", "n3"])
    (item,) = pairs.read(path, task="t")
    assert item.example.hard_negatives == documents("n1", "n2", "n3")


def test_named_columns_win_and_others_are_not_read(tmp_path):
    path = jsonl(tmp_path / "a.jsonl", {"x": 1, "context": "a tree", "q": "oak", "n": "a bird"})
    options = {"query": "q", "positive": "context"}
    (item,) = pairs.read(path, task="t", **options, negatives=("n",))
    assert item.example == TRIPLET
    (item,) = pairs.read(path, task="t", **options)
    assert item.example.hard_negatives == ()


@pytest.mark.parametrize("options", [{}, {"query": "a", "positive": "b", "label": "score"}])
def test_labelled_pairs_of_a_query_are_one_example(options, tmp_path):
    rows = [("oak", "a tree", 1), ("oak", "a bird", "0.2"), ("elm", "x", 0.4), ("ash", "y", 0.5)]
    path = jsonl(
        tmp_path / "a.jsonl", *(dict(zip(("a", "b", "score"), r, strict=True)) for r in rows)
    )
    assert list(pairs.read(path, task="t", **options)) == [
        Read(example("oak", documents("a tree"), documents("a bird")), 2),
        Rejected(f"{path}: line 3", "it has no positive document"),
        Read(example("ash", documents("y"))),
    ]


def test_csv_with_quotes_and_line_ends_in_cells(tmp_path):
    (tmp_path / "a.csv").write_bytes(
        b'\xef\xbb\xbfq,p,n\r\noak,"a ""big"", tree","two\r\nlines"\r\n'
    )
    (item,) = pairs.read(tmp_path / "a.csv", task="t")
    want = example("oak", documents('a "big", tree'), (), documents("two\nlines"))
    assert item.example == want
    with (tmp_path / "a.csv").open("a") as file:
        file.write("elm,x\n")
    with pytest.raises(InputError, match=r"a.csv: line 4 has 2 cells, the header 3"):
        list(pairs.read(tmp_path / "a.csv", task="t"))


def test_tsv(tmp_path):
    (tmp_path / "a.tsv").write_text("q\tp\tn\noak\ta tree\ta bird\n")
    assert list(pairs.read(tmp_path / "a.tsv", task="t")) == [Read(TRIPLET)]


def test_parquet_is_read_over_several_batches(tmp_path):
    import pyarrow as arrow
    import pyarrow.parquet as parquet

    rows = [{"q": f"q{n}", "p": [f"p{n}"], "n": f"n{n}"} for n in range(600)]
    parquet.write_table(arrow.Table.from_pylist(rows), tmp_path / "a.parquet", row_group_size=100)
    items = list(pairs.read(tmp_path / "a.parquet", task="t"))
    assert [item.example for item in items] == [
        example(f"q{n}", documents(f"p{n}"), (), documents(f"n{n}")) for n in range(600)
    ]
    (tmp_path / "a.parquet").write_bytes(b"PAR1 nothing")
    with pytest.raises(InputError, match=r"a.parquet: record 1 cannot be read"):
        list(pairs.read(tmp_path / "a.parquet", task="t"))


@pytest.mark.parametrize(
    "rows,options,said",
    [
        ([["oak"]], {}, r"line 1 has the columns \['0'\]; a row needs a query and a positive"),
        ([["a", "b"], ["a", "b", "c"]], {}, r"line 2 has the columns .*line 1"),
        ([{"q": "a", "p": 3}], {}, r"line 1 needs the field 'p' with a text, not 3"),
        ([{"q": "a", "p": "b"}], {"query": "q", "positive": "d"}, r"line 1 needs the field 'd'"),
        ([{"q": "a", "p": "b", "label": "x"}], {}, r"line 1 needs the field 'label' with a number"),
        ([["a", "b"]], {"query": "0"}, r"name both columns"),
    ],
)
def test_malformed_rows_are_refused_with_place_and_column(rows, options, said, tmp_path):
    with pytest.raises(InputError, match=said):
        list(pairs.read(jsonl(tmp_path / "a.jsonl", *rows), task="t", **options))


def test_what_is_written_reads_back_the_same(tmp_path):
    other = example("elm", documents("a wood"), (), documents("a cat"))
    exported = pairs.write(tmp_path / "a.jsonl", [TRIPLET, other], num_negatives=1)
    assert (exported.examples, exported.records, exported.lost) == (2, 2, {})
    back = [item.example for item in pairs.read(tmp_path / "a.jsonl", task="t")]
    assert back == [TRIPLET, other] and back != [other, TRIPLET]


def test_rows_of_the_same_columns_and_what_they_lose(tmp_path):
    many = example("elm", documents("p1", "p2"), documents("n1"), documents("h1", "h2"))
    exported = pairs.write(tmp_path / "a.jsonl", [TRIPLET, many], num_negatives=2)
    rows = [json.loads(line) for line in (tmp_path / "a.jsonl").read_text().splitlines()]
    assert rows == [
        {"anchor": "elm", "positive": p, "negative_1": "h1", "negative_2": "h2"}
        for p in ("p1", "p2")
    ]
    assert exported.lost == {
        "examples with fewer negatives than columns left out": 1,
        "negatives beyond the columns left out": 1,
    }
