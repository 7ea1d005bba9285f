import random
import subprocess
import sys
from pathlib import Path

import pytest

from tart_jax import io
from tart_jax.data import examples, instructions, python_library
from tart_jax.data.corpus import read_documents
from tart_jax.data.duplicates import jaccard, shingles, words
from tart_jax.data.python_library import PROSE_TASKS, SHARED_QUERY_TASKS, TASKS, build, wordings
from tart_jax.data.python_tasks import MOST_HARD, MOST_UNFOLLOWING, contains
from tart_jax.types import InputError

OPTIONS = {"max_test_queries_per_task": 12, "max_dev_queries_per_task": 4, "num_negatives": 3}
TOPICS = {
    f"topic{i}": f"Heading number {i}\n{'*' * 20}\n\n" + f"Paragraph {i * 7} of rule {i}. " * 5
    for i in range(20)
}


def function(rng: random.Random, name: str) -> str:
    def some(count: int) -> str:
        return " ".join("".join(rng.choices("aeioulmnrst", k=6)) for _ in range(count))

    indent = "    " if "self" in name else ""
    body = [
        f"def {name}:",
        f'    """Turn {some(6)}.',
        f"\n    {some(20)}.\n",
        '    """',
        f"    {some(1)} = '{some(5)}'",
        f"    return '{some(8)}'",
    ]
    return "\n".join(indent + line for line in body)


def module(rng: random.Random, number: int) -> str:
    parts = [f'"""Module {number}. ' + " ".join(rng.choices("opqrstuvw", k=60)) + '"""']
    parts += [function(rng, f"f{number}_{i}(a, b=1)") for i in range(3)]
    parts += [f'class C{number}:\n    """' + " ".join(rng.choices("abcdefgh", k=60)) + '"""']
    parts += [function(rng, f"method{i}(self)") for i in range(2)]
    return "\n\n".join(parts) + "\n"


@pytest.fixture(scope="module")
def library(tmp_path_factory) -> Path:
    """Twelve modules, each with a copy in which one word differs; a bad file; a test file."""
    root = tmp_path_factory.mktemp("library")
    for number in range(12):
        text = module(random.Random(number), number)
        (root / f"m{number}.py").write_text(text)
        (root / f"copy{number}.py").write_text(text.replace("Turn ", "Turn all ", 1))
    (root / "broken.py").write_text("def f(:\n")
    (root / "null.py").write_bytes(b"x = 1\0")
    (root / "tests").mkdir()
    (root / "tests" / "test_f.py").write_text(module(random.Random(99), 99))
    return root


