"""A sweep on KILT: variants without training, rows put together, published figures beside."""

import pytest

from tart_jax import config, io
from tart_jax.report import sweep, sweep_benchmark, variants
from tart_jax.tables import Table
from tart_jax.types import InputError
from tests.evaluate.test_kilt_files import world  # noqa: F401


def settings(world, *words, **changes):  # noqa: F811
    folder, gold = world
    files = tuple(f"{task}={path}" for task, path in gold.items())
    values = {
        "variants": (
            "BM25: evaluate.retriever=BM25",
            "shallow: evaluate.retriever=BM25; evaluate.k=1",
        ),
        "evaluate": "configs/evaluate/kilt.py",
        "evaluate_options": (f"benchmark={folder}", f"gold={files}", "resamples=50"),
        "seeds": (0,),
        "resamples": 50,
    }  # fmt: skip
    options = [f"--config.{key}={value}" for key, value in (values | changes).items()]
    return config.load("configs/sweep/default.py", options)


def test_variants_are_compared_by_page_and_passage_and_done_once(world, tmp_path):  # noqa: F811
    sweep.run(settings(world, published="Maillard"), tmp_path / "a")
    report = io.read_json(tmp_path / "a" / "report.json")
    assert list(report["scores"]) == ["Rprec", "passage-Rprec"]
    assert set(report["scores"]["Rprec"]) == {"BM25", "shallow"} and report["tasks"] == [
        "nq",
        "fever",
    ]
    text = (tmp_path / "a" / "report.md").read_text()
    assert "Maillard et al., base (published)" in text and "60.91 / 24.50" in text
    stamp = (tmp_path / "a" / "bm25" / "seed-0" / "evaluate" / "results.json").read_text()
    runs = {p: p.stat().st_mtime_ns for p in (tmp_path / "a").rglob("run.trec")}
    sweep.run(settings(world, published="Maillard"), tmp_path / "a")
    assert runs == {p: p.stat().st_mtime_ns for p in (tmp_path / "a").rglob("run.trec")}
    assert stamp


def test_a_row_takes_each_task_from_the_variant_named_for_it(world, tmp_path):  # noqa: F811
    words = ("put together: nq=BM25; fever=shallow",)
    three = ("base: evaluate.retriever=BM25; evaluate.k=2", "BM25: evaluate.retriever=BM25",
             "shallow: evaluate.retriever=BM25; evaluate.k=1")  # fmt: skip
    sweep.run(settings(world, variants=three, combined=words), tmp_path / "a")
    report = io.read_json(tmp_path / "a" / "report.json")
    assert set(report["scores"]["Rprec"]) == {"base", "put together"}
    rows = {
        name: {
            row["task"]: row["measures"]["Rprec"]["mean"]
            for row in io.read_json(tmp_path / "a" / name / "seed-0/evaluate/results.json")["rows"]
        }
        for name in ("bm25", "shallow")
    }
    wanted = (rows["bm25"]["nq"] + rows["shallow"]["fever"]) / 2
    assert report["scores"]["Rprec"]["put together"][0] == pytest.approx(wanted)


def test_a_row_may_have_the_asked_tasks_alone_and_these_queries_are_counted(world, tmp_path):  # noqa: F811
    sweep.run(settings(world, combined=("alone: nq=shallow",), tasks=("nq",)), tmp_path)
    report = io.read_json(tmp_path / "report.json")
    assert report["tasks"] == ["nq"] and set(report["scores"]["Rprec"]) == {"BM25", "alone"}
    asked = len(list(io.read_jsonl(world[1]["nq"])))
    assert f"{asked} test queries in all" in (tmp_path / "report.md").read_text()


@pytest.mark.parametrize(
    "words, said",
    [("together", "names no task=variant"), ("together: nq=none", "'none' is no variant"),
     ("together: trex=BM25", "no task 'trex'")],
)  # fmt: skip
def test_rows_that_cannot_be_put_together_are_told(words, said):
    found = {
        "BM25": [{"scores": {"Rprec": {"nq": {"q": 1.0}}}, "made_from": {}, "wall_seconds": 0}]
    }
    with pytest.raises(InputError, match=said):
        sweep_benchmark.combine(found, (words,))


def test_a_variant_starts_from_the_model_of_an_earlier_one_of_its_seed(tmp_path):
    found = variants.resolved(
        variants.parse(("first one:", "then: model.source={first one}; steps=3")), tmp_path
    )
    own = variants.of_seed(found["then"], 2)
    assert own == {
        "model.source": str(tmp_path / "first-one" / "seed-2" / "train" / "model"),
        "steps": "3", "seed": "2",
    }  # fmt: skip
    with pytest.raises(InputError, match="none of those before it: it is the first"):
        variants.resolved(variants.parse(("a: model.source={b}", "b:")), tmp_path)


def test_the_table_has_variants_down_and_tasks_across():
    scores = {"Rprec": {"one": {"nq": {"a": 1.0, "b": 0.0}}},
              "passage-Rprec": {"one": {"nq": {"a": 0.5, "b": 0.0}}}}  # fmt: skip
    table = sweep_benchmark.task_table(scores, ["nq"], "")
    assert isinstance(table, Table) and table.header == ["", "nq"]
    assert table.rows == [["one", "50.00 / 25.00"]]
