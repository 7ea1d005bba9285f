"""Tables of tasks, their files, and the test folder made of them."""

import functools
import hashlib
import http.server
import threading
import zipfile
from pathlib import Path

import pytest

from tart_jax import io
from tart_jax.data import corpus
from tart_jax.data.instructions import read_table
from tart_jax.data.kilt import tasks as kilt_tasks
from tart_jax.evaluate import collections
from tart_jax.evaluate.collections import Row
from tart_jax.types import InputError

TABLES = ("nanobeir", "beir", "lotte", "x2", "birco")


def row(task, **values):
    return Row(task, **({"folder": task, "split": "test",
                         "instruction": f"Find {task}.", "group": "", "url": "", "md5": "",
                         "documents": "", "queries": ""} | values))  # fmt: skip


def beir(folder, texts=("one", "two"), split="test"):
    io.write_jsonl(
        folder / "corpus.jsonl",
        [{"_id": str(n), "title": "T", "text": text} for n, text in enumerate(texts)],
    )
    io.write_jsonl(
        folder / "queries.jsonl", [{"_id": q, "text": f"query {q}"} for q in ("0", "1", "unjudged")]
    )
    io.write_qrels(folder / "qrels" / f"{split}.tsv", {"0": {"1": 1}, "1": {"0": 2}})
    return folder


@pytest.mark.parametrize("name", TABLES)
def test_the_shipped_tables_are_whole(name):
    rows = collections.read(f"configs/evaluate/{name}.tsv")
    for found in (row for row in rows if row.split):
        instructions = collections._instruction(found, Path(".")).instructions
        assert instructions and all(instructions)
        assert not found.md5 or len(found.md5) == 32
        assert found.url == "" or found.url.startswith("https://")


def test_beir_has_its_sets_and_cqadupstack_is_one_of_them():
    rows = collections.read("configs/evaluate/beir.tsv")
    groups = {row.group or row.task for row in rows}
    assert len(groups) == 16 and len(rows) == 27  # Touche in two versions
    assert sum(row.group == "cqadupstack" for row in rows) == 12
    assert collections.read("configs/evaluate/beir.tsv", ["cqadupstack"]) == [
        row for row in rows if row.group
    ]


def test_published_figures_name_known_tasks_and_their_source():
    tasks = {
        row.task for name in TABLES for row in collections.read(f"configs/evaluate/{name}.tsv")
    }
    tasks |= set(kilt_tasks.TASKS)
    rows = collections.published()
    assert len(rows) > 50
    for figure in rows:
        assert figure.task in tasks and 0 <= float(figure.value) <= 1 and figure.source


def test_a_test_folder_is_made_with_the_ids_of_its_tasks(tmp_path):
    for name in ("a", "b"):
        beir(tmp_path / name)
    rows = [row("a"), row("b"), row("only", folder="a", split="")]
    out = collections.make(tmp_path / "out", rows, tmp_path, pooled=True, download=False)
    pooled = [d.doc_id for d in corpus.read_documents(out / "pooled")]
    assert pooled == ["a/0", "a/1", "b/0", "b/1", "only/0", "only/1"]
    assert [q.query_id for q in corpus.read_queries(out / "a")] == ["a/0", "a/1"]  # the judged
    assert io.read_qrels(out / "b" / "qrels" / "test.tsv") == {
        "b/0": {"b/1": 1}, "b/1": {"b/0": 2}
    }  # fmt: skip
    assert set(read_table(out / "instructions.tsv")) == {"a", "b"}  # nothing is asked of "only"
    before = (out / "dataset.json").stat().st_mtime_ns
    collections.make(tmp_path / "out", rows, tmp_path, pooled=True, download=False)
    assert (out / "dataset.json").stat().st_mtime_ns == before
    collections.make(tmp_path / "out", rows[:1], tmp_path, pooled=False, download=False)
    assert not (out / "b").exists() and not (out / "pooled").exists()


def test_the_queries_of_training_examples_may_be_documents_that_look_alike(tmp_path):
    beir(tmp_path / "a")
    example = {
        "task": "a",
        "query_id": "q7",
        "query": "Is it one?",
        "positives": [],
        "negatives": [],
    }
    example["positives"] = [{"doc_id": "0", "text": "one"}]
    io.write_jsonl(tmp_path / "train" / "a.jsonl", [example])
    (tmp_path / "words.tsv").write_text(
        "task\tintent\tdomain\tunit\tinstruction_1\nmine\ta\tb\tc\tFind mine.\n"
    )
    rows = [
        row("a", instruction="words.tsv/mine"),
        row("a-questions", folder="train/a.jsonl", split=""),
    ]
    out = collections.make(tmp_path / "out", rows, tmp_path, pooled=True, download=False)
    found = {d.doc_id: d.text for d in corpus.read_documents(out / "pooled")}
    assert found["a-questions/q7"] == "Is it one?" and len(found) == 3
    assert read_table(out / "instructions.tsv")["a"].instructions == ("Find mine.",)


