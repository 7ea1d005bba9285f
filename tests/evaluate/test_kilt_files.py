"""A KILT folder is asked and scored by KILT's rules, pages and passages apart."""

import json

import pytest

from tart_jax import cli, io
from tart_jax.data.kilt import build
from tart_jax.evaluate import kilt, kilt_files, pages
from tart_jax.types import InputError

PAGES = {
    "1": (
        "Oak",
        ["The oak bears acorns in autumn each year.\n", "Ships were built of its wood.\n"],
    ),
    "2": ("Elm", ["The elm is tall and its wood is hard.\n", "A disease killed most elms.\n"]),
    "3": ("Ash", ["Ash burns well when it is green.\n", "Handles of tools are made of ash.\n"]),
}


def place(page, paragraph):
    text = PAGES[page][1][paragraph - 1]
    return {
        "wikipedia_id": page, "title": PAGES[page][0], "start_paragraph_id": paragraph,
        "start_character": 0, "end_paragraph_id": paragraph, "end_character": len(text.strip()),
    }  # fmt: skip


ITEMS = {
    "nq": [
        {"id": "a 1", "input": "what were ships built of",
         "output": [{"answer": "oak", "provenance": [place("1", 2)]}]},
        {"id": "a 2", "input": "which tree burns well",
         "output": [{"answer": "ash", "provenance": [place("3", 1)]}]},
        {"id": "a 3", "input": "who wrote this", "output": [{"answer": "nobody"}]},
    ],
    "fever": [
        {"id": 7, "input": "Most elms were killed by a disease.",
         "output": [{"answer": "SUPPORTS", "provenance": [place("2", 2), place("2", 1)]}]},
    ],
}  # fmt: skip


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """(a KILT folder whose passages are single paragraphs, task -> gold file)."""
    folder = tmp_path_factory.mktemp("kilt")
    io.write_jsonl(
        folder / "source.json",
        (
            {"_id": i, "wikipedia_id": i, "wikipedia_title": title, "text": [f"{title}\n", *lines],
             "anchors": [], "categories": "", "history": {}, "wikidata_info": None}
            for i, (title, lines) in PAGES.items()
        ),
    )  # fmt: skip
    gold = {}
    for task, items in ITEMS.items():
        gold[task] = folder / f"{task}-dev-kilt.jsonl"
        io.write_jsonl(gold[task], items)
    build.run(folder / "kilt", knowledge_source=folder / "source.json", dev_tasks=gold, words=8)
    return folder / "kilt", gold


@pytest.fixture(scope="module")
def evaluated(world, tmp_path_factory):
    folder, gold = world
    workdir = tmp_path_factory.mktemp("evaluated") / "bm25"
    words = ["retriever=BM25", f"benchmark={folder}", "k=10", "resamples=50",
             f"gold={tuple(f'{task}={path}' for task, path in gold.items())}"]  # fmt: skip
    command = ["evaluate", "--config=configs/evaluate/kilt.py", f"--workdir={workdir}"]
    assert cli.main([*command, *(f"--config.{word}" for word in words)]) == 0
    return workdir


def test_every_gold_item_is_asked_and_scored_as_kilt_scores_its_predictions(evaluated, world):
    results = io.read_json(evaluated / "results.json")
    assert {row["task"]: row["queries"] for row in results["rows"]} == {"nq": 3, "fever": 1}
    assert results["measure"] == "Rprec"
    for row in results["rows"]:
        predictions = evaluated / row["run"] / "predictions.jsonl"
        found = {str(p["id"]): p for _, p in io.read_jsonl(predictions)}
        assert set(found) == {str(item["id"]) for item in ITEMS[row["task"]]}
        again = kilt.means(kilt.retrieval(ITEMS[row["task"]], found))
        assert row["measures"]["Rprec"]["mean"] == pytest.approx(again["Rprec"])
        assert row["measures"]["Rprec"]["mean"] >= row["measures"]["passage-Rprec"]["mean"]
    nq = next(row for row in results["rows"] if row["task"] == "nq")
    assert nq["measures"]["Rprec"]["mean"] == pytest.approx(2 / 3)  # one item has no provenance


def test_gold_places_are_those_of_the_passages_that_hold_them(evaluated, world):
    """A passage may end in another paragraph than the sentence that is asked for."""
    passages = [row for _, row in io.read_jsonl(world[0] / "corpus.jsonl")]
    for task, items in ITEMS.items():
        lines = [row for _, row in io.read_jsonl(evaluated / "test" / task / "gold.jsonl")]
        for item, line in zip(items, lines, strict=True):
            assert [{k: v for k, v in o.items() if k != "passages"} for o in line["output"]] == (
                item["output"]
            )
            for output in line["output"]:
                for place in output.get("passages", ()):
                    held = [p for p in passages if all(p[k] == place[k] for k in place)]
                    gold = [p for p in output["provenance"]
                            if p["wikipedia_id"] == place["wikipedia_id"]]  # fmt: skip
                    texts = [PAGES[g["wikipedia_id"]][1][g["start_paragraph_id"] - 1] for g in gold]
                    words = {word for text in texts for word in text.split()}
                    assert len(held) == 1 and len(words & set(held[0]["text"].split())) > 3


