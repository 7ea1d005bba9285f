"""The stage `evaluate`: its files, its table, its refusals."""

import numpy as np
import pytest

from tart_jax import config, io
from tart_jax.evaluate.measures import evaluate, evaluate_blocks
from tart_jax.evaluate.run import run
from tart_jax.types import InputError, ScoredDocument

RUN = "q1 Q0 q1 1 9 t\nq1 Q0 a 2 2 t\nq1 Q0 b 3 2 t\nq2 Q0 b 1 1 t\nq9 Q0 b 1 1 t\n"
QRELS = "query-id\tcorpus-id\tscore\nq1\ta\t1\nq2\ta\t1\nq3\tb\t1\n"


def settings(folder, *words, run=RUN, qrels=QRELS):
    folder.mkdir(exist_ok=True)
    (folder / "run.trec").write_text(run)
    (folder / "qrels.tsv").write_text(qrels)
    return config.load(
        "configs/evaluate/default.py:quicktest",
        [
            f"--config.run={folder / 'run.trec'}",
            f"--config.qrels={folder / 'qrels.tsv'}",
            *(f"--config.{word}" for word in words),
        ],
    )


def test_scores_counts_and_per_query_scores_are_written_and_shown(tmp_path, capsys):
    run(settings(tmp_path / "in", "measures=('MRR','P@1','Success@2')"), tmp_path / "out")
    summary = io.read_json(tmp_path / "out" / "metrics.json")
    assert summary["queries"] == 3
    assert (summary["missing"], summary["unjudged"], summary["dropped_self"]) == (1, 1, 1)
    # Own id removed; a and b tie, and trec_eval puts b, the later id, first.
    assert summary["measures"]["MRR"]["mean"] == pytest.approx(0.5 / 3)
    assert summary["measures"]["P@1"] | {"low": 0, "high": 0} == {
        "mean": 0.0,
        "low": 0,
        "high": 0,
        "ties_at_cutoff": 1,
    }
    assert summary["measures"]["MRR"]["ties_at_cutoff"] is None
    interval = summary["measures"]["Success@2"]
    assert interval["low"] <= interval["mean"] <= interval["high"]
    rows = [row for _, row in io.read_jsonl(tmp_path / "out" / "per_query.jsonl")]
    assert [row["query_id"] for row in rows] == ["q1", "q2", "q3"]
    assert [row["MRR"] for row in rows] == [0.5, 0.0, 0.0]
    out = capsys.readouterr().out
    assert "0.1667" in out and "1 judged queries are missing" in out
    assert "1 hits were the query itself" in out and "1 queries of the run have no judgement" in out


def test_options_change_what_counts(tmp_path):
    words = ("measures=('MRR',)", "drop_self=False", "complete=False")
    run(settings(tmp_path / "in", *words), tmp_path / "out")
    summary = io.read_json(tmp_path / "out" / "metrics.json")
    assert (summary["queries"], summary["dropped_self"]) == (2, 0)
    assert summary["measures"]["MRR"]["mean"] == pytest.approx((1 / 3) / 2)


@pytest.mark.parametrize(
    "files,words,said",
    [
        ({"qrels": "q1\t0\ta\t1\n"}, (), "line 1 should be the header 'query-id"),
        ({"qrels": "query-id\tcorpus-id\tscore\nq1\ta\n"}, (), "line 2 should be"),
        ({"qrels": QRELS.splitlines()[0] + "\n"}, (), "holds no judgement"),
        ({"run": ""}, (), "holds no hit"),
        ({"run": "q1 Q0 a 1 1\n"}, (), "line 1 should be 'query Q0"),
        ({"run": "x Q0 a 1 1 t\n"}, (), "no query in common"),
        ({}, ("measures=('nDCG10',)",), "measure 'nDCG10' is not known"),
        ({}, ("run=nothing.trec",), "nothing.trec does not exist"),
        ({}, ("qrels=",), "are both needed"),
    ],
)
def test_bad_input_is_refused_and_nothing_written(tmp_path, files, words, said):
    with pytest.raises(InputError, match=said):
        run(settings(tmp_path / "in", *words, **files), tmp_path / "out")
    assert not (tmp_path / "out").exists()


