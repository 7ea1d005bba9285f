"""BERRI builds: records, counts, restarts, refusals, and the same by Beam."""

import json
import subprocess
import sys
import time
from dataclasses import replace

import pytest

from tart_jax.data import corpus
from tart_jax.data.berri import beam, build, rules
from tart_jax.data.berri.task import Dropped, Instance, Origin, Source, Task, Text
from tart_jax.data.sources import TfdsSource
from tart_jax.types import InputError

OPTIONS = {
    "seed": 0,
    "tasks": (),
    "download": False,
    "skip_missing": False,
    "num_negatives": 3,
    "max_instances": 0,
    "beam_runner": "",
    "beam_options": (),
}


def convert(paths):
    """Lines of the fixture: an instance, a document of its own, or one without an answer."""
    for path in paths:
        for number, line in enumerate(path.read_text("utf-8").splitlines()):
            record, key = json.loads(line), f"{path.name} {number}"
            if "query" not in record:
                yield Text(record["text"])
            elif record.get("positives") is None:
                yield Dropped(key, "no answer")
            else:
                texts = {k: tuple(map(Text, record.get(k, ()))) for k in ("positives", "hard")}
                yield Instance(record.get("key", key), record["query"], *texts.values())


TASK = Task(7, "small", "web", "question answering", "paragraph", convert, cap=40)


def question(number):
    return f"what is the answer number {number}?"


def lines():
    """70 instances: 5 short, 4 repeat others, 1 has no answer; the cap keeps 40 of the 60 left."""
    for i in range(60):
        hard = [f"hard {i}", f"  answer\n {i}"] if i % 3 == 0 else []
        yield {"query": question(i), "positives": [f"answer {i}", f"answer {i + 1}"], "hard": hard}
    for i in range(4):
        yield {"query": question(i), "positives": [f"answer {i + 1}", f"answer  {i}"]}
    for _ in range(5):
        yield {"query": "too short", "positives": ["a\0 text of a dropped instance"]}
    yield {"query": question(99)}
    yield {"text": "a document alone"}
    yield {"text": "\0"}


COUNTS = {
    "instances": 40,
    # answers 0 to 60, hard negatives, the dropped ones' text, the document alone
    "documents": 61 + 20 + 1 + 1,
    "drops": {"duplicate": 4, "no answer": 1, "over the cap": 20, "short query": 5},
    "texts_removed": {"empty document": 1, "negative equal to a positive": 20},
    "fewer_negatives": 0,
}


@pytest.fixture
def sources(tmp_path, monkeypatch):
    """A folder of sources for `TASK`, in two units, known as BERRI's only task."""
    folder = tmp_path / "sources" / "small"
    folder.mkdir(parents=True)
    rows = [json.dumps(line) for line in lines()]
    (folder / "a.jsonl").write_text("\n".join(rows[::2]), "utf-8")
    (folder / "b.jsonl").write_text("\n".join(rows[1::2]), "utf-8")
    known(monkeypatch, TASK, ("a.jsonl", "b.jsonl"))
    return str(folder.parent)


def known(monkeypatch, task, files):
    rows = tuple(Source(file, None, None, None, file) for file in files)
    origin = Origin(rows, "CC0", "@misc{small}", "from memory", "ask the authors for them.")
    tasks = type(sys)("tart_jax.data.berri.tasks")
    tasks.TASKS = {task.name: task}
    monkeypatch.setitem(sys.modules, "tart_jax.data.berri.tasks", tasks)
    monkeypatch.setattr(build, "origins", lambda: {task.name: origin})


def made(workdir, sources, **changes):
    return build.run(workdir, sources=sources, **(OPTIONS | changes))


def read(workdir):
    """(facts, examples, documents) of a finished build."""
    facts = json.loads((workdir / "berri" / "small" / "build.json").read_text())
    source = TfdsSource(workdir / "berri" / "small" / "1.0.0")
    documents = corpus.read_documents(workdir / "berri_corpus" / "small" / "1.0.0")
    return facts, [source[i] for i in range(len(source))], list(documents)