def test_lotte_is_read_as_it_is_published_and_query_0_counts(tmp_path):
    folder = tmp_path / "lotte" / "writing" / "test"
    folder.mkdir(parents=True)
    (folder / "collection.tsv").write_text("0\ta text\twith a tab\n1\tanother\n")
    for split in ("search", "forum"):
        io.write_jsonl(
            folder / f"qas.{split}.jsonl",
            [{"qid": 0, "query": f"{split}?", "answer_pids": [1]},
             {"qid": 7, "query": "why", "answer_pids": [0, 1]}],
        )  # fmt: skip
    rows = [row("w-forum", folder="lotte/writing/test", split="forum")]
    out = collections.make(tmp_path / "out", rows, tmp_path, pooled=False, download=False)
    queries = corpus.read_queries(out / "w-forum")
    assert [(q.query_id, q.text) for q in queries] == [
        ("w-forum/0", "forum?"), ("w-forum/7", "why")
    ]  # fmt: skip
    qrels = io.read_qrels(out / "w-forum" / "qrels" / "test.tsv")
    assert qrels["w-forum/0"] == {"w-forum/1": 1}
    texts = [d.text for d in corpus.read_documents(out / "w-forum")]
    assert texts == ["a text\twith a tab", "another"]


def test_another_count_than_published_is_said(tmp_path, caplog):
    beir(tmp_path / "a")
    rows = [row("a", documents="3", queries="2")]
    with caplog.at_level("WARNING", logger="tart_jax"):
        collections.make(tmp_path / "out", rows, tmp_path, pooled=False, download=False)
    assert "a: 2 documents, published are 3." in caplog.text and "queries" not in caplog.text


@pytest.fixture
def served(tmp_path):
    """(address of a zip file of a collection, its md5, a folder without it)"""
    beir(tmp_path / "made" / "fiqa")
    archive = tmp_path / "served" / "fiqa.zip"
    archive.parent.mkdir()
    with zipfile.ZipFile(archive, "w") as zipped:
        for path in sorted((tmp_path / "made").rglob("*.*")):
            zipped.write(path, path.relative_to(tmp_path / "made"))
    handler = functools.partial(Silent, directory=str(archive.parent))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        address = f"http://127.0.0.1:{server.server_port}/fiqa.zip"
        yield address, hashlib.md5(archive.read_bytes()).hexdigest(), tmp_path / "root"
        server.shutdown()


class Silent(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *args):
        pass


def test_a_missing_collection_is_downloaded_verified_and_unpacked(served):
    address, md5, root = served
    wanted = row("fiqa", url=address, md5=md5)
    with pytest.raises(InputError, match="config.download=True"):
        collections.find(wanted, root, download=False)
    assert len(list(corpus.read_documents(collections.find(wanted, root, download=True)))) == 2
    assert collections.find(wanted, root, download=False) == root / "fiqa"


def test_a_mirror_is_asked_where_the_first_address_does_not_answer(served, caplog):
    address, md5, root = served
    both = f"{address.replace('fiqa', 'gone')} {address}"
    with caplog.at_level("WARNING", logger="tart_jax"):
        assert collections.find(row("fiqa", url=both, md5=md5), root, download=True).is_dir()
    assert f"Now asking {address}" in caplog.text


def test_a_folder_that_lacks_the_task_is_not_written_over(served):
    address, md5, root = served
    (root / "fiqa").mkdir(parents=True)
    with pytest.raises(InputError, match="is there and holds no fiqa/part"):
        collections.find(row("x", folder="fiqa/part", url=address, md5=md5), root, download=True)


def test_another_file_than_published_is_refused(served):
    address, md5, root = served
    with pytest.raises(InputError, match=f"the md5 {md5}, not the {'0' * 32}"):
        collections.find(row("fiqa", url=address, md5="0" * 32), root, download=True)
    assert not (root / "fiqa").exists()


@pytest.mark.parametrize(
    "change, said",
    [
        ({"folder": "nowhere"}, "no address is known for it"),
        ({"folder": "nowhere", "url": "https://x/y.tar.gz"}, "get it from https://x/y.tar.gz"),
        ({"split": "dev"}, "dev.tsv"),
        ({"instruction": "bank:beir/nothing"}, "names no row of bank:beir"),
    ],
)
def test_what_is_missing_is_told(tmp_path, change, said):
    beir(tmp_path / "a")
    with pytest.raises(InputError, match=said):
        collections.make(
            tmp_path / "out", [row("a", **change)], tmp_path, pooled=False, download=False
        )
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    "text, said",
    [
        ("task\tfolder\n", "line 1 should name the columns task folder split"),
        ("\t".join(Row._fields) + "\na\tb\n", "line 2 has 2 cells, not 9"),
        ("\t".join(Row._fields) + "\n" + 2 * ("\t".join("a" * 9) + "\n"), "or one twice"),
    ],
)
def test_a_table_of_another_form_is_refused(tmp_path, text, said):
    (tmp_path / "t.tsv").write_text(text)
    with pytest.raises(InputError, match=said):
        collections.read(tmp_path / "t.tsv")
