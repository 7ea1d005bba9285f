"""`tart-jax report`: every form of it, and every figure with its way back."""

import csv
import re

import pytest

from tart_jax import cli, io
from tests.evaluate.test_benchmark import tasks  # noqa: F401


@pytest.fixture(scope="module")
def evaluated(tasks, tiny_model, tmp_path_factory):  # noqa: F811
    folder = tmp_path_factory.mktemp("evaluated")
    words = [f"--config.benchmark={tasks}", "--config.pooled=True", "--config.resamples=50"]
    for name, own in (
        ("bm25", ["--config.retriever=BM25"]),
        ("dense", [f"--config.retriever={tiny_model}",
                   "--config.instruction=('wording:1','wording:2')"]),
    ):  # fmt: skip
        assert cli.main(["evaluate", *words, *own, f"--workdir={folder / name}"]) == 0
    runs = [str(folder / "bm25"), str(folder / "dense")]
    command = ["report", *runs, "--names=BM25,tiny", "--resamples=50"]
    assert cli.main([*command, f"--workdir={folder / 'report'}"]) == 0
    return folder


def test_every_figure_leads_to_the_folder_of_its_scores(evaluated):
    report = evaluated / "report"
    text = (report / "report.md").read_text()
    links = re.findall(r"\]\((\.\./[^)]*)\)", text)
    assert len(links) > 20
    for link in links:
        assert (report / link).exists(), link
    html = (report / "report.html").read_text()
    assert set(re.findall(r'href="([^"]*)"', html)) == set(links)
    assert 'src="data:image/png;base64,' in html and "http" not in html
    assert f"tart-jax report {evaluated}" in text


def test_the_csv_has_the_scores_of_all_systems_to_the_last_digit(evaluated):
    with (evaluated / "report" / "report.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert {row["system"] for row in rows} == {"BM25", "tiny, wording:1", "tiny, wording:2"}
    for row in rows:
        metrics = io.read_json(evaluated / "report" / row["scores"] / "metrics.json")
        assert float(row["mean"]) == metrics["measures"][row["measure"]]["mean"]
        assert bool(row["weights_sha256"]) == (row["system"] != "BM25")


def test_the_tables_compare_systems_scopes_and_wordings(evaluated):
    text = (evaluated / "report" / "report.md").read_text()
    for title in (
        "Systems", "nDCG@10 by task, closed corpus", "nDCG@10 by task, pooled corpus",
        "Closed against pooled", "Whose documents were found: BM25", "Spread over wordings",
        "Against BM25, queries of all tasks, closed corpus",
    ):  # fmt: skip
        assert f"**{title}**" in text, title
    assert "(published)" not in text  # figures of other tests do not belong here
    tex = (evaluated / "report" / "report.tex").read_text()
    assert tex.count(r"\begin{tabular}") == tex.count(r"\end{tabular}") > 5
    assert not re.search(r"(?<!\\)[%_&#](?! )(?!.*\\\\)", tex.split("caption")[1])
    for name in ("tasks-closed", "tasks-pooled", "closed-pooled", "latency"):
        assert (evaluated / "report" / f"{name}.png").stat().st_size > 1000


def test_examples_show_what_each_system_found(evaluated):
    text = (evaluated / "report" / "report.md").read_text()
    assert text.count("| system | asked with |  | document |  | text |") == 3
    assert "| relevant |" in text and "| Look for " in text


@pytest.mark.parametrize(
    "words, said",
    [
        ([], "there are 0, and 0 names"),
        (["bm25", "--names=a,b"], "there are 1, and 2 names"),
        (["bm25", "bm25"], "called alike"),
        (["bm25", "--baseline=other"], "'other' is not one of bm25"),
        (["report"], "holds no results.json"),
    ],
)
def test_mistakes_are_told(evaluated, tmp_path, capsys, monkeypatch, words, said):
    monkeypatch.chdir(evaluated)
    assert cli.main(["report", *words, f"--workdir={tmp_path / 'a'}"]) == 2
    assert said in capsys.readouterr().err