def shards(workdir):
    return {
        path.relative_to(workdir): path.read_bytes() for path in workdir.rglob("*.array_record*")
    }


def test_a_build_holds_what_the_rules_keep_and_counts_what_they_drop(tmp_path, sources):
    table = made(tmp_path / "run", sources)
    facts, examples, documents = read(tmp_path / "run")
    assert facts["counts"] == COUNTS
    assert table.rows[0][3:6] == ["40", "83", "30"]
    key = ["{}.jsonl {}".format("ab"[line % 2], line // 2) for line in range(70)].__getitem__
    keys = [min(map(key, (i, 60 + i) if i < 4 else (i,)), key=rules.key_hash) for i in range(60)]
    assert sorted(e.query_id for e in examples) == sorted(sorted(keys, key=rules.key_hash)[:40])
    by_id = {document.doc_id: document for document in documents}
    assert len(by_id) == len(documents) == 83
    for example in examples:
        given = (*example.positives, *example.negatives, *example.hard_negatives)
        assert all(rules.doc_id(d.text, d.title) == d.doc_id in by_id for d in given)
        negatives = {d.doc_id for d in example.negatives}
        assert len(negatives) == 3 and not negatives & {d.doc_id for d in example.positives}
        assert example.task == "small" and example.instruction is None
        assert all(d.text.startswith("hard") for d in example.hard_negatives)


def test_a_build_says_what_it_is_made_of(tmp_path, sources):
    made(tmp_path / "run", sources)
    facts = read(tmp_path / "run")[0]
    assert facts["finished"] and facts["options"]["cap"] == 40
    assert (facts["number"], facts["domain"], facts["unit"]) == (7, "web", "paragraph")
    assert (facts["licence"], facts["format"]) == ("CC0", "from memory")
    assert [len(source["sha256"]) for source in facts["sources"]] == [64, 64]
    folder = tmp_path / "run" / "berri" / "small" / "1.0.0"
    info = json.loads((folder / "dataset_info.json").read_text())
    assert info["citation"] == "@misc{small}" and "paragraph" in info["description"]
    assert TfdsSource(folder).tasks == {"small": 40}


def test_the_same_build_gives_the_same_bytes_whatever_the_order_of_the_sources(
    tmp_path, sources, monkeypatch
):
    made(tmp_path / "one", sources)
    known(monkeypatch, TASK, ("b.jsonl", "a.jsonl"))
    made(tmp_path / "two", sources)
    assert shards(tmp_path / "one") == shards(tmp_path / "two") != {}
    made(tmp_path / "three", sources, seed=1)
    different = {
        path.parts[0] for path, content in shards(tmp_path / "three").items()
        if content != shards(tmp_path / "one")[path]
    }  # fmt: skip
    assert different == {"berri"}  # other random negatives, the same corpus


def test_many_shards_hold_the_records_of_one_in_the_same_order(tmp_path, sources, monkeypatch):
    from tensorflow_datasets.core.utils.shard_utils import ShardConfig

    made(tmp_path / "one", sources)
    monkeypatch.setattr(ShardConfig, "min_shard_size", 1000)
    made(tmp_path / "many", sources)
    assert len(shards(tmp_path / "one")) == 2 and len(shards(tmp_path / "many")) > 8
    assert read(tmp_path / "one") == read(tmp_path / "many")


def test_a_finished_build_is_left_as_it_is_even_without_its_sources(tmp_path, sources):
    first = made(tmp_path / "run", sources)
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "run").rglob("*")}
    again = made(tmp_path / "run", str(tmp_path / "gone"))
    assert again == first
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "run").rglob("*")} == before


