"""Stage `evaluate`: a run and qrels to scores, or a system on all tasks of a benchmark."""

from dataclasses import replace
from pathlib import Path

import numpy as np
from ml_collections import ConfigDict
from rich.console import Console
from rich.table import Table

from tart_jax import io
from tart_jax.evaluate import benchmark, instructed, kilt_files, pages
from tart_jax.evaluate.measures import Evaluation, evaluate_blocks, parse
from tart_jax.evaluate.ranking import Options
from tart_jax.evaluate.significance import Interval, bootstrap
from tart_jax.types import InputError


def run(config: ConfigDict, workdir: Path) -> None:
    """Scores `config.run`, or evaluates `config.retriever` on `config.benchmark`."""
    kilt = bool(config.gold) or kilt_files.is_kilt(config.qrels)
    for measure in config.measures:
        (kilt_files.parse if kilt else parse)(measure)  # before the files, which may be large
    if not config.benchmark:
        single(config, workdir)
        return
    if config.run or config.qrels:
        raise InputError("--config.benchmark and --config.run exclude each other.")
    if config.changed_run or config.changed_qrels or config.instance_mark:
        raise InputError(
            "changed_run, changed_qrels and instance_mark are of a single run, not of a benchmark."
        )
    options = Options(
        benchmark=config.benchmark,
        root=config.root,
        download=config.download,
        tasks=tuple(config.tasks),
        pooled=config.pooled,
        pools=config.pools,
        instruction=tuple(config.instruction),
        max_queries=config.max_queries,
        max_documents=config.max_documents,
        gold=tuple(config.gold),
        instructions=config.instructions,
        judged=config.judged,
        judging_sheet=config.judging_sheet,
        retriever=config.retriever,
        encode_options=tuple(config.encode_options),
        retriever_options=tuple(config.retriever_options),
        plain_retriever=config.plain_retriever,
        reranker=config.reranker,
        reranker_kind=config.reranker_kind,
        reranker_options=tuple(config.reranker_options),
        k=config.k,
        candidates=config.candidates,
        measures=tuple(config.measures),
        drop_self=config.drop_self,
        complete=config.complete,
        resamples=config.resamples,
        seed=config.seed,
    )
    benchmark.run(options, workdir, scored)
    for table in pages.tables(pages.load(workdir), resamples=config.resamples, seed=config.seed):
        table.show()


def single(config: ConfigDict, workdir: Path) -> None:
    """Writes `metrics.json` and `per_query.jsonl` into `workdir` and prints a table."""
    show(*scored(config, workdir), Console())


def scored(config: ConfigDict, workdir: Path) -> tuple[Evaluation, dict[str, Interval]]:
    """Writes the scores of one run; what it wrote."""
    if not config.run or not config.qrels:
        raise InputError("--config.run (a TREC run) and --config.qrels (a TSV) are both needed.")
    if bool(config.changed_run) != bool(config.changed_qrels):
        raise InputError("p-MRR needs both --config.changed_run and --config.changed_qrels.")
    measures, complete = tuple(config.measures), config.complete
    if kilt_files.is_kilt(config.qrels):
        evaluation = kilt_files.evaluate(config.run, config.qrels, measures, complete=complete)
    else:
        blocks, qrels = io.run_blocks(config.run), io.read_qrels(config.qrels)
        how = {"drop_self": config.drop_self, "complete": complete}
        evaluation = evaluate_blocks(blocks, qrels, measures, **how)
    evaluation = _instructed(config, evaluation)
    intervals = {
        measure: bootstrap(list(values.values()), resamples=config.resamples, seed=config.seed)
        for measure, values in evaluation.per_query.items()
    }
    write(workdir, evaluation, intervals, run=config.run, qrels=config.qrels)
    return evaluation, intervals


def _instructed(config: ConfigDict, evaluation: Evaluation) -> Evaluation:
    """With p-MRR of a second run, and the worst over instructions, where they are asked for."""
    more: dict[str, dict[str, float]] = {}
    if config.changed_run:
        before, after = io.read_qrels(config.qrels), io.read_qrels(config.changed_qrels)
        changed = instructed.changed_documents(before, after)
        runs = (io.read_run(config.run), io.read_run(config.changed_run))
        more["p-MRR"] = instructed.p_mrr(*runs, changed)
    if mark := config.instance_mark:
        for measure, values in evaluation.per_query.items():
            if alone := [name for name in values if mark not in name]:
                raise InputError(
                    f"config.instance_mark {mark!r} is not in the query id {alone[0]!r}; ids should"
                    f" be QUERY{mark}INSTANCE."
                )
            query_of = {name: name.rpartition(mark)[0] for name in values}
            if measure.startswith("nDCG@"):
                name = measure.replace("nDCG", "Robustness")
                more[name] = instructed.robustness(values, query_of)
    means = {name: float(np.mean(list(values.values()))) for name, values in more.items()}
    return replace(evaluation, per_query=evaluation.per_query | more, mean=evaluation.mean | means)


def write(
    workdir: Path, evaluation: Evaluation, intervals: dict[str, Interval], *, run: str, qrels: str
) -> None:
    measures = {
        measure: {
            "mean": mean,
            "low": intervals[measure].low,
            "high": intervals[measure].high,
            "ties_at_cutoff": evaluation.ties.get(measure),
        }
        for measure, mean in evaluation.mean.items()
    }
    queries = next(iter(evaluation.per_query.values()))
    summary = {
        "run": str(run),
        "qrels": str(qrels),
        "queries": len(queries),
        "missing": evaluation.missing,
        "unjudged": evaluation.unjudged,
        "dropped_self": evaluation.dropped_self,
        "measures": measures,
    }
    io.write_jsonl(
        workdir / "per_query.jsonl",
        (
            {"query_id": query_id}
            | {
                m: values[query_id]
                for m, values in evaluation.per_query.items()
                if query_id in values
            }
            for query_id in dict.fromkeys(q for own in evaluation.per_query.values() for q in own)
        ),
    )
    io.write_json(workdir / "metrics.json", summary)


def show(evaluation: Evaluation, intervals: dict[str, Interval], console: Console) -> None:
    queries = len(next(iter(evaluation.per_query.values())))
    table = Table(title=f"{queries} queries")
    for name in ("measure", "mean", "95% interval", "ties at the cut-off"):
        table.add_column(name, justify="left" if name == "measure" else "right")
    for measure, mean in evaluation.mean.items():
        interval = intervals[measure]
        ties = str(evaluation.ties[measure]) if measure in evaluation.ties else "-"
        table.add_row(measure, f"{mean:.4f}", f"{interval.low:.4f} .. {interval.high:.4f}", ties)
    console.print(table)
    for count, text in (
        (evaluation.missing, "judged queries are missing from the run"),
        (evaluation.unjudged, "queries of the run have no judgement and were left out"),
        (evaluation.dropped_self, "hits were the query itself and were removed"),
    ):
        if count:
            console.print(f"{count} {text}.")