INSTANCES = "a_1 Q0 x 1 2 t\na_1 Q0 y 2 1 t\na_2 Q0 y 1 2 t\na_2 Q0 x 2 1 t\nb_1 Q0 x 1 2 t\n"
INSTANCE_QRELS = "query-id\tcorpus-id\tscore\na_1\tx\t1\na_2\tx\t1\nb_1\tx\t1\n"


def test_robustness_is_the_worst_of_a_querys_instructions(tmp_path):
    words = ("measures=('nDCG@10','P@1')", "instance_mark=_")
    run(settings(tmp_path / "in", *words, run=INSTANCES, qrels=INSTANCE_QRELS), tmp_path / "out")
    found = io.read_json(tmp_path / "out" / "metrics.json")["measures"]
    worst = 1 / np.log2(3)  # of a: its second instruction puts x second
    assert found["Robustness@10"]["mean"] == pytest.approx((worst + 1) / 2)
    assert found["nDCG@10"]["mean"] == pytest.approx((1 + worst + 1) / 3)
    rows = {r["query_id"]: r for _, r in io.read_jsonl(tmp_path / "out" / "per_query.jsonl")}
    assert set(rows) == {"a_1", "a_2", "b_1", "a", "b"} and set(rows["a"]) == {
        "query_id", "Robustness@10"
    }  # fmt: skip


def test_instances_without_the_mark_are_told(tmp_path):
    with pytest.raises(InputError, match="is not in the query id 'q1'"):
        run(settings(tmp_path / "in", "instance_mark=#"), tmp_path / "out")


def test_p_mrr_of_a_second_run_is_that_of_its_definition(tmp_path):
    """x is relevant no more; it falls from rank 1 to rank 2: 1 - 1/2."""
    (tmp_path / "changed.trec").write_text("q Q0 y 1 2 t\nq Q0 x 2 1 t\n")
    (tmp_path / "changed.tsv").write_text("query-id\tcorpus-id\tscore\nq\tx\t0\nq\ty\t1\n")
    words = (
        f"changed_run={tmp_path / 'changed.trec'}",
        f"changed_qrels={tmp_path / 'changed.tsv'}",
    )
    first = dict(
        run="q Q0 x 1 2 t\nq Q0 y 2 1 t\n",
        qrels="query-id\tcorpus-id\tscore\nq\tx\t1\nq\ty\t1\n",
    )
    run(settings(tmp_path / "in", *words, **first), tmp_path / "out")
    assert io.read_json(tmp_path / "out" / "metrics.json")["measures"]["p-MRR"]["mean"] == 0.5
    with pytest.raises(InputError, match="needs both"):
        run(settings(tmp_path / "in", words[0], **first), tmp_path / "out")


def test_a_run_is_scored_by_blocks_as_whole(tmp_path):
    rng = np.random.default_rng(0)
    docs = [f"d{n}" for n in range(30)]
    whole = {
        f"q{q}": [ScoredDocument(d, float(rng.integers(5))) for d in rng.permutation(docs)[:20]]
        for q in range(23)
    }
    qrels = {f"q{q}": {d: int(rng.integers(3)) for d in docs[:9]} for q in range(2, 25)}
    path = tmp_path / "run.trec"
    path.write_text(
        "".join(line for q, hits in whole.items() for line in io.run_lines(q, hits, "t"))
    )
    measures = ("nDCG@10", "MAP", "MRR@10", "Hole@10", "R-precision")
    expected = evaluate(whole, qrels, measures)
    found = evaluate_blocks(io.run_blocks(path, queries=4), qrels, measures)
    assert found == expected and found.missing == 2 and found.unjudged == 2


def test_a_run_whose_query_is_in_two_places_is_refused_with_the_line(tmp_path):
    (tmp_path / "run.trec").write_text("a Q0 x 1 2 t\nb Q0 x 1 2 t\na Q0 y 2 1 t\n")
    with pytest.raises(InputError, match="line 3 goes on with query 'a'.*sort"):
        list(io.run_blocks(tmp_path / "run.trec", queries=1))
