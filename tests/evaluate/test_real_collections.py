"""BM25 on every real collection, by the benchmark's own way, against figures made elsewhere."""

import pytest

from tart_jax import config, io
from tart_jax.evaluate import run as evaluate
from tart_jax.evaluate.collections import Row

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
    found = {
        row["task"]: row["measures"] for row in io.read_json(tmp_path / "out/results.json")["rows"]
    }
    for folder, (ndcg, recall) in FIGURES.items():
        measures = found[folder.rpartition("/")[2]]
        # Four digits. The figures break ties by rank, trec_eval by id: where there are some at the
        # cut-off, that is worth 0.0019 on arguana (33 of 1,401 queries) and less elsewhere.
        within = 2e-3 if measures["nDCG@10"]["ties_at_cutoff"] else 1e-4
        assert measures["nDCG@10"]["mean"] == pytest.approx(ndcg, abs=within), folder
        if recall:
            assert measures["Recall@100"]["mean"] == pytest.approx(recall, abs=2e-4), folder
    assert found["nfcorpus"]["Hole@10"]["mean"] > 0.5  # far from all is judged