@pytest.mark.parametrize("change", [{"seed": 1}, {"num_negatives": 2}, {"max_instances": 5}])
def test_a_build_of_other_options_is_refused(tmp_path, sources, change):
    made(tmp_path / "run", sources)
    with pytest.raises(InputError, match="was built with options .* name another workdir or remo"):
        made(tmp_path / "run", sources, **change)


def test_a_build_of_other_sources_is_refused(tmp_path, sources):
    made(tmp_path / "run", sources)
    with (tmp_path / "sources" / "small" / "a.jsonl").open("a") as file:
        file.write("\n{}")
    with pytest.raises(InputError, match="was built from a.jsonl of"):
        made(tmp_path / "run", sources)


def test_a_folder_that_is_not_ours_is_refused_and_left_alone(tmp_path, sources):
    theirs = tmp_path / "run" / "berri" / "small" / "notes.txt"
    theirs.parent.mkdir(parents=True)
    theirs.write_text("mine")
    with pytest.raises(InputError, match="exists without a build.json"):
        made(tmp_path / "run", sources)
    (theirs.parent / "build.json").write_text("[]")
    with pytest.raises(InputError, match="no record of a BERRI build"):
        made(tmp_path / "run", sources)
    assert theirs.read_text() == "mine"


SLOW = """
import sys, time
from pathlib import Path
sys.path.insert(0, {tests!r})
import test_build
from tart_jax.data.berri import builder
from pytest import MonkeyPatch

def stuck(kind, *args, write=builder.write, **options):
    if kind.name == {stop!r}:
        Path({mark!r}).touch()
        time.sleep(600)
    return write(kind, *args, **options)

builder.write = stuck
test_build.known(MonkeyPatch(), test_build.TASK, ("a.jsonl", "b.jsonl"))
test_build.made(Path({run!r}), {sources!r})
"""


@pytest.mark.parametrize("stop", ["berri_corpus", "berri"])
def test_a_killed_build_starts_over_cleanly(tmp_path, sources, request, stop):
    mark = tmp_path / "mark"
    code = SLOW.format(
        tests=str(request.path.parent), stop=stop, mark=str(mark), run=str(tmp_path / "run"),
        sources=sources,
    )  # fmt: skip
    process = subprocess.Popen([sys.executable, "-c", code])
    while not mark.exists():
        assert process.poll() is None
        time.sleep(0.05)
    process.kill()
    process.wait()
    assert (tmp_path / "run" / ".small.building").exists()
    made(tmp_path / "run", sources)
    made(tmp_path / "whole", sources)
    assert shards(tmp_path / "run") == shards(tmp_path / "whole")
    assert not list((tmp_path / "run").glob(".*"))


