"""What an audit of mined examples found: tables, figures, examples to read, one Markdown page."""

import math
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from tart_jax import plots
from tart_jax.data.audit.faults import printable
from tart_jax.mine.audit import HARD, KINDS, NEGATIVES, POSITIVE, Entry, Mined
from tart_jax.tables import Table

SHOWN = 400  # characters of a text
POSITIVES = 2  # of an example to read
SUSPECTS = 3  # its negatives
FIGURES = ("retrieved", "teacher", "false_negatives", "overlap")
Parts = Sequence[tuple[str, Mapping[str, Any]]]  # a name and what was counted of it


def tables(result: Mapping[str, Any], *, by_task: bool) -> list[Table]:
    """The tables; by_task: a row for each task of a file, too."""
    parts = list(_parts(result["files"], by_task))
    found = [_contents(parts)]
    if any(part["teacher"]["edges"] for _, part in parts):
        found.append(_false_negatives(parts, result))
    if result["overlap"]:
        found += [_matrix(result), _overlap(result, by_task)]
    return found


def _parts(files: Mapping[str, Any], by_task: bool) -> Iterator[tuple[str, Mapping[str, Any]]]:
    for name, file in files.items():
        yield name, file
        if by_task and len(file["tasks"]) > 1:
            for task, part in file["tasks"].items():
                yield f"{name}: {task}", part


def _contents(parts: Parts) -> Table:
    header = ["file", "queries", "without hard", *KINDS.values()]
    rows = []
    for name, part in parts:
        kinds = [part["kinds"][kind] for kind in KINDS.values()]
        sizes = [f"{k['mean']:.2f} ({k['least']}, {k['median']}, {k['most']})" for k in kinds]
        rows.append([name, f"{part['queries']:,}", f"{part['queries_without_hard']:,}", *sizes])
    note = "Documents of each kind per query: mean (least, median, most)."
    return Table("What was mined", header, rows, note)


def _false_negatives(parts: Parts, result: Mapping[str, Any]) -> Table:
    header = ["file, kind", "queries", "documents", "called positive", "above their positive"]
    rows = []
    for name, part in parts:
        for kind in KINDS.values():
            called, above = (part["kinds"][kind][f"{n}_positive"] for n in ("called", "above"))
            if called["of"]:
                counts = [f"{called[key]:,}" for key in ("queries", "of")]
                rows.append([f"{name}, {kind}", *counts, _share(called), _share(above)])
    note = (
        f"Called positive: the teacher's score, {result['normalization']} of it, is above"
        f" {result['positive_above']}. That is the estimate of false negatives; read it against the"
        " positives that the teacher confirms and the random negatives that it calls positive."
        " Above their positive: a higher score than every positive of their query. In brackets 95%"
        " intervals."
    )
    return Table("False negatives, as the teacher sees them", header, rows, note)


def _share(share: Mapping[str, Any]) -> str:
    if share["share"] is None:
        return "-"
    return f"{share['share']:.2%} [{share['low']:.2%}, {share['high']:.2%}]"


def _jaccard(result: Mapping[str, Any]) -> np.ndarray:
    """Files by files; a pair with nothing to compare is NaN."""
    names = list(result["files"])
    values = np.eye(len(names))
    for pair in result["overlap"]:
        a, b = names.index(pair["a"]), names.index(pair["b"])
        values[a, b] = values[b, a] = math.nan if pair["queries_compared"] == 0 else (
            pair["mean_jaccard"]
        )  # fmt: skip
    return values


def _matrix(result: Mapping[str, Any]) -> Table:
    names = list(result["files"])
    rows = [
        [name, *("-" if math.isnan(value) else f"{value:.3f}" for value in row)]
        for name, row in zip(names, _jaccard(result).tolist(), strict=True)
    ]
    note = "Jaccard of the two sets of hard negatives of a query, mean over the queries of both."
    return Table("Overlap of hard negatives", ["file", *names], rows, note)


def _overlap(result: Mapping[str, Any], by_task: bool) -> Table:
    header = ["files", "shared queries", "Jaccard", "first only", "both", "second only"]
    rows = []
    for pair in result["overlap"]:
        name = f"{pair['a']} and {pair['b']}"
        parts = [(name, pair)]
        if by_task and len(pair["tasks"]) > 1:
            parts += [(f"{name}: {task}", part) for task, part in pair["tasks"].items()]
        for title, part in parts:
            mean = "-" if part["mean_jaccard"] is None else f"{part['mean_jaccard']:.3f}"
            counts = [f"{part[key]:,}" for key in ("only_a", "both", "only_b")]
            rows.append([title, f"{part['queries']:,}", mean, *counts])
    note = "Hard negatives of the shared queries, whatever their rank."
    return Table("Overlap, counted", header, rows, note)


