"""Stage `compare`: two evaluations of the same queries, with what chance would do."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from ml_collections import ConfigDict

from tart_jax import io
from tart_jax.evaluate import significance
from tart_jax.evaluate.significance import Interval
from tart_jax.tables import Table, interval
from tart_jax.types import InputError

FILE = "per_query.jsonl"
PerQuery = dict[str, dict[str, float]]  # measure -> query -> score


class Row(NamedTuple):
    """Two systems on one task: means of each, the difference with its interval, what chance does.

    p: of the permutation test, p_holm: adjusted; win_tie_loss: queries; detectable: see
    `significance.detectable_difference`.
    """

    task: str
    measure: str
    queries: int
    ours: float
    theirs: float
    difference: Interval
    p: float
    p_holm: float
    win_tie_loss: tuple[int, int, int]
    detectable: float


def run(config: ConfigDict, workdir: Path | None) -> None:
    """Prints a table; with a workdir compare.json and compare.md, too.

    p is adjusted by Holm over all rows of the table. InputError: not two, or other queries.
    """
    names = [name for name in config.runs.split(",") if name]
    if len(names) != 2:
        raise InputError(f"compare takes two evaluations, there are {len(names)}: {config.runs!r}.")
    if not 0 < config.level < 1:
        raise InputError(f"config.level is {config.level}; it lies between 0 and 1.")
    ours, theirs = (evaluations(Path(name)) for name in names)
    pairs = {
        (task, measure): (ours[task][measure], theirs[task][measure])
        for task in ours
        if task in theirs
        for measure in ours[task]
        if measure in theirs[task] and measure in (config.measures or ours[task])
    }
    if not pairs:
        raise InputError(f"{names[0]} and {names[1]} have no task and measure in common.")
    found = rows(pairs, resamples=config.resamples, seed=config.seed)
    shown = table(found, names, config.level)
    shown.show()
    if workdir is not None:
        record = {"runs": names, "rows": [row._asdict() for row in found]}
        io.write_json(workdir / "compare.json", record)
        with io.writing(workdir / "compare.md") as aside:
            aside.write_text(shown.markdown(), "utf-8")


def evaluations(folder: Path) -> dict[str, PerQuery]:
    """task -> measure -> query -> score of every evaluation in a folder; "" where it is one."""
    found = sorted(io.existing(folder, "evaluation").rglob(FILE))
    if not found:
        raise InputError(f"{folder} holds no {FILE}; `tart-jax evaluate` writes it.")
    return {
        "" if path.parent == folder else str(path.parent.relative_to(folder)): per_query(path)
        for path in found
    }


def per_query(path: Path) -> PerQuery:
    """The scores of one evaluation."""
    scores: PerQuery = {}
    for number, record in io.read_jsonl(path):
        if "query_id" not in record:
            raise InputError(f"{path}:{number} has no query_id; is it a file of tart-jax evaluate?")
        for measure, value in record.items():
            if measure != "query_id":
                scores.setdefault(measure, {})[record["query_id"]] = float(value)
    return scores


def rows(
    pairs: Mapping[tuple[str, str], tuple[Mapping[str, float], Mapping[str, float]]],
    *,
    resamples: int,
    seed: int,
) -> list[Row]:
    """(task, measure) -> both systems' scores of the same queries; p is adjusted over all."""
    p_values = {
        "\n".join(key): significance.permutation_p_value(*both, resamples=resamples, seed=seed)
        for key, both in pairs.items()
    }
    adjusted = significance.holm(p_values)
    return [
        Row(
            *key,
            queries=len(both[0]),
            ours=sum(both[0].values()) / len(both[0]),
            theirs=sum(both[1].values()) / len(both[1]),
            difference=significance.paired_bootstrap(*both, resamples=resamples, seed=seed),
            p=p_values["\n".join(key)],
            p_holm=adjusted["\n".join(key)],
            win_tie_loss=significance.win_tie_loss(*both),
            detectable=significance.detectable_difference(*both),
        )
        for key, both in pairs.items()
    ]


def table(found: Sequence[Row], names: Sequence[str], level: float) -> Table:
    """One line for each row; names: of the two systems."""
    cells = [
        [
            f"{row.task} {row.measure}".strip(),
            f"{row.queries:,}",
            f"{row.ours:.4f}",
            f"{row.theirs:.4f}",
            interval(*row.difference, digits=4),
            f"{row.p_holm:.4f}" + (" *" if row.p_holm < level else ""),
            " / ".join(map(str, row.win_tie_loss)),
            f"{row.detectable:.4f}",
        ]
        for row in found
    ]
    note = (
        f"A: {names[0]}; B: {names[1]}. Brackets: paired-bootstrap 95%. p: two-sided permutation"
        f" test, adjusted by Holm over {len(found)} rows; * below {level}. Detectable: the true"
        " difference that so many queries would show in 4 of 5 experiments."
    )
    header = ["", "queries", "A", "B", "A - B", "p (Holm)", "win / tie / loss", "detectable"]
    return Table("Comparison", header, cells, note)
