"""X2 from files in the layouts of its public sources: what is a document, a query, an answer."""

import gzip
import json

import pytest

from tart_jax import cli, io
from tart_jax.data import x2
from tart_jax.data.x2_sources import without_docstring
from tart_jax.types import InputError

NONE = dict.fromkeys(
    ("ambigqa", "wikiqa", "scifact", "gooaq_technical", "linkso_py", "codesearch_py", "nq"), ""
)
WIKIQA = "QuestionID\tQuestion\tDocumentID\tDocumentTitle\tSentenceID\tSentence\tLabel\n"


@pytest.fixture
def sources(tmp_path):
    folder = tmp_path / "raw"
    folder.mkdir()
    wiki = folder / "wikiqa"
    wiki.mkdir()
    (wiki / "WikiQA-train.tsv").write_text(
        WIKIQA + 'Q1\thow tall\tD1\tTall tower\tD1-0\tIt is "tall".\t1\n'
    )
    (wiki / "WikiQA-dev.tsv").write_text(
        WIKIQA + "Q2\twho built\tD1\tTall tower\tD1-0\tIt is tall.\t0\n"
        "Q2\twho built\tD1\tTall tower\tD1-1\tA man built it.\t1\n"
    )
    (wiki / "WikiQA-test.tsv").write_text(WIKIQA + "Q3\twhy\tD2\tSea\tD2-0\tSalt.\t0\n")
    ambig = folder / "ambig"
    ambig.mkdir()
    pairs = [{"question": "Who won in 1990?", "answer": ["a"]}, {"question": "Who won in 1994?"}]
    items = {
        "train": [{"id": "5", "question": "q", "annotations": [
            {"type": "multipleQAs", "qaPairs": [{"question": "Who won in 1986?"}]}]}],
        "dev": [{"id": "7", "question": "Who won?", "annotations": [
                    {"type": "multipleQAs", "qaPairs": pairs}]},
                {"id": "8", "question": "Plain?", "annotations": [
                    {"type": "singleAnswer", "answer": ["b"]}]}],
    }  # fmt: skip
    for split, rows in items.items():
        (ambig / f"{split}_light.json").write_text(json.dumps(rows))
    io.write_jsonl(folder / "gooaq.jsonl", [
        {"question": "a", "answer": "use x", "answer_type": "feat_snip",
         "answer_url": "https://stackoverflow.com/questions/1"},
        {"question": "b", "answer": "use x", "answer_type": "feat_snip",
         "answer_url": "https://stackoverflow.com/questions/2"},
        {"question": "c", "answer": "no", "answer_type": "feat_snip",
         "answer_url": "https://notstackoverflow.com/1"},
        {"question": "d", "answer": "3", "answer_type": "unit_conv",
         "answer_url": "https://stackoverflow.com/questions/3"},
    ])  # fmt: skip
    link = folder / "linkso"
    link.mkdir()
    (link / "python_qid2all.txt").write_text(
        "1\tsort list\tbody one\tans\n2\torder list\tbody\ta\n"
    )
    (link / "python_cosidf.txt").write_text(
        "qid1\tqid2\tscore\tlabel\n1\t2\t0.9\t1\n2\t1\t0.1\t0\n"
    )
    (link / "python_test_qid.txt").write_text("1\n2\n")
    for split in ("train", "valid", "test"):
        place = folder / "code" / split
        place.mkdir(parents=True)
        with gzip.open(place / "python_0.jsonl.gz", "wt") as file:
            for text in (
                "Short.",
                "Adds two numbers together and gives back their exact sum, always.",
            ):
                code = f'def f(a, b):\n    """{text}"""\n    return a + b\n'
                file.write(json.dumps({"code": code, "docstring": text}) + "\n")
    return NONE | {
        "wikiqa": str(wiki), "ambigqa": str(ambig), "gooaq_technical": str(folder / "gooaq.jsonl"),
        "linkso_py": str(link), "codesearch_py": str(folder / "code"),
    }  # fmt: skip