def figures(result: Mapping[str, Any], folder: Path) -> list[Path]:
    """Draws what there is to draw; the files, in order. Those of an earlier audit go."""
    for name in FIGURES:
        (folder / f"{name}.png").unlink(missing_ok=True)
    paths = []
    labels = {"retrieved": "retriever's score", "teacher": "teacher's score"}
    for key, label in labels.items():
        panels = {
            name: (file[key]["edges"], file[key]["counts"])
            for name, file in result["files"].items()
            if file[key]["edges"]
        }
        if panels:
            paths.append(folder / f"{key}.png")
            mark = _mark(result) if key == "teacher" else None
            plots.distributions(paths[-1], panels, title="Scores", label=label, mark=mark)
    kinds = [kind for kind in NEGATIVES if any(_called(result, kind))]
    if kinds:
        paths.append(folder / "false_negatives.png")
        bars = {
            plots.plain(name): [_bar(file["kinds"][kind]["called_positive"]) for kind in kinds]
            for name, file in result["files"].items()
        }
        title = "Called positive, with 95% intervals"
        plots.bars(paths[-1], bars, kinds, title=title, label="share of the documents")
    if result["overlap"]:
        paths.append(folder / "overlap.png")
        names = [plots.plain(name) for name in result["files"]]
        plots.matrix(
            paths[-1], np.nan_to_num(_jaccard(result)), names, names,
            title="Overlap of hard negatives: mean Jaccard", row_label="", column_label="",
        )  # fmt: skip
    return paths


def _mark(result: Mapping[str, Any]) -> float | None:
    """The score from which on a document is called positive; by query there is no such one."""
    bar = result["positive_above"]
    if result["normalization"] == "sigmoid":
        return math.log(bar / (1 - bar))
    return bar if result["normalization"] == "none" else None


def _called(result: Mapping[str, Any], kind: str) -> list[int]:
    """Of each file, how many documents of a kind were judged."""
    return [file["kinds"][kind]["called_positive"]["of"] for file in result["files"].values()]


def _bar(share: Mapping[str, Any]) -> plots.Interval:
    return (share["share"], share["low"], share["high"]) if share["of"] else (0.0, 0.0, 0.0)


def described(mined: Mined) -> str:
    """A query with its positives and its most suspicious negatives, in plain lines."""
    rows = [f"[{printable(mined.task)}] {printable(mined.query_id)}"]
    if mined.instruction:
        rows.append(f"  instruction: {_cut(mined.instruction)}")
    rows.append(f"  query: {_cut(mined.query)}")
    # Without a teacher's score the retriever's says what is suspicious, and hard ones come first.
    suspects = sorted(
        mined.of(*NEGATIVES),
        key=lambda e: (_order(e.score), e.kind == HARD, _order(e.retrieved)),
        reverse=True,
    )
    chosen = [*mined.of(POSITIVE)[:POSITIVES], *suspects[:SUSPECTS]]
    rows += [_line(entry) for entry in chosen]
    left = len(mined.entries) - len(chosen)
    return "\n".join([*rows, f"  ... {left:,} more documents"] if left else rows)


def _order(score: float | None) -> float:
    return -math.inf if score is None else score


def _line(entry: Entry) -> str:
    scores = [
        f"{name} {score:.4g}"
        for name, score in (("teacher", entry.score), ("retriever", entry.retrieved))
        if score is not None
    ]
    said = f" ({', '.join(scores)})" if scores else ""
    label = f"  {entry.kind} {printable(entry.document.doc_id)}{said}: "
    text = _cut(entry.document.contents())
    return textwrap.fill(text, 110, initial_indent=label, subsequent_indent=" " * 6)


def _cut(text: str) -> str:
    shown = printable(" ".join(text[: SHOWN + 1].split()))
    return shown if len(text) <= SHOWN else f"{shown} ..."


def markdown(
    result: Mapping[str, Any], pictures: Sequence[Path], shown: Mapping[str, Sequence[str]]
) -> str:
    """The page. shown: for each file its examples to read."""
    parts = ["# Audit of mined examples"]
    parts.append("\n".join(f"- {name}: `{f['path']}`" for name, f in result["files"].items()))
    parts += [f"Note: {note}" for note in result["notes"]]
    parts += [table.markdown() for table in tables(result, by_task=True)]
    parts += [f"![{picture.stem}]({picture.name})" for picture in pictures]
    for name, texts in shown.items():
        if texts:
            judged = result["files"][name]["teacher"]["edges"]
            said = "The most suspicious first; they are not typical." if judged else "A draw."
            parts.append(f"## To read: {name}\n\n{said}")
        # Every line of a text is indented: none can end the block.
        parts += [f"```text\n{text}\n```" for text in texts]
    return "\n\n".join(parts) + "\n"
