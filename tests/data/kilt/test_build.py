"""A KILT folder is built once, the same every time, and only what changed is built again."""

import json
import os
import re

import pytest

from tart_jax.data import corpus, examples
from tart_jax.data.kilt import build
from tart_jax.train import dev
from tart_jax.types import InputError


@pytest.fixture
def options(source, write_lines, nq_records, provenance):
    """Two training files, one dev file, TriviaQA's questions."""
    trivia = [
        {"id": "t1", "output": [{"answer": "a", "provenance": [provenance("12", 1, 0, 1, 9)]}]}
    ]
    slots = [{"id": f"s{n}", "input": "Elm [SEP] height",
              "output": [{"answer": "tall", "provenance": [provenance("7", 1, 11, 1, 16)]}]}
             for n in range(3)]  # fmt: skip
    questions = write_lines("inputs.jsonl", [{"id": "t1", "input": "What burns"}])
    return {
        "knowledge_source": source,
        "tasks": {
            "trex": write_lines("trex-train-kilt.jsonl", slots),
            "triviaqa": write_lines("triviaqa-train_id-kilt.jsonl", trivia),
        },
        "dev_tasks": {"nq": write_lines("nq-dev-kilt.jsonl", nq_records)},
        "triviaqa_inputs": (questions,),
        "words": 5,
        "dev_documents": 3,
        "num_negatives": 2,
    }