def task(folder, name):
    place = folder / x2.ARCHIVE / name
    documents = {row["_id"]: row for _, row in io.read_jsonl(place / "corpus.jsonl")}
    queries = {row["_id"]: row["text"] for _, row in io.read_jsonl(place / "queries.jsonl")}
    return documents, queries, io.read_qrels(place / "qrels" / "test.tsv")


def test_every_recipe_is_followed(sources, tmp_path):
    out = tmp_path / "x2"
    shown = x2.run(out, **sources, seed=0).markdown()
    assert "457,461" in shown and "4,086" in shown
    documents, queries, qrels = task(out, "wikiqa")
    assert set(documents) == {"Tall_tower_0", "Tall_tower_1", "Sea_0"}
    assert qrels == {"wikiqa_Q2": {"Tall_tower_1": 1}} and queries == {"wikiqa_Q2": "who built"}
    documents, queries, qrels = task(out, "ambig")
    assert set(documents) == {"ambig_train_0", "ambig_test_0", "ambig_test_1"}
    assert qrels == {"ambig_nq_source_7": {"ambig_test_0": 1, "ambig_test_1": 1}}
    documents, queries, qrels = task(out, "gooaq_technical")
    assert [row["text"] for row in documents.values()] == ["use x"] and len(queries) == 2
    documents, queries, qrels = task(out, "linkso_py")
    assert documents["linkso_python_1"]["text"] == "body one"
    assert queries == {"linkso_python_q1": "sort list"}
    assert qrels == {"linkso_python_q1": {"linkso_python_2": 1}}
    documents, queries, qrels = task(out, "codesearch_py")
    assert len(documents) == 6 and len(queries) == 1
    assert documents["codesearch_py_test_1"]["text"] == "def f(a, b):\n    return a + b\n"
    assert qrels == {"codesearch_py_test_1_q": {"codesearch_py_test_1": 1}}


def test_the_evaluation_reads_what_was_built(sources, tmp_path):
    x2.run(tmp_path / "x2", **sources, seed=0)
    words = [f"root={tmp_path / 'x2'}", "retriever=BM25", "k=3",
             "tasks=('wikiqa','ambigqa','linkso_py')"]  # fmt: skip
    command = ["evaluate", "--config=configs/evaluate/x2.py", f"--workdir={tmp_path / 'a'}"]
    assert cli.main([*command, *(f"--config.{word}" for word in words)]) == 0
    assert len(io.read_json(tmp_path / "a" / "results.json")["rows"]) == 2 * 3


def test_another_seed_draws_others_and_the_same_the_same(sources, tmp_path, monkeypatch):
    from tart_jax.data import x2_sources

    monkeypatch.setitem(x2.TASKS, "gooaq_technical", (x2_sources.gooaq_technical, 1))
    one = NONE | {"gooaq_technical": sources["gooaq_technical"]}
    drawn = []
    for seed in (0, 0, *range(1, 6)):
        out = tmp_path / f"x2-{len(drawn)}"
        x2.run(out, **one, seed=seed)
        drawn.append(tuple(task(out, "gooaq_technical")[1]))
    assert drawn[0] == drawn[1] and len(set(drawn)) == 2 and all(len(d) == 1 for d in drawn)


@pytest.mark.parametrize(
    "code, docstring",
    [
        ("def f():\n    'One line.'\n    return 1\n", "One line."),
        ('def f():\n    """Two\n    lines."""\n    print 1\n', "Two\n    lines."),  # Python 2
        ("def f(a): 'One line.'\n", "One line."),
    ],
)
def test_docstrings_leave_the_code(code, docstring):
    assert docstring not in without_docstring(code, docstring)
    assert without_docstring(code, docstring).startswith("def f(")


def test_what_is_wrong_is_told_and_nothing_is_left(sources, tmp_path):
    with pytest.raises(InputError, match="no source is named"):
        x2.run(tmp_path / "x2", **NONE, seed=0)
    (tmp_path / "raw" / "linkso" / "python_cosidf.txt").write_text("1\t2\n")
    with pytest.raises(InputError, match="line 1 has 2 columns"):
        x2.run(tmp_path / "x2", **NONE | {"linkso_py": sources["linkso_py"]}, seed=0)
    assert not (tmp_path / "x2").exists()