def test_write_and_read_need_no_tensorflow(tmp_path, sources, request):
    code = f"""
import sys
sys.path.insert(0, {str(request.path.parent)!r})

import test_build
from pathlib import Path
from pytest import MonkeyPatch
test_build.known(MonkeyPatch(), test_build.TASK, ("a.jsonl", "b.jsonl"))
test_build.made(Path({str(tmp_path / "run")!r}), {sources!r})
facts, examples, documents = test_build.read(Path({str(tmp_path / "run")!r}))
assert "tensorflow" not in sys.modules
print(len(examples), len(documents), "apache_beam" in sys.modules)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout == "40 83 False\n", done.stderr


def test_missing_sources_are_named_with_the_way_to_get_them_before_anything_is_built(
    tmp_path, sources
):
    (tmp_path / "sources" / "small" / "b.jsonl").unlink()
    with pytest.raises(InputError, match=r"task small: b.jsonl not in .* ask the authors"):
        made(tmp_path / "run", sources)
    with pytest.raises(InputError, match="no task could be built"):
        made(tmp_path / "run", sources, skip_missing=True)
    assert not (tmp_path / "run").exists()


def test_a_task_left_out_for_its_files_is_shown(tmp_path, sources, monkeypatch):
    both = build.origins() | {"other": build.origins()["small"]}
    monkeypatch.setattr(build, "origins", lambda: both)
    tasks = sys.modules["tart_jax.data.berri.tasks"].TASKS
    tasks["other"] = replace(TASK, name="other")
    with pytest.raises(InputError, match="task other: a.jsonl, b.jsonl not in"):
        made(tmp_path / "run", sources)
    table = made(tmp_path / "run", sources, skip_missing=True)
    assert [row[0] for row in table.rows] == ["small"]
    assert "left out, as their files are missing: other" in table.note


def test_unknown_tasks_and_runners_are_refused(tmp_path, sources):
    with pytest.raises(InputError, match="names 'smal'; the tasks are small"):
        made(tmp_path / "run", sources, tasks=("smal",))
    with pytest.raises(InputError, match="'Direct' is not one of DirectRunner"):
        made(tmp_path / "run", sources, beam_runner="Direct")


def test_missing_beam_is_one_sentence_with_the_way_out(tmp_path, sources, monkeypatch):
    for name in [name for name in sys.modules if name.startswith("apache_beam")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "apache_beam", None)
    with pytest.raises(InputError, match=r"pip install 'tart-jax\[beam\]'"):
        made(tmp_path / "run", sources, beam_runner="DirectRunner")


def test_a_task_of_which_nothing_is_left_says_why(tmp_path, sources, monkeypatch):
    known(monkeypatch, replace(TASK, shortest_query=99), ("a.jsonl", "b.jsonl"))
    with pytest.raises(InputError, match=r"no instance is left of its files \(.*69 short query"):
        made(tmp_path / "run", sources)
    assert not (tmp_path / "run" / ".small.building").exists()


def test_a_corpus_too_small_for_the_negatives_gives_fewer_and_counts_them(tmp_path, monkeypatch):
    folder = tmp_path / "sources" / "small"
    folder.mkdir(parents=True)
    rows = [{"query": question(i), "positives": [f"answer {i}"]} for i in range(3)]
    (folder / "a.jsonl").write_text("\n".join(map(json.dumps, rows)))
    known(monkeypatch, TASK, ("a.jsonl",))
    made(tmp_path / "run", str(folder.parent))
    facts, examples, _ = read(tmp_path / "run")
    assert [len(e.negatives) for e in examples] == [2, 2, 2]
    assert facts["counts"]["fewer_negatives"] == 3


@pytest.mark.parametrize("least", [64 << 20, 1000])
def test_beam_gives_the_records_of_the_local_build(tmp_path, sources, monkeypatch, least):
    pytest.importorskip("apache_beam")
    from tensorflow_datasets.core.utils.shard_utils import ShardConfig

    monkeypatch.setattr(ShardConfig, "min_shard_size", least)  # the default, and many shards
    made(tmp_path / "local", sources)
    made(tmp_path / "beam", sources, beam_runner="DirectRunner")
    assert read(tmp_path / "local") == read(tmp_path / "beam")
    assert read(tmp_path / "beam")[0]["counts"] == COUNTS
    assert shards(tmp_path / "local") == shards(tmp_path / "beam")
    assert (len(shards(tmp_path / "beam")) > 8) == (least == 1000)


def test_beam_refuses_one_key_for_two_instances_as_the_local_build_does(
    tmp_path, sources, monkeypatch
):
    pytest.importorskip("apache_beam")
    with (tmp_path / "sources" / "small" / "a.jsonl").open("a") as file:
        for i in range(2):
            row = {"key": "twice", "query": question(200 + i), "positives": ["a"]}
            file.write("\n" + json.dumps(row))
    for runner in ("", "DirectRunner"):
        with pytest.raises(InputError, match="two different instances have the key 'twice'"):
            made(tmp_path / f"run{runner}", sources, beam_runner=runner)


def test_every_runner_of_beam_is_named():
    assert beam.RUNNERS == ("DirectRunner", "FlinkRunner", "SparkRunner", "DataflowRunner")