def contents(folder):
    """Every file and its bytes; the record of the making aside, which holds dates."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name != build.STATE
    }


def dates(folder):
    return {name: (folder / name).stat().st_mtime_ns for name in contents(folder)}


def test_a_folder_holds_corpus_examples_and_dev_sets(tmp_path, options):
    table = build.run(tmp_path / "out", **options)
    out = tmp_path / "out"
    assert set(contents(out)) == {
        "corpus.jsonl", "passages.npy", "pages.npy", "train/trex.jsonl", "train/triviaqa.jsonl",
        "dev/nq/queries.jsonl", "dev/nq/qrels/test.tsv", "dev/nq/corpus.jsonl"}  # fmt: skip
    (trivia,) = examples.read(out / "train" / "triviaqa.jsonl")
    assert (trivia.task, trivia.query_id, trivia.query) == ("triviaqa", "t1", "What burns?")
    assert [document.doc_id for document in trivia.positives] == ["12-0"]
    assert len(trivia.negatives) == 2
    assert not {document.title for document in trivia.negatives} & {"Ash"}
    slots = list(examples.read(out / "train" / "trex.jsonl"))
    assert [example.query for example in slots] == ["Elm [SEP] height"] * 3
    assert table.header[0] == "part"


def test_every_item_that_leaves_is_counted_and_shown(tmp_path, options):
    table = build.run(tmp_path / "out", **options)
    parts = json.loads((tmp_path / "out" / "kilt.json").read_text())["parts"]
    nq = parts["dev/nq"]
    names = ("lines", "kept", "without provenance", "without a passage", "without answers")
    assert [nq[name] for name in names] == [9, 3, 3, 3, 2]
    assert nq["lines"] == nq["kept"] + nq["without provenance"] + nq["without a passage"]
    assert nq["dropped provenances"] == {
        "its bleu_score is too low": 1,
        "page not in the corpus": 1,
        "no passage at the place": 1,
    }
    shown = table.markdown()
    assert "| dev/nq | 9 | 2,837 | 3 | 3 | 3 | 2 | 7 | 3 |" in shown
    assert "| train/trex | 3 | 2,284,168 | 3 | 0 | 0 | 0 | 3 | 0 |" in shown
    assert "4 pages (published: 5,903,530), 11 passages (published: 36,000,000)" in shown
    assert "1 page not in the corpus" in shown and "Pages without a passage: 1" in shown


def test_the_counts_are_logged_beside_the_published_ones(tmp_path, options, caplog):
    caplog.set_level("INFO")
    build.run(tmp_path / "out", **options)
    assert "corpus: 4 pages, 11 passages; published: 5,903,530 and 36,000,000" in caplog.text
    assert "train/trex: 3 lines (published: 2,284,168), 3 kept" in caplog.text
    caplog.clear()
    build.run(tmp_path / "part", **options | {"max_pages": 2, "tasks": (), "dev_tasks": ()})
    assert "corpus: 2 pages, 9 passages; cut by max_pages" in caplog.text


def test_a_dev_set_is_read_by_the_evaluation_of_training(tmp_path, options):
    build.run(tmp_path / "out", **options)
    loaded = dev.load(tmp_path / "out" / "dev", table={}, max_queries=0, max_documents=0)
    task = loaded.tasks["nq"]
    assert [query.query_id for query in task.queries] == ["q1", "no_answer", "two_pages"]
    assert task.queries[0].text == "what is an oak?"
    assert task.qrels == {"q1": {"101-0": 1}, "no_answer": {"7-0": 1},
                          "two_pages": {"12-0": 1, "7-0": 1}}  # fmt: skip
    assert len(loaded.documents) == 3 + 3
    ids = [document.doc_id for document in corpus.read_documents(tmp_path / "out")]
    assert [document.doc_id for document in loaded.documents] == [
        doc_id for doc_id in ids if doc_id in {d.doc_id for d in loaded.documents}
    ]


def test_no_dev_documents_give_no_corpus_of_its_own(tmp_path, options):
    build.run(tmp_path / "out", **options | {"dev_documents": 0})
    assert not (tmp_path / "out" / "dev" / "nq" / "corpus.jsonl").exists()


def test_the_same_files_and_options_give_the_same_bytes(
    tmp_path, options, write_lines, page_records
):
    build.run(tmp_path / "one", **options)
    packed = write_lines("source.json.gz", page_records)
    pairs = tuple(f"{name}={path}" for name, path in options["tasks"].items())
    build.run(tmp_path / "two", **options | {"knowledge_source": packed, "tasks": pairs})
    assert contents(tmp_path / "one") == contents(tmp_path / "two")
    build.run(tmp_path / "three", **options | {"seed": 1})
    assert contents(tmp_path / "one") != contents(tmp_path / "three")  # the broken twin


def test_a_finished_folder_is_left_as_it_is(tmp_path, options):
    first = build.run(tmp_path / "out", **options)
    before = dates(tmp_path / "out")
    assert build.run(tmp_path / "out", **options) == first
    assert dates(tmp_path / "out") == before


def test_only_what_other_options_concern_is_built_again(tmp_path, options):
    build.run(tmp_path / "out", **options)
    before = dates(tmp_path / "out")
    build.run(tmp_path / "out", **options | {"num_negatives": 1})
    after = dates(tmp_path / "out")
    changed = {name for name in before if after[name] != before[name]}
    assert changed == {"train/trex.jsonl", "train/triviaqa.jsonl"}
    build.run(tmp_path / "new", **options | {"num_negatives": 1})
    assert contents(tmp_path / "out") == contents(tmp_path / "new")


def test_another_corpus_leaves_no_part_of_the_old_one(tmp_path, options):
    build.run(tmp_path / "out", **options)
    table = build.run(tmp_path / "out", **options | {"words": 4, "tasks": {}})
    assert not (tmp_path / "out" / "train" / "trex.jsonl").exists()
    assert [row[0] for row in table.rows] == ["dev/nq"]
    build.run(tmp_path / "new", **options | {"words": 4, "tasks": {}})
    assert contents(tmp_path / "out") == contents(tmp_path / "new")


def test_a_lost_file_is_made_again(tmp_path, options):
    build.run(tmp_path / "out", **options)
    before = contents(tmp_path / "out")
    (tmp_path / "out" / "train" / "trex.jsonl").unlink()
    build.run(tmp_path / "out", **options)
    assert contents(tmp_path / "out") == before


def test_a_build_that_broke_off_goes_on_where_it_was(tmp_path, options):
    good = options["tasks"]["triviaqa"].read_bytes()
    build.run(tmp_path / "new", **options)
    options["tasks"]["triviaqa"].write_bytes(good + b'{"id": 3, "input": 4}\n')
    with pytest.raises(InputError, match=r"triviaqa-train_id-kilt.jsonl: line 2: 'input'"):
        build.run(tmp_path / "out", **options)
    before = dates(tmp_path / "out")
    assert set(before) == {"corpus.jsonl", "passages.npy", "pages.npy", "train/trex.jsonl"}
    leftovers = [tmp_path / "out" / f".corpus.jsonl.{os.getpid()}9.tmp",
                 tmp_path / "out" / "train" / ".triviaqa.jsonl.1.tmp"]  # fmt: skip
    for path in leftovers:  # as a kill leaves them
        path.write_text("half")
    options["tasks"]["triviaqa"].write_bytes(good)
    build.run(tmp_path / "out", **options)
    assert not any(path.exists() for path in leftovers)
    assert contents(tmp_path / "out") == contents(tmp_path / "new")
    assert {name: dates(tmp_path / "out")[name] for name in before} == before


def test_a_changed_task_file_is_read_again(tmp_path, options):
    build.run(tmp_path / "out", **options)
    path = options["tasks"]["trex"]
    path.write_text("".join(path.read_text().splitlines(keepends=True)[:1]))
    table = build.run(tmp_path / "out", **options)
    assert [row[1] for row in table.rows if row[0] == "train/trex"] == ["1"]


def test_only_so_many_lines_are_read_as_asked_for(tmp_path, options):
    table = build.run(tmp_path / "out", **options | {"max_items": 1})
    assert [row[1] for row in table.rows] == ["1", "1", "1"]


@pytest.mark.parametrize(
    "change,said",
    [
        ({"knowledge_source": ""}, "knowledge_source is empty.*kilt_knowledgesource.json"),
        ({"knowledge_source": "nowhere.json"}, "knowledge_source nowhere.json does not exist"),
        ({"tasks": ("nq",)}, "tasks should hold 'task=file'.* not 'nq'"),
        ({"tasks": ("squad=x",)}, "'squad' is not a KILT task"),
        ({"tasks": ("nq=nowhere",)}, "tasks, nq: nowhere does not exist"),
        ({"tasks": {"wned": "x"}}, "'wned' has no training file; name it in dev_tasks"),
        ({"chunking": "pages"}, "chunking 'pages' is not one of words, sentences"),
        ({"words": 0}, "words is 0; it should be 1 or more"),
        ({"bleu": 1.5}, "bleu is 1.5"),
        ({"num_negatives": -1}, "num_negatives is -1"),
        ({"mention_words": -1}, "mention_words is -1"),
        ({"mention_marks": ("[E]",)}, "mention_marks should be two texts"),
    ],
)
def test_bad_options_are_refused_before_anything_is_written(tmp_path, options, change, said):
    with pytest.raises(InputError, match=said):
        build.run(tmp_path / "out", **options | change)
    assert not (tmp_path / "out").exists()


def test_a_task_named_twice_is_refused(tmp_path, options):
    path = options["tasks"]["trex"]
    with pytest.raises(InputError, match="tasks names the task 'trex' twice"):
        build.run(tmp_path / "out", **options | {"tasks": (f"trex={path}", f"trex={path}")})


def test_a_task_of_which_nothing_is_left_is_refused_with_the_reasons(tmp_path, options):
    with pytest.raises(
        InputError, match=r"triviaqa.*none of 1 items.*1 page not in the corpus.*max_pages"
    ):
        build.run(tmp_path / "out", **options | {"max_pages": 2})
    assert not (tmp_path / "out" / "train" / "triviaqa.jsonl").exists()


def test_a_dev_id_given_twice_is_refused(tmp_path, options, write_lines, nq_records):
    path = write_lines("nq-dev-kilt.jsonl", [nq_records[0], nq_records[0]])
    with pytest.raises(InputError, match=rf"{re.escape(str(path))}: 'id' 'q1' on lines 1 and 2"):
        build.run(tmp_path / "out", **options | {"dev_tasks": {"nq": path}})


def test_a_corpus_of_another_builder_is_never_overwritten(tmp_path, options):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "corpus.jsonl").write_text("mine\n")
    with pytest.raises(InputError, match="this builder did not write"):
        build.run(tmp_path / "out", **options)
    assert (tmp_path / "out" / "corpus.jsonl").read_text() == "mine\n"


def test_sentences_are_packed_when_told(tmp_path, options):
    build.run(tmp_path / "out", **options | {"chunking": "sentences", "words": 8})
    texts = [document.text for document in corpus.read_documents(tmp_path / "out")]
    assert texts[:2] == ["An oak is a tree.", "It bears acorns in autumn."]