@pytest.fixture(scope="module")
def built(library, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("built") / "set"
    build(folder, library=library, topics=TOPICS, **OPTIONS)
    return folder


@pytest.fixture(scope="module")
def real(tmp_path_factory) -> Path:
    """This Python's own library in a quick form."""
    folder = tmp_path_factory.mktemp("real") / "set"
    build(folder, max_modules=60, max_train_per_task=60, **OPTIONS)
    return folder


def held_out_texts(folder: Path) -> list[str]:
    texts = []
    for split in ("dev", "test"):
        texts += [d.text for d in read_documents(folder / split / "pooled" / "corpus.jsonl")]
        for path in sorted((folder / split).glob("*/queries.jsonl")):
            texts += [record["text"] for _, record in io.read_jsonl(path)]
    return texts


def training_texts(folder: Path) -> list[str]:
    texts: dict[str, None] = {}
    for example in examples.read(folder / "train.jsonl"):
        texts[example.query] = None
        for name in examples.DOCUMENT_FIELDS:
            texts |= dict.fromkeys(document.text for document in getattr(example, name))
    return list(texts)


def repeats(folder: Path, threshold: float) -> list[str]:
    known = [shingles(words(text)) for text in dict.fromkeys(held_out_texts(folder))]
    found = []
    for text in training_texts(folder):
        each = shingles(words(text))
        if any(not each.isdisjoint(other) and jaccard(each, other) >= threshold for other in known):
            found.append(text)
    return found


def test_the_same_library_gives_the_same_bytes(library, built, tmp_path):
    again = build(tmp_path / "again", library=library, topics=TOPICS, **OPTIONS)
    assert again == io.read_json(built / "dataset.json")
    files = sorted(p.relative_to(built) for p in built.rglob("*") if p.is_file())
    assert len(files) > 40
    for name in files:
        assert (built / name).read_bytes() == (tmp_path / "again" / name).read_bytes()
    other = build(tmp_path / "other", library=library, topics=TOPICS, seed=1, **OPTIONS)
    assert other["fingerprint"] != again["fingerprint"]  # the broken twin


def test_no_hash_seed_decides_anything(library, built, tmp_path):
    code = (
        "import sys; from tart_jax.data.python_library import build;"
        f"print(build(sys.argv[1], library=sys.argv[2], topics={TOPICS!r}, **{OPTIONS!r})"
        "['fingerprint'])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "set"), str(library)],
        env={"PYTHONHASHSEED": "12345", "PATH": "", "PYTHONPATH": ":".join(sys.path)},
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert done.stdout.strip() == io.read_json(built / "dataset.json")["fingerprint"]


@pytest.mark.parametrize("which", ["built", "real"])
def test_no_positive_contains_its_query(which, request):
    folder = request.getfixturevalue(which)
    pairs = []
    for example in examples.read(folder / "train.jsonl"):
        pairs += [(example.query, document) for document in example.positives]
    for split in ("dev", "test"):
        for task in TASKS:
            home = folder / split / task
            documents = {document.doc_id: document for document in read_documents(home)}
            qrels = io.read_qrels(home / "qrels" / "test.tsv")
            for _, record in io.read_jsonl(home / "queries.jsonl"):
                pairs += [(record["text"], documents[i]) for i in qrels[record["_id"]]]
    assert len(pairs) > 150
    for query, document in pairs:
        assert not contains(document.contents(), query)
        if document.doc_id.split("/")[0] in SHARED_QUERY_TASKS:  # nor without the module's name
            assert not contains(document.contents(), query.split(": ", 1)[-1])


def test_no_training_text_repeats_a_held_out_text(built, real):
    assert repeats(built, 0.6) == []
    assert repeats(real, 0.6) == []
    stats = io.read_json(built / "dataset.json")["repeats_removed"]
    assert stats["equal_texts"] > 0 and stats["near_equal_texts"] > 0


def test_without_the_filter_the_planted_copies_are_found(library, tmp_path):
    stats = build(
        tmp_path / "set", library=library, topics=TOPICS, duplicate_threshold=None, **OPTIONS
    )
    assert stats["repeats_removed"] == {}
    found = repeats(tmp_path / "set", 0.6)
    assert any(text.startswith("Turn") for text in found)
    equal = {words(text) for text in held_out_texts(tmp_path / "set")}
    assert {words(text) in equal for text in found} == {True, False}  # equal ones and near ones


def test_bad_files_are_skipped_and_counted(built):
    stats = io.read_json(built / "dataset.json")
    assert sorted(stats["bad_files"]) == ["broken", "null"]
    assert stats["drops"]["bad_file"] == 2
    assert stats["modules"] == 24  # and none of the tests


@pytest.mark.parametrize("which", ["built", "real"])
def test_unfollowing_negatives_are_other_kinds_of_the_same_function(which, request):
    found = 0
    for example in examples.read(request.getfixturevalue(which) / "train.jsonl"):
        positives = {document.doc_id for document in example.positives}
        unfollowing = [document.doc_id for document in example.unfollowing_negatives]
        module_name = example.query.split(": ", 1)[0]
        assert len(unfollowing) <= MOST_UNFOLLOWING
        assert len(example.hard_negatives) <= MOST_HARD
        assert {doc_id.split("/")[0] for doc_id in positives} == {example.task}
        assert example.task not in {doc_id.split("/")[0] for doc_id in unfollowing}
        named = example.query_id.split("/")[1].startswith(module_name)
        if example.task in SHARED_QUERY_TASKS and named:
            kept = [i for i in unfollowing if not i.startswith("description/")]  # may be merged
            assert all(doc_id.split("/")[1].startswith(module_name) for doc_id in kept)
        same_kind = [d.doc_id for d in (*example.negatives, *example.hard_negatives)]
        assert {doc_id.split("/")[0] for doc_id in same_kind} <= {example.task}
        assert positives.isdisjoint(same_kind)
        found += len(unfollowing)
    assert found > 100


def test_the_same_words_ask_for_four_kinds_of_document(real):
    asked = {}
    for task in SHARED_QUERY_TASKS:
        path = real / "test" / task / "queries.jsonl"
        asked[task] = [record["text"] for _, record in io.read_jsonl(path)]
    assert len(asked["signature"]) == OPTIONS["max_test_queries_per_task"]
    assert all(queries == asked["signature"] for queries in asked.values())
    assert set(PROSE_TASKS) < set(SHARED_QUERY_TASKS)


def test_about_half_of_the_training_queries_do_not_name_their_module(real):
    named = [
        example.query_id.split("/")[1].startswith(example.query.split(": ")[0])
        for example in examples.read(real / "train.jsonl")
        if example.task in SHARED_QUERY_TASKS
    ]
    assert 0.35 < sum(named) / len(named) < 0.65


@pytest.mark.parametrize("which", ["built", "real"])
def test_no_module_is_in_two_splits(which, request):
    folder = request.getfixturevalue(which)
    trained = {e.query.split(": ")[0] for e in examples.read(folder / "train.jsonl")
               if e.task == "signature" and ": " in e.query}  # fmt: skip
    held_out = {}
    for split in ("dev", "test"):
        path = folder / split / "signature" / "queries.jsonl"
        held_out[split] = {record["text"].split(": ")[0] for _, record in io.read_jsonl(path)}
    assert trained and held_out["dev"] and held_out["test"]
    assert not trained & (held_out["dev"] | held_out["test"])
    assert not held_out["dev"] & held_out["test"]


def test_every_task_has_wordings_and_the_test_wording_is_not_among_them(built):
    train, test = wordings("train"), wordings("test")
    assert tuple(train) == tuple(test) == TASKS
    for task in TASKS:
        assert len(set(train[task].instructions)) >= 4
        assert all((train[task].intent, train[task].domain, train[task].unit))
        assert len(test[task].instructions) == 1
    everything = [text for row in train.values() for text in row.instructions]
    assert len(set(everything)) == len(everything)
    assert {row.instructions[0] for row in test.values()}.isdisjoint(everything)
    assert instructions.read_table(built / "instructions.tsv") == train
    assert instructions.read_table(built / "test" / "instructions.tsv") == test
    dev = instructions.read_table(built / "dev" / "instructions.tsv")
    assert all(dev[task].instructions[0] in train[task].instructions for task in TASKS)


@pytest.mark.parametrize("which", ["built", "real"])
def test_the_held_out_folders_are_closed_beir_collections(which, request):
    folder = request.getfixturevalue(which)
    stats = io.read_json(folder / "dataset.json")
    for split in ("dev", "test"):
        pooled = {document.doc_id for document in read_documents(folder / split / "pooled")}
        for task in TASKS:
            home = folder / split / task
            ids = [document.doc_id for document in read_documents(home)]
            qrels = io.read_qrels(home / "qrels" / "test.tsv")
            queries = [record["_id"] for _, record in io.read_jsonl(home / "queries.jsonl")]
            assert list(qrels) == queries
            assert {doc_id for judged in qrels.values() for doc_id in judged} <= set(ids) <= pooled
            assert {name.split("/")[0] for name in ids + queries} == {task}
            counts = {"queries": len(queries), "documents": len(ids)}
            assert stats["tasks"][task][split] == counts
            assert not stats["tasks"][task]["averaged"]  # far fewer than 150 queries
    trained = [example.task for example in examples.read(folder / "train.jsonl")]
    assert {task: trained.count(task) for task in TASKS} == {
        task: stats["tasks"][task]["train"] for task in TASKS
    }


def test_a_finished_folder_is_used_again_and_other_options_make_it_anew(tmp_path, monkeypatch):
    quick = OPTIONS | {"max_modules": 8, "max_train_per_task": 5}
    first = build(tmp_path / "set", **quick)
    with monkeypatch.context() as patch:
        patch.setattr(python_library, "_make", lambda *_: pytest.fail("made a second time"))
        assert build(tmp_path / "set", **quick) == first
    other = build(tmp_path / "set", **quick | {"max_train_per_task": 4})
    assert other["fingerprint"] != first["fingerprint"]
    assert [path.name for path in tmp_path.iterdir()] == ["set"]


def test_a_folder_of_something_else_is_refused_untouched(library, built, tmp_path):
    mine = tmp_path / "mine"
    mine.mkdir()
    (mine / "thesis.txt").write_text("mine")
    with pytest.raises(InputError, match="'thesis.txt', which this builder did not write"):
        build(mine, library=library, topics=TOPICS, **OPTIONS)
    (mine / "dataset.json").write_text((built / "dataset.json").read_text())
    with pytest.raises(InputError, match="'thesis.txt'"):
        build(mine, library=library, topics=TOPICS, **OPTIONS)
    assert (mine / "thesis.txt").read_text() == "mine"


def test_a_library_without_docstrings_is_refused_and_leaves_nothing(tmp_path):
    (tmp_path / "library").mkdir()
    (tmp_path / "library" / "a.py").write_text("def f():\n    return 1\n")
    with pytest.raises(InputError, match="no training example came out of 1 source files"):
        build(tmp_path / "set", library=tmp_path / "library", topics={})
    with pytest.raises(InputError, match="does not exist"):
        build(tmp_path / "set", library=tmp_path / "nowhere", topics={})
    assert [path.name for path in tmp_path.iterdir()] == ["library"]


@pytest.mark.slow
def test_the_whole_library_has_enough_queries_for_every_averaged_task(tmp_path):
    stats = build(tmp_path / "set", max_train_per_task=200)
    assert stats["functions"] > 5000
    for task in TASKS[:-1]:
        assert stats["tasks"][task]["averaged"]
        assert stats["tasks"][task]["test"]["queries"] >= 150
    assert repeats(tmp_path / "set", 0.6) == []
