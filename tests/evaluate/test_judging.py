"""Hits of other tasks can be judged by hand, and what was judged counts in the pool alone."""

import csv

import pytest

from tart_jax import io
from tart_jax.evaluate import judging
from tart_jax.evaluate import run as evaluate
from tart_jax.types import InputError
from tests.evaluate.test_benchmark import row, settings, tasks  # noqa: F401


def sheet_rows(path):
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file, delimiter="\t"))


@pytest.fixture
def sheet(tasks, tmp_path):  # noqa: F811
    path = tmp_path / "sheet.tsv"
    evaluate.run(settings(tasks, retriever="BM25", judging_sheet=path), tmp_path / "a")
    return path


def test_a_sheet_holds_the_first_pooled_hits_of_other_tasks(sheet, tmp_path):
    found = sheet_rows(sheet)
    wanted = set()
    for task in ("news", "code", "law"):
        run = io.read_run(tmp_path / "a" / row(tmp_path / "a", task=task, scope="pooled")["run"]
                          / "run.trec")  # fmt: skip
        for query_id, hits in run.items():
            best = sorted(hits, key=lambda hit: (hit.score, hit.doc_id), reverse=True)[:10]
            wanted |= {(query_id, h.doc_id) for h in best if not h.doc_id.startswith(f"{task}/")}
    assert {(line["query_id"], line["doc_id"]) for line in found} == wanted
    assert len(found) == len(wanted) > 0
    assert all(line["relevance"] == "" and line["document"] and line["query"] for line in found)
    assert {line["asked"] for line in found if line["task"] == "law"} <= {"Find law."}


def fill(path, grades):
    lines = sheet_rows(path)
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, judging.COLUMNS, delimiter="\t", lineterminator="\n")
        writer.writeheader()
        for place, line in enumerate(lines):
            writer.writerow(line | {"relevance": grades.get(place, "")})
    return lines


def test_what_was_judged_counts_in_the_pool_and_not_in_the_closed_corpus(
    sheet,
    tasks,  # noqa: F811
    tmp_path,
):
    lines = fill(sheet, {place: "1" for place in range(len(sheet_rows(sheet)))})
    evaluate.run(settings(tasks, retriever="BM25", judged=sheet), tmp_path / "b")
    for task in {line["task"] for line in lines}:
        for scope in ("closed", "pooled"):
            before, after = (
                row(tmp_path / name, task=task, scope=scope)["measures"]["P@10"]["mean"]
                for name in ("a", "b")
            )
            extra = sum(line["task"] == task for line in lines) / (6 * 10)
            assert after == pytest.approx(before + (extra if scope == "pooled" else 0))


def test_a_sheet_that_is_written_again_keeps_what_was_judged(sheet, tasks, tmp_path):  # noqa: F811
    lines = fill(sheet, {0: "2", 1: "0"})
    evaluate.run(settings(tasks, retriever="BM25", judging_sheet=sheet), tmp_path / "a")
    found = judging.judged(sheet)
    pairs = {(q, d): grade for q, own in found.items() for d, grade in own.items()}
    keys = [(line["query_id"], line["doc_id"]) for line in lines[:2]]
    assert pairs == {keys[0]: 2, keys[1]: 0}


@pytest.mark.parametrize(
    "text, said",
    [
        ("a\tb\n", "line 1 should name"),
        ("\t".join(judging.COLUMNS) + "\nyes\tt\tq\td\ta\tb\tc\n", "line 2: relevance 'yes'"),
        ("\t".join(judging.COLUMNS) + "\n1\tt\n", "line 2 has 2 cells"),
    ],
)
def test_another_file_is_refused_with_its_line(tmp_path, text, said):
    (tmp_path / "sheet.tsv").write_text(text)
    with pytest.raises(InputError, match=said):
        judging.judged(tmp_path / "sheet.tsv")


def test_a_sheet_needs_the_pool(tasks, tmp_path):  # noqa: F811
    with pytest.raises(InputError, match="pooled hits"):
        evaluate.run(
            settings(tasks, retriever="BM25", pooled=False, judged="x.tsv"), tmp_path / "a"
        )
