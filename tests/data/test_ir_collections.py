"""Collections of ir_datasets become folders in BEIR's layout, once."""

import ir_datasets
import pytest
from ir_datasets.datasets.base import Dataset
from ir_datasets.formats import (
    BaseDocs,
    BaseQrels,
    BaseQueries,
    GenericDoc,
    GenericQuery,
    TrecQrel,
)  # fmt: skip

from tart_jax import cli, io
from tart_jax.data import ir_collections
from tart_jax.types import InputError

WORDS = ("river", "stone", "cloud")


class Docs(BaseDocs):
    def docs_iter(self):
        yield from (GenericDoc(f"d{n}", f"apple {word}") for n, word in enumerate(WORDS))

    def docs_cls(self):
        return GenericDoc


class Queries(BaseQueries):
    def queries_iter(self):
        yield from (GenericQuery("0", "river"), GenericQuery("1", "stone"))

    def queries_cls(self):
        return GenericQuery


class Judged(BaseQrels):
    def qrels_iter(self):
        yield from (TrecQrel("0", "d0", 2, "0"), TrecQrel("1", "d1", 1, "0"))

    def qrels_cls(self):
        return TrecQrel

    def qrels_defs(self):
        return {1: "yes", 2: "very"}


@pytest.fixture(scope="module", autouse=True)
def registered():
    ir_datasets.registry.register("tart-test/whole", Dataset(Docs(), Queries(), Judged()))
    ir_datasets.registry.register("tart-test/bare", Dataset(Docs()))


def test_a_collection_is_written_once_and_holds_query_0(tmp_path):
    found = ir_collections.folder("tart-test/whole", tmp_path)
    assert found == tmp_path / "ir_datasets" / "tart-test" / "whole"
    rows = [row for _, row in io.read_jsonl(found / "corpus.jsonl")]
    assert rows[2] == {"_id": "d2", "title": "", "text": "apple cloud"}
    assert io.read_qrels(found / "qrels" / "test.tsv") == {"0": {"d0": 2}, "1": {"d1": 1}}
    stamp = (found / "corpus.jsonl").stat().st_mtime_ns
    assert ir_collections.folder("tart-test/whole", tmp_path) == found
    assert (found / "corpus.jsonl").stat().st_mtime_ns == stamp


def test_a_table_of_tasks_names_one(tmp_path):
    header = "task folder split instruction group url md5 documents queries".split()
    cells = ["own", "ir_datasets:tart-test/whole", "test", "Find it.", "", "", "", "3", "2"]
    (tmp_path / "tasks.tsv").write_text("\t".join(header) + "\n" + "\t".join(cells) + "\n")
    words = [f"benchmark={tmp_path / 'tasks.tsv'}", f"root={tmp_path}", "retriever=BM25", "k=3"]
    command = ["evaluate", *(f"--config.{word}" for word in words), f"--workdir={tmp_path / 'a'}"]
    assert cli.main(command) == 0
    (found,) = io.read_json(tmp_path / "a" / "results.json")["rows"]
    assert found["queries"] == 2 and found["measures"]["nDCG@10"]["mean"] == 1


@pytest.mark.parametrize(
    "name, said", [("tart-test/none", "no collection"), ("tart-test/bare", "no queries, qrels")]
)
def test_what_cannot_be_had_is_told_and_leaves_nothing(tmp_path, name, said):
    with pytest.raises(InputError, match=said):
        ir_collections.folder(name, tmp_path)
    assert not list(tmp_path.iterdir())


def test_without_the_package_the_way_to_it_is_told(tmp_path, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "ir_datasets", None)
    with pytest.raises(InputError, match="pip install ir_datasets"):
        ir_collections.folder("tart-test/whole", tmp_path)
