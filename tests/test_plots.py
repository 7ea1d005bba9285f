"""Figures: written whole, as PNG."""

import numpy as np

from tart_jax import plots

PNG = b"\x89PNG"


def test_bars_with_intervals_are_a_png(tmp_path):
    series = {"closed": [(0.5, 0.4, 0.6), (0.7, 0.6, 0.8)], "pooled": [(0.2, 0.1, 0.3)] * 2}
    plots.bars(tmp_path / "bars.png", series, ["a, b", "c"], title="t", label="nDCG@10")
    assert (tmp_path / "bars.png").read_bytes().startswith(PNG)
    assert len(list(tmp_path.iterdir())) == 1


def test_a_matrix_is_a_png(tmp_path):
    plots.matrix(
        tmp_path / "m.png", np.eye(2), ["a", "b"], ["a", "b"],
        title="t", row_label="r", column_label="c",
    )  # fmt: skip
    assert (tmp_path / "m.png").read_bytes().startswith(PNG)


def test_shares_and_histograms_are_pngs_whatever_the_names(tmp_path):
    groups = {"task $x$ \u691c": {"a_b": 3, "$": 1, "<b>": 0}, "unit": {"page": 2.5}, "none": {}}
    plots.shares(tmp_path / "shares.png", groups, title="t")
    kinds = {f"task {n}": {"positives": n, "negatives": 2} for n in range(30)}
    plots.shares(tmp_path / "kinds.png", kinds, title="t", same_parts=True)
    series = {"queries": [5], "documents": list(range(300)), "same": [2, 2, 2]}
    plots.histogram(tmp_path / "lengths.png", series, title="t", label="tokens")
    for path in tmp_path.iterdir():
        assert path.read_bytes().startswith(PNG)
    assert len(list(tmp_path.iterdir())) == 3


def test_distributions_are_a_png_even_where_a_series_is_empty(tmp_path):
    panels = {
        "miner $x$ \u691c": ([0.0, 0.5, 1.0], {"hard": [3, 1], "random": [0, 0]}),
        "other": ([-2.0, 0.0], {"hard": [0], "random": [7]}),
    }
    plots.distributions(tmp_path / "d.png", panels, title="t", label="score", mark=0.7)
    assert (tmp_path / "d.png").read_bytes().startswith(PNG)
    assert len(list(tmp_path.iterdir())) == 1
