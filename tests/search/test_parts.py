"""A run in parts: whole blocks for each process, joined in their order."""

import pytest

from tart_jax import distributed
from tart_jax.search import parts

ITEMS = list(range(11))


def as_process(monkeypatch, index, count):
    monkeypatch.setattr(distributed, "process", lambda: (index, count))
    monkeypatch.setattr(distributed, "barrier", lambda name: None)


@pytest.mark.parametrize("count", [1, 2, 3, 4, 8])
@pytest.mark.parametrize("block_size", [1, 3, 20])
def test_all_parts_together_are_the_whole_in_order(monkeypatch, count, block_size):
    found = []
    for index in range(count):
        as_process(monkeypatch, index, count)
        part = list(parts.mine(ITEMS, block_size))
        assert not part or part[0] % block_size == 0  # as one process would begin a block
        found += part
    assert found == ITEMS


def write(path, text):
    with parts.writing(path) as aside:
        aside.write_text(text)


def test_the_first_process_joins_the_parts_and_leaves_nothing_beside(monkeypatch, tmp_path):
    path = tmp_path / "run.trec"
    (tmp_path / "run-00002-of-00003.trec").write_text("of a search that was killed")
    for index, text in ((1, "second\n"), (0, "first\n")):
        as_process(monkeypatch, index, 2)
        write(path, text)
    assert path.read_text() == "first\nsecond\n"
    assert [found.name for found in tmp_path.iterdir()] == ["run.trec"]


def test_a_process_that_fails_leaves_no_part(monkeypatch, tmp_path):
    as_process(monkeypatch, 1, 2)
    with pytest.raises(RuntimeError), parts.writing(tmp_path / "run.trec") as aside:
        aside.write_text("half")
        raise RuntimeError
    assert list(tmp_path.iterdir()) == []


def test_one_process_writes_the_file_itself(tmp_path):
    write(tmp_path / "run.trec", "all\n")
    assert (tmp_path / "run.trec").read_text() == "all\n"


def test_of_wholes_the_first_processs_counts(monkeypatch, tmp_path):
    for index, text in ((1, "the same\n"), (0, "all\n")):
        as_process(monkeypatch, index, 2)
        with parts.writing(tmp_path / "run.trec", whole=True) as aside:
            aside.write_text(text)
    assert (tmp_path / "run.trec").read_text() == "all\n"
    assert [found.name for found in tmp_path.iterdir()] == ["run.trec"]
