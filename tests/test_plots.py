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
