"""Collections become tasks: splits by rule, no held-out text in training, ids that never clash."""

import json

import pytest

from tart_jax import io
from tart_jax.data import beir_tasks, corpus, examples, instructions
from tart_jax.data.splits import split_of
from tart_jax.train import dev
from tart_jax.types import InputError

OPTIONS = dict(
    held_out=(), banks=("berri", "beir"), num_negatives=3, max_train_per_task=0,
    max_dev_queries=0, seed=0,
)  # fmt: skip


def collection(folder, name: str, count: int, splits=("test",), shared: str = "") -> None:
    """Query i asks for document i; with `shared`, document 0 of it has that text."""
    (folder / name / "qrels").mkdir(parents=True)
    io.write_jsonl(
        folder / name / "corpus.jsonl",
        (
            {"_id": str(i), "title": "", "text": shared if shared and not i else f"{name} doc {i}"}
            for i in range(count)
        ),
    )
    queries = ({"_id": str(i), "text": f"{name} query {i}"} for i in range(count))
    io.write_jsonl(folder / name / "queries.jsonl", queries)
    for number, split in enumerate(splits):
        rows = {str(i): {str(i): 1} for i in range(count) if i % len(splits) == number}
        io.write_qrels(folder / name / "qrels" / f"{split}.tsv", rows)


@pytest.fixture
def root(tmp_path):
    folder = tmp_path / "root"
    collection(folder, "a", 60)
    collection(folder, "b", 60, ("train", "dev", "test"))
    collection(folder, "c", 30, shared="a doc 1")
    return folder


def build(root, workdir, **changes):
    tasks = ("squad=a", "nfcorpus=b", "quora=c")
    table = beir_tasks.run(workdir, **(OPTIONS | {"tasks": tasks, "root": str(root)} | changes))
    return table, {
        path.stem: list(examples.read(path)) for path in sorted((workdir / "train").glob("*"))
    }


def test_queries_go_by_hash_where_no_training_split_is_published(root, tmp_path):
    _, train = build(root, tmp_path / "out")
    wanted = {f"a query {i}" for i in range(60) if split_of(f"a query {i}") == "train"}
    assert {example.query for example in train["squad"]} <= wanted
    test = corpus.read_queries(tmp_path / "out" / "test" / "squad")
    assert {q.text for q in test} == {
        f"a query {i}" for i in range(60) if split_of(f"a query {i}") == "test"
    }
    assert {e.query for e in train["nfcorpus"]} == {f"b query {i}" for i in range(0, 60, 3)}


def test_no_training_text_equals_a_text_of_dev_or_test(root, tmp_path):
    # Without b: splits that their publisher made may share documents, and stay as they are.
    _, train = build(root, tmp_path / "out", tasks=("squad=a", "quora=c"))
    held: set[str] = set()
    for split in ("dev", "test"):
        for folder in (tmp_path / "out" / split).glob("*/queries.jsonl"):
            answers = {
                d for hits in io.read_qrels(folder.parent / "qrels/test.tsv").values() for d in hits
            }
            held |= {q.text for q in corpus.read_queries(folder)}
            documents = corpus.read_documents(folder.parent)
            held |= {d.text for d in documents if d.doc_id in answers}
    texts = {
        text
        for rows in train.values()
        for e in rows
        for text in (e.query, *(d.text for d in (*e.positives, *e.negatives)))
    }
    assert len(held) > 40 and len(texts) > 100
    assert not held & texts


def test_a_document_that_another_task_tests_with_leaves_training(tmp_path):
    # Query 0 of c, a training query, is answered by a text that a's test holds.
    tested = next(i for i in range(60) if split_of(f"a query {i}") == "test")
    assert split_of("c query 1") == "train"
    root = tmp_path / "root"
    collection(root, "a", 60)
    collection(root, "c", 30, shared=f"a doc {tested}")
    io.write_qrels(root / "c/qrels/test.tsv", {"1": {"0": 1}, "2": {"2": 1}})
    table, train = build(root, tmp_path / "out", tasks=("squad=a", "quora=c"))
    assert "c query 1" not in {e.query for e in train["quora"]}
    assert "1 no positive left" in {row[0]: row[-1] for row in table.rows}["quora"]
    io.write_jsonl(  # the twin: with another text the example stays
        root / "c/corpus.jsonl", ({"_id": str(i), "text": f"c doc {i}"} for i in range(30))
    )
    _, train = build(root, tmp_path / "other", tasks=("squad=a", "quora=c"))
    assert "c query 1" in {e.query for e in train["quora"]}


