"""The figures that reports share: bars with intervals, matrices, histograms; PNG files."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from tart_jax.io import writing

COLOURS = ("#4c72b0", "#dd8452", "#55a868", "#c44e52", "#8172b3", "#937860")
Interval = tuple[float, float, float]  # value, low, high


def bars(
    path: Path,
    series: Mapping[str, Sequence[Interval]],
    names: Sequence[str],
    *,
    title: str,
    label: str,
) -> None:
    """Groups of bars with 95% intervals: one group per name, one colour per series."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(1.6 + 1.5 * len(names), 4.2), layout="constrained")
    axes = figure.add_subplot()
    width = 0.8 / len(series)
    places = np.arange(len(names))
    for index, (name, intervals) in enumerate(series.items()):
        values, lows, highs = np.asarray(intervals, float).T
        offset = (index - (len(series) - 1) / 2) * width
        axes.bar(places + offset, values, width, yerr=[values - lows, highs - values],
                 capsize=3, label=name, color=COLOURS[index % len(COLOURS)])  # fmt: skip
    axes.set_xticks(places, [name.replace(", ", ",\n") for name in names])
    axes.set_ylabel(label)
    axes.set_ylim(0, None)
    axes.set_title(title, loc="left")
    axes.grid(axis="y", alpha=0.3)
    if len(series) > 1:
        axes.legend(frameon=False)
    _save(FigureCanvasAgg(figure), path)


def matrix(
    path: Path,
    values: np.ndarray,
    rows: Sequence[str],
    columns: Sequence[str],
    *,
    title: str,
    row_label: str,
    column_label: str,
) -> None:
    """A matrix of shares, each cell with its figure."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(
        figsize=(2.6 + 0.95 * len(columns), 1.9 + 0.6 * len(rows)), layout="constrained"
    )
    axes = figure.add_subplot()
    axes.imshow(values, cmap="Blues", vmin=0, vmax=1, aspect="auto")
    axes.set_xticks(range(len(columns)), columns, rotation=30, ha="right")
    axes.set_yticks(range(len(rows)), rows)
    axes.set_xlabel(column_label)
    axes.set_ylabel(row_label)
    axes.set_title(title, loc="left")
    for row, column in np.ndindex(values.shape):
        share = values[row, column]
        axes.text(
            column,
            row,
            f"{share:.0%}",
            ha="center",
            va="center",
            color="white" if share > 0.6 else "black",
        )
    _save(FigureCanvasAgg(figure), path)


def points(
    path: Path,
    found: Mapping[str, tuple[float, float, float, float]],
    *,
    title: str,
    x_label: str,
    y_label: str,
) -> None:
    """One point for each name, (x, value, low, high), x on a logarithmic scale."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6.5, 4.2), layout="constrained")
    axes = figure.add_subplot()
    for index, (name, (x, value, low, high)) in enumerate(found.items()):
        axes.errorbar(x, value, yerr=[[value - low], [high - value]], fmt="o", capsize=3,
                      label=name, color=COLOURS[index % len(COLOURS)])  # fmt: skip
    axes.set_xscale("log")
    axes.set_xlabel(x_label)
    axes.set_ylabel(y_label)
    axes.set_title(title, loc="left")
    axes.grid(alpha=0.3)
    axes.legend(frameon=False)
    _save(FigureCanvasAgg(figure), path)


def histogram(
    path: Path, series: Mapping[str, Sequence[float | int]], *, title: str, label: str
) -> None:
    """One panel per series, each with its own bins; a long tail beyond the 99% mark is cut off."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(1.0 + 4.2 * len(series), 3.4), layout="constrained")
    panels = np.atleast_1d(figure.subplots(1, len(series)))
    for index, (axes, (name, values)) in enumerate(zip(panels, series.items(), strict=True)):
        shown = np.asarray(values, float)
        end = max(float(np.quantile(shown, 0.99)), float(shown.min()) + 1)
        axes.hist(shown[shown <= end], bins=40, color=COLOURS[index % len(COLOURS)])
        axes.set_title(f"{title}: {plain(name)}", loc="left")
        axes.set_xlabel(label)
        axes.grid(axis="y", alpha=0.3)
    _save(FigureCanvasAgg(figure), path)


def distributions(
    path: Path,
    panels: Mapping[str, tuple[Sequence[float], Mapping[str, Sequence[int]]]],
    *,
    title: str,
    label: str,
    mark: float | None = None,
) -> None:
    """One panel per name: counts over the same bins, each series as shares of its own total.

    panels: the bins' edges, one more than there are counts, and the series. mark: a dashed line.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(1.0 + 4.6 * len(panels), 3.4), layout="constrained")
    for axes, (name, (edges, series)) in zip(
        np.atleast_1d(figure.subplots(1, len(panels))), panels.items(), strict=True
    ):
        for index, (part, counts) in enumerate(series.items()):
            if not sum(counts):
                continue
            share = np.asarray(counts, float) / sum(counts)
            colour = COLOURS[index % len(COLOURS)]
            axes.stairs(share, edges, color=colour, label=plain(part), linewidth=1.5)
            axes.stairs(share, edges, color=colour, fill=True, alpha=0.15)
        if mark is not None:
            axes.axvline(mark, color="black", linestyle="--", linewidth=1)
        axes.set_title(f"{title}: {plain(name)}", loc="left")
        axes.set_xlabel(label)
        axes.set_ylabel("share of the series")
        axes.set_ylim(0, None)
        axes.grid(axis="y", alpha=0.3)
        axes.legend(frameon=False)
    _save(FigureCanvasAgg(figure), path)


def shares(
    path: Path,
    groups: Mapping[str, Mapping[str, float | int]],
    *,
    title: str,
    same_parts: bool = False,
) -> None:
    """Stacked bars, each the whole of one group; the parts' names and shares stand in the bar.

    same_parts: all groups have the same parts, which then have one colour each and a legend.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(11, 1.4 + 0.6 * len(groups)), layout="constrained")
    axes = figure.add_subplot()
    for row, parts in enumerate(groups.values()):
        whole, left = sum(parts.values()), 0.0
        for index, (name, value) in enumerate(parts.items()):
            share = value / whole if whole else 0.0
            axes.barh(row, share, left=left, color=COLOURS[index % len(COLOURS)], edgecolor="white",
                      label=plain(name) if same_parts and not row else None)  # fmt: skip
            said = f"{share:.0%}" if same_parts else f"{plain(name)} {share:.0%}"
            if share > (0.04 if same_parts else 0.01 * len(said)):
                axes.text(left + share / 2, row, said, ha="center", va="center",
                          color="white", fontsize=8)  # fmt: skip
            left += share
    axes.set_yticks(range(len(groups)), [plain(name) for name in groups])
    axes.invert_yaxis()
    axes.set_xlim(0, 1)
    axes.set_xticks([])
    axes.set_title(title, loc="left")
    if same_parts:
        axes.legend(frameon=False, ncols=5, loc="upper left", bbox_to_anchor=(0, 0))
    _save(FigureCanvasAgg(figure), path)


def plain(name: str, length: int = 40) -> str:
    """A name from data, for a figure: no mathematics, no glyph that the font may lack."""
    shown = "".join(c if c.isascii() and c.isprintable() else "?" for c in name[:length])
    return shown.replace("$", r"\$")


def _save(canvas, path: Path) -> None:
    with writing(path) as aside:
        canvas.print_figure(aside, dpi=150, format="png")
