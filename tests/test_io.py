"""Files: nothing half-written, and every bad line is named."""

import gzip

import numpy as np
import pytest

from tart_jax import io
from tart_jax.types import InputError, ScoredDocument


def test_a_failed_write_leaves_the_old_file_and_no_other(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("old")
    with pytest.raises(RuntimeError), io.writing(path) as aside:
        aside.write_text("half")
        raise RuntimeError
    assert path.read_text() == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["a.txt"]


def test_a_finished_write_appears_whole(tmp_path):
    with io.writing(tmp_path / "sub" / "a.txt") as aside:
        aside.write_text("new")
        assert not (tmp_path / "sub" / "a.txt").exists()
    assert (tmp_path / "sub" / "a.txt").read_text() == "new"


def test_jsonl_reads_what_it_wrote_gzip_or_not(tmp_path):
    records = [{"a": 1}, {"b": "ü\u2028"}]
    for name in ("x.jsonl", "x.jsonl.gz"):
        assert io.write_jsonl(tmp_path / name, records) == 2
        assert [record for _, record in io.read_jsonl(tmp_path / name)] == records


def test_gzip_is_told_by_content_not_by_name(tmp_path):
    (tmp_path / "x.jsonl").write_bytes(gzip.compress(b'{"a": 1}\n'))
    assert list(io.read_jsonl(tmp_path / "x.jsonl")) == [(1, {"a": 1})]


@pytest.mark.parametrize("line", ["{", "[1]", "3"])
def test_a_line_that_is_no_object_is_named(tmp_path, line):
    (tmp_path / "x.jsonl").write_text('{"a": 1}\n\n' + line)
    with pytest.raises(InputError, match=r"x\.jsonl: line 3 "):
        list(io.read_jsonl(tmp_path / "x.jsonl"))


def test_a_cut_gzip_file_is_an_input_error(tmp_path):
    content = gzip.compress(b'{"a": 1}\n' * 10_000)
    (tmp_path / "x.jsonl.gz").write_bytes(content[: len(content) // 2])
    with pytest.raises(InputError, match="ends early"):
        list(io.read_jsonl(tmp_path / "x.jsonl.gz"))


def test_text_that_is_not_utf8_is_an_input_error(tmp_path):
    (tmp_path / "x.tsv").write_bytes(b"a\tb\n\xff\xfe\n")
    with pytest.raises(InputError, match="not UTF-8"):
        list(io.lines(tmp_path / "x.tsv"))


def test_qrels_and_runs_read_what_was_written(tmp_path):
    qrels = {"q": {"d": 1, "e": 0}, "r": {"d": 2}}
    io.write_qrels(tmp_path / "test.tsv", qrels)
    assert io.read_qrels(tmp_path / "test.tsv") == qrels
    # Neighbours in float32: nine digits keep them apart.
    scores = [float(np.nextafter(np.float32(1), np.float32(2))), 1.0]
    hits = [ScoredDocument(f"d{place}", score) for place, score in enumerate(scores)]
    (tmp_path / "run.trec").write_text("".join(io.run_lines("q", hits, "tag")))
    read = io.read_run(tmp_path / "run.trec")["q"]
    assert [np.float32(hit.score) for hit in read] == [np.float32(score) for score in scores]


@pytest.mark.parametrize("text", ["q\td\t1\n", "query-id\tcorpus-id\tscore\nq\td\tx\n", ""])
def test_wrong_qrels_are_refused(tmp_path, text):
    (tmp_path / "test.tsv").write_text(text)
    with pytest.raises(InputError, match="test.tsv"):
        io.read_qrels(tmp_path / "test.tsv")


def test_a_run_line_of_other_form_is_named(tmp_path):
    (tmp_path / "run.trec").write_text("q Q0 d 1 0.5 tag\nq d 0.4\n")
    with pytest.raises(InputError, match=r"run\.trec: line 2 "):
        io.read_run(tmp_path / "run.trec")


@pytest.mark.parametrize("strings", [["a", "", "ü", "long " * 50], [], [""]])
def test_a_string_table_gives_back_its_strings(tmp_path, strings):
    assert io.StringTable.write(tmp_path / "ids", strings) == len(strings)
    table = io.StringTable(tmp_path / "ids")
    assert list(table[i] for i in range(len(table))) == strings
    with pytest.raises(IndexError):
        table[len(strings)]


def test_missing_files_are_named(tmp_path):
    with pytest.raises(InputError, match="nowhere.json does not exist"):
        io.read_json(tmp_path / "nowhere.json")
    with pytest.raises(InputError, match="is a folder"):
        io.read_json(tmp_path)
