"""Documents by id."""

import numpy as np
import pytest

from tart_jax.data import lookup
from tart_jax.types import Document, InputError


def store(count):
    return lookup.ById(
        (f"d{n}" for n in range(count)),
        lambda positions: {p: Document(f"d{p}", f"text {p}") for p in positions},
        "corpus.jsonl",
    )


def test_documents_are_found_by_id_and_others_are_not():
    documents = store(1000)
    assert len(documents) == 1000
    assert documents.get("d777") == Document("d777", "text 777")
    assert documents.get("d1000") is None


def test_many_are_read_at_once_and_in_the_order_of_the_file():
    asked = []

    def fetch(positions):
        asked.append(positions)
        return {p: Document(f"d{p}", f"text {p}") for p in positions}

    documents = lookup.ById((f"d{n}" for n in range(9)), fetch, "corpus.jsonl")
    found = documents.many(["d7", "x", "d2", "d7"])
    assert found == {name: Document(name, f"text {name[1]}") for name in ("d2", "d7")}
    assert asked == [[2, 7]]
    assert documents.absent(["d7", "x", "d2", "y"]) == ["x", "y"] and len(asked) == 1


def test_ids_that_share_a_hash_are_told_apart(monkeypatch):
    monkeypatch.setattr(lookup, "_hash", lambda text: 7)
    assert store(5).get("d3") == Document("d3", "text 3") and store(5).get("x") is None
    assert set(store(5).many(["d3", "x", "d0"])) == {"d0", "d3"}


def test_memory_is_16_bytes_a_document():
    arrays = [v for v in vars(store(1000)).values() if isinstance(v, np.ndarray)]
    assert sum(array.nbytes for array in arrays) == 16_000


def test_random_documents_are_distinct_and_avoid_what_they_should():
    avoid = {f"d{n}" for n in range(5)}
    drawn = store(10).random(5, seed=3, query_id="q", avoid=avoid)
    assert sorted(d.doc_id for d in drawn) == ["d5", "d6", "d7", "d8", "d9"]
    with pytest.raises(InputError, match="corpus.jsonl holds no more than 10 documents"):
        store(10).random(6, seed=3, query_id="q", avoid=avoid)


def test_a_lone_carriage_return_does_not_end_a_line(tmp_path):
    (tmp_path / "a.tsv").write_bytes(b"1\ta\rb\n\n2\tc\r\n")
    found = list(lookup.byte_lines(tmp_path / "a.tsv"))
    assert [(begin, line) for _, begin, line in found] == [(0, "1\ta\rb"), (7, "2\tc")]
    assert lookup.line_at(tmp_path / "a.tsv", 7) == "2\tc"


def test_a_deep_line_is_refused_with_its_number(tmp_path):
    (tmp_path / "queries.jsonl").write_text('{"_id": "q", "text": "a"}\n' + "[" * 20000 + "\n")
    with pytest.raises(InputError, match=r"queries.jsonl: line 2 is not JSON"):
        lookup.queries_of(tmp_path)