def test_the_corpus_is_indexed_once_for_all_tasks_and_a_report_reads_it(evaluated, tmp_path):
    assert [path.name for path in (evaluated / "index").iterdir()] == ["corpus"]
    (system,) = pages.load(evaluated)
    assert system.tasks == ["nq", "fever"]
    command = ["report", str(evaluated), f"--workdir={tmp_path / 'report'}"]
    assert cli.main(command) == 0
    assert "passage-Rprec" in (tmp_path / "report" / "report.csv").read_text()


def single(world, tmp_path, predictions, *words):
    io.write_jsonl(tmp_path / "guess.jsonl", predictions)
    command = ["evaluate", f"--config.run={tmp_path / 'guess.jsonl'}",
               f"--config.qrels={world[1]['nq']}", f"--workdir={tmp_path / 'out'}"]  # fmt: skip
    return cli.main([*command, *(f"--config.{word}" for word in words)])


def guess(name, answer, *places):
    return {"id": name, "output": [{"answer": answer, "provenance": list(places)}]}


def test_answers_count_for_kilt_only_where_the_page_was_found(world, tmp_path):
    predictions = [guess("a 1", "Oak", place("1", 1)), guess("a 2", "ash", place("2", 1)),
                   guess("a 3", "x")]  # fmt: skip
    assert single(world, tmp_path, predictions, "measures=('em','KILT-em','accuracy')") == 0
    found = io.read_json(tmp_path / "out" / "metrics.json")["measures"]
    means = {name: value["mean"] for name, value in found.items()}
    assert means == pytest.approx({"em": 2 / 3, "KILT-em": 1 / 3, "accuracy": 1 / 3})


def test_an_item_without_prediction_counts_0_unless_kilts_own_rule_is_asked_for(
    world, tmp_path, capsys
):
    predictions = [guess("a 1", "oak", place("1", 1))]
    assert single(world, tmp_path, predictions, "measures=('Rprec',)") == 0
    found = io.read_json(tmp_path / "out" / "metrics.json")
    assert found["measures"]["Rprec"]["mean"] == pytest.approx(1 / 3) and found["missing"] == 2
    assert single(world, tmp_path, predictions, "measures=('Rprec',)", "complete=False") == 2
    assert "no prediction for item 'a_2'" in capsys.readouterr().err


@pytest.mark.parametrize(
    "predictions, words, said",
    [
        ([guess("a 1", "x"), guess("a 1", "y")], "measures=('Rprec',)", "a second time"),
        ([guess("z", "x")], "measures=('Rprec',)", "no id in common"),
        ([guess("a 1", "")], "measures=('em',)", "has no answer"),
        ([guess("a 1", "x")], "measures=('recall@1',)", "'recall@1' is not known"),
        ([guess("a 1", "x")], "measures=('passage-em',)", "'passage-em' is not known"),
        ([{"id": "a 1"}], "measures=('Rprec',)", "needs the list 'output'"),
        ([{"id": "a 1", "output": []}], "measures=('Rprec',)", "exactly one output"),
    ],
)
def test_mistakes_are_told(world, tmp_path, capsys, predictions, words, said):
    assert single(world, tmp_path, predictions, words) == 2
    assert said in capsys.readouterr().err


def test_places_without_paragraphs_are_pages_alone(world, tmp_path, capsys):
    entity = {"id": "a 1", "output": [{"answer": "x", "provenance": [{"wikipedia_id": "1"}]}]}
    assert single(world, tmp_path, [entity], "measures=('Rprec',)") == 0
    assert single(world, tmp_path, [entity], "measures=('passage-Rprec',)") == 2
    assert "has no end_paragraph_id" in capsys.readouterr().err


def test_a_folder_that_is_not_kilts_is_refused(tmp_path, world):
    with pytest.raises(InputError, match="KILT folder"):
        kilt_files.make(tmp_path / "out", tmp_path, world[1], 0, "bank:kilt")


def test_predictions_are_what_kilts_own_evaluation_reads(evaluated, world):
    """Its rules, written out: one output, provenance with wikipedia_id, the ids of gold."""
    path = evaluated / "results" / "none" / "nq" / "closed" / "run" / "predictions.jsonl"
    gold = {item["id"] for item in ITEMS["nq"]}
    for line in path.read_text("utf-8").splitlines():
        record = json.loads(line)
        assert record["id"] in gold and len(record["output"]) == 1
        assert all(p["wikipedia_id"] for p in record["output"][0]["provenance"])
