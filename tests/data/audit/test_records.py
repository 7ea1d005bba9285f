"""Sources are found and read leniently: what cannot be read is told, with its line."""

import gzip
import json

import pytest

from tart_jax.data.audit import records
from tart_jax.types import InputError


def test_a_folder_gives_its_sources_in_order(tmp_path, planted, tiny_corpus):
    planted.write(tmp_path / "b.jsonl", planted.clean(2))
    (tmp_path / "deep" / "er").mkdir(parents=True)
    with gzip.open(tmp_path / "deep" / "er" / "c.jsonl.gz", "wt") as file:
        file.write(json.dumps(planted.example(1)) + "\n")
    (tmp_path / "a").symlink_to(tiny_corpus)
    (tmp_path / ".hidden").mkdir()
    planted.write(tmp_path / ".hidden" / "d.jsonl", ["{no"])
    (tmp_path / "README.md").write_text("no data")
    found = records.find(tmp_path)
    assert [(source.layout, source.name) for source in found] == [
        ("beir", "a"), ("jsonl", "b"), ("jsonl", "c"),
    ]  # fmt: skip
    assert [len(list(source.items())) for source in found] == [28, 2, 1]


def test_a_path_without_data_is_refused(tmp_path):
    (tmp_path / "notes.txt").write_text("x")
    for path, said in ((tmp_path, "holds nothing to audit"), (tmp_path / "notes.txt", "jsonl")):
        with pytest.raises(InputError, match=said):
            records.find(path)


@pytest.mark.parametrize(
    "line",
    [
        b"{",
        b"[1]",
        b'{"task": "a", "query_id": "1", "query": "\xff\xfe"}',
        b'{"task": "a", "query_id": "1"}',
        b'{"task": "a", "query_id": " ", "query": "x"}',
        b'{"task": "a", "query_id": "1", "query": NaN}',
        b'{"task": "a", "query_id": "1", "query": "x", "instruction": 3}',
        b'{"task": "a", "query_id": "1", "query": "x", "positives": {}}',
        b'{"task": "a", "query_id": "1", "query": "x", "positives": [{"doc_id": 1, "text": "x"}]}',
        b'{"task": "a", "query_id": "1", "query": "x", "negatives": [null]}',
        b"[" * 100_000,
    ],
)
def test_a_broken_record_is_a_finding_and_the_next_is_read(tmp_path, planted, line):
    path = tmp_path / "train.jsonl"
    good = json.dumps(planted.example(1)).encode()
    path.write_bytes(line + b"\n\n" + good + b"\n")
    bad, fine = records.find(path)[0].items()
    assert bad.problem and bad.where == f"{path}: line 1"
    assert not fine.problem and fine.where == f"{path}: line 3"


def test_a_cut_gzip_is_refused_with_its_line(tmp_path, planted):
    data = gzip.compress("\n".join(map(json.dumps, planted.clean(400))).encode())
    (tmp_path / "train.jsonl.gz").write_bytes(data[: len(data) // 2])
    with pytest.raises(InputError, match="gzip stream ends early or is broken after line"):
        list(records.find(tmp_path)[0].items())
