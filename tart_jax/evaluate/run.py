"""Stage `evaluate`: a run and qrels to scores, or a system on all tasks of a benchmark."""

from pathlib import Path

from ml_collections import ConfigDict
from rich.console import Console
from rich.table import Table

from tart_jax import io
from tart_jax.evaluate import benchmark, pages
from tart_jax.evaluate.measures import Evaluation, evaluate, parse
from tart_jax.evaluate.significance import Interval, bootstrap
from tart_jax.types import InputError


def run(config: ConfigDict, workdir: Path) -> None:
    """Scores `config.run`, or evaluates `config.retriever` on `config.benchmark`."""
    for measure in config.measures:
        parse(measure)  # before the files, which may be large
    if not config.benchmark:
        single(config, workdir)
        return
    if config.run or config.qrels:
        raise InputError("--config.benchmark and --config.run exclude each other.")
    options = benchmark.Options(
        benchmark=config.benchmark,
        root=config.root,
        download=config.download,
        tasks=tuple(config.tasks),
        pooled=config.pooled,
        pools=config.pools,
        instruction=tuple(config.instruction),
        max_queries=config.max_queries,
        max_documents=config.max_documents,
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
    evaluation = evaluate(
        io.read_run(config.run),
        io.read_qrels(config.qrels),
        tuple(config.measures),
        drop_self=config.drop_self,
        complete=config.complete,
    )
    intervals = {
        measure: bootstrap(list(values.values()), resamples=config.resamples, seed=config.seed)
        for measure, values in evaluation.per_query.items()
    }
    write(workdir, evaluation, intervals, run=config.run, qrels=config.qrels)
    return evaluation, intervals


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
            | {measure: values[query_id] for measure, values in evaluation.per_query.items()}
            for query_id in queries
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
