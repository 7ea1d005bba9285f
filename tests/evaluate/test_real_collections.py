"""BM25 on every real collection, by the benchmark's own way, against figures made elsewhere."""

import pytest

from tart_jax import config, io
from tart_jax.evaluate import run as evaluate
from tart_jax.evaluate.collections import Row
from tart_jax.evaluate.measures import evaluate as measure

# nDCG@10, and of arguana Recall@100: bm25s 0.3.16, k1 1.2, b 0.75, English stop words, Snowball.
FIGURES = {
    "nfcorpus": (0.3187, None), "arguana": (0.4914, 0.9665), "cranfield": (0.3755, None),
    "adi": (0.4782, None), "vaswani-npl": (0.4361, None), "cosqa-python": (0.3363, None),
    "multitask-derived/agnews-title2summary": (0.6565, None),
    "multitask-derived/altlex-wiki2simple": (0.9883, None),
    "multitask-derived/climate-fever-evidence": (0.3562, None),
    "multitask-derived/hotpotqa-pool": (0.8543, None),
    "multitask-derived/pubmedqa": (0.9766, None),
    "multitask-derived/scitldr-abstract2tldr": (0.7509, None),
    "multitask-derived/squad-dev-subset": (0.8862, None),
}  # fmt: skip


def table(path, folders):
    rows = ["\t".join(Row._fields)]
    for folder in folders:
        name = folder.rpartition("/")[2]
        rows.append("\t".join([name, folder, "test", "Find it.", *[""] * 5]))
    path.write_text("\n".join(rows) + "\n")
    return path


def with_ties(out, row, sign):
    """The means where of equal scores the relevant documents come last (-1) or first (1)."""
    qrels = io.read_qrels(io.read_json(out / row["scores"] / "config.json")["qrels"])
    run = {}
    for query_id, hits in io.read_run(out / row["run"] / "run.trec").items():
        judged = qrels.get(query_id, {})
        best = sorted(hits, key=lambda h: (-h.score, -sign * judged.get(h.doc_id, 0)))
        run[query_id] = [hit._replace(score=-float(rank)) for rank, hit in enumerate(best)]
    return measure(run, qrels, ("nDCG@10", "Recall@100")).mean


@pytest.mark.slow
def test_bm25_has_the_figures_of_another_program_on_every_collection(test_data, tmp_path):
    words = {
        "benchmark": table(tmp_path / "t.tsv", FIGURES), "root": test_data, "resamples": 20,
        "measures": "('nDCG@10','Recall@100','Hole@10')",
    }  # fmt: skip
    settings = config.load(
        "configs/evaluate/baselines/bm25.py", [f"--config.{k}={v}" for k, v in words.items()]
    )
    evaluate.run(settings, tmp_path / "out")
    for row in io.read_json(tmp_path / "out" / "results.json")["rows"]:
        ours = {name: value["mean"] for name, value in row["measures"].items()}
        figures = next(v for k, v in FIGURES.items() if k.endswith(row["task"]))
        low, high = (with_ties(tmp_path / "out", row, sign) for sign in (-1, 1))
        for name, figure in zip(("nDCG@10", "Recall@100"), figures, strict=True):
            # Programs order equal scores each in its own way: all lie between these two, and the
            # figures have four digits.
            assert low[name] - 1e-9 <= ours[name] <= high[name] + 1e-9, row["task"]
            if figure is not None:
                assert low[name] - 1e-4 <= figure <= high[name] + 1e-4, row["task"]
                assert ours[name] == pytest.approx(figure, abs=2e-3), row["task"]
        assert 0 < ours["Hole@10"] < 1