def test_a_held_out_task_is_tested_on_and_never_trained_on(root, tmp_path):
    _, train = build(root, tmp_path / "out", held_out=("nfcorpus",))
    assert set(train) == {"squad", "quora"}
    assert not (tmp_path / "out/dev/nfcorpus").exists()
    assert len(corpus.read_queries(tmp_path / "out/test/nfcorpus")) == 20
    assert set(instructions.read_table(tmp_path / "out/instructions.tsv")) == {"squad", "quora"}
    assert "nfcorpus" in instructions.read_table(tmp_path / "out/test/instructions.tsv")


def test_the_tests_wording_is_not_trained_on(root, tmp_path):
    build(root, tmp_path / "out")
    train, test = (
        instructions.read_table(tmp_path / "out" / name)
        for name in ("instructions.tsv", "test/instructions.tsv")
    )
    for task, row in test.items():
        assert len(row.instructions) == 1
        assert row.instructions[0] not in train[task].instructions


def test_random_negatives_are_of_the_task_and_never_its_answer(root, tmp_path):
    _, train = build(root, tmp_path / "out")
    for task, rows in train.items():
        for example in rows:
            assert len(example.negatives) == OPTIONS["num_negatives"]
            ids = {document.doc_id for document in example.negatives}
            assert len(ids) == OPTIONS["num_negatives"]
            assert not ids & {d.doc_id for d in example.positives}
            assert all(doc_id.startswith(f"{task}/") for doc_id in ids)


def test_dev_and_pool_are_read_by_training_and_search(root, tmp_path):
    build(root, tmp_path / "out", max_dev_queries=2)
    found = dev.load(tmp_path / "out" / "dev", table={}, max_queries=0, max_documents=0)
    assert {name: len(task.queries) for name, task in found.tasks.items()} == {
        "squad": 2, "nfcorpus": 2, "quora": 2,
    }  # fmt: skip
    pooled = list(corpus.read_documents(tmp_path / "out/test/pooled"))
    assert len(pooled) == len({d.doc_id for d in pooled}) == 150


def test_a_finished_folder_is_left_and_other_options_or_sources_make_it_anew(root, tmp_path):
    out = tmp_path / "out"
    build(root, out)
    before = (out / "dataset.json").stat().st_mtime_ns
    build(root, out)
    assert (out / "dataset.json").stat().st_mtime_ns == before
    build(root, out, num_negatives=1)
    stats = json.loads((out / "dataset.json").read_text())
    assert stats["options"]["num_negatives"] == 1
    with (root / "a/queries.jsonl").open("a") as file:
        file.write('{"_id": "new", "text": "one more"}\n')
    build(root, out, num_negatives=1)
    assert json.loads((out / "dataset.json").read_text())["sources"] != stats["sources"]


def test_the_same_options_give_the_same_bytes(root, tmp_path):
    for name in ("one", "two"):
        build(root, tmp_path / name)
    prints = [
        json.loads((tmp_path / name / "dataset.json").read_text())["fingerprint"]
        for name in ("one", "two")
    ]
    assert prints[0] == prints[1]
    build(root, tmp_path / "three", seed=1)
    assert json.loads((tmp_path / "three/dataset.json").read_text())["fingerprint"] != prints[0]


@pytest.mark.parametrize(
    "changes, message",
    [
        ({"tasks": ("squad",)}, "'squad' should look like 'name=folder'"),
        ({"tasks": ("squad=nowhere",)}, "nowhere does not exist"),
        ({"tasks": ("zzz=a",)}, "no instruction bank of berri, beir has the task 'zzz'"),
        ({"held_out": ("zzz",)}, r"config.held_out \['zzz'\] is not among"),
        ({"tasks": ("squad=a", "squad=b")}, "stands there twice"),
    ],
)
def test_what_does_not_fit_is_refused_and_nothing_is_written(root, tmp_path, changes, message):
    with pytest.raises(InputError, match=message):
        build(root, tmp_path / "out", **changes)
    assert not (tmp_path / "out").exists()
