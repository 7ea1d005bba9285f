"""The stage `evaluate`: its files, its table, its refusals."""

import pytest

from tart_jax import config, io
from tart_jax.evaluate.run import run
from tart_jax.types import InputError

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
