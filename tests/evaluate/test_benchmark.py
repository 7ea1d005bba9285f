"""A system on a benchmark: what it writes, what it does not do twice, what it refuses."""

import json
import shutil
import signal
import subprocess
import sys
import time

import jax
import numpy as np
import pytest

from tart_jax import cli, config, io
from tart_jax.evaluate import pages, ranking
from tart_jax.evaluate import run as evaluate
from tart_jax.evaluate.measures import evaluate as measure
from tart_jax.models import pretrained
from tart_jax.types import InputError
from tests.search.conftest import make_cross, tiny_cross  # noqa: F401

WORDS = ["apple", "river", "stone", "cloud", "tiger"]


@pytest.fixture(scope="module")
def tasks(tmp_path_factory):
    """A test folder of three tasks, two of them about the same words."""
    folder = tmp_path_factory.mktemp("tasks")
    header = "task\tintent\tdomain\tunit\tinstruction_1\tinstruction_2\n"
    names = ("news", "code", "law")
    table = header + "".join(f"{t}\ta\tb\tc\tFind {t}.\tLook for {t}.\n" for t in names)
    (folder / "instructions.tsv").write_text(table)
    everything = []
    for task in names:
        rows = [
            {"_id": f"{task}/{n}", "title": "", "text": f"{WORDS[n % 5]} {WORDS[n // 5]} {task}"}
            for n in range(20)
        ]
        everything += rows
        io.write_jsonl(folder / task / "corpus.jsonl", rows)
        io.write_jsonl(
            folder / task / "queries.jsonl",
            [{"_id": f"{task}/q{n}", "text": f"{WORDS[n % 5]} {task}"} for n in range(6)],
        )
        io.write_qrels(
            folder / task / "qrels" / "test.tsv",
            {f"{task}/q{n}": {f"{task}/{n}": 1, f"{task}/{n + 5}": 0} for n in range(6)},
        )
    io.write_jsonl(folder / "pooled" / "corpus.jsonl", everything)
    return folder


def settings(benchmark, **changes):
    words = {"benchmark": benchmark, "pooled": True, "k": 15, "resamples": 50} | changes
    return config.load(
        "configs/evaluate/default.py", [f"--config.{key}={value}" for key, value in words.items()]
    )


@pytest.fixture(scope="module")
def whole(tasks, tiny_model, tmp_path_factory):
    workdir = tmp_path_factory.mktemp("whole") / "dense"
    conditions = "('right','none','wrong','wording:2')"
    evaluate.run(settings(tasks, retriever=tiny_model, instruction=conditions), workdir)
    return workdir


def row(workdir, **wanted):
    rows = io.read_json(workdir / "results.json")["rows"]
    (found,) = [row for row in rows if all(row[key] == value for key, value in wanted.items())]
    return found


def test_each_figure_leads_to_its_run_and_its_config(whole, tasks):
    results = io.read_json(whole / "results.json")
    assert len(results["rows"]) == 4 * 3 * 2
    for found in results["rows"]:
        run = whole / found["run"]
        assert json.loads((run / "config.json").read_text())["instruction"] == found["words"]
        assert (run / "environment.json").is_file()
        again = measure(
            io.read_run(run / "run.trec"),
            io.read_qrels(tasks / found["task"] / "qrels" / "test.tsv"),
            ("nDCG@10",),
        )
        assert found["measures"]["nDCG@10"]["mean"] == again.mean["nDCG@10"]
    assert results["published"] is False


def test_closed_is_the_pooled_list_without_the_others_documents(whole):
    """Both are views of embeddings made once."""
    assert [path.name for path in (whole / "embeddings").iterdir()] == ["pooled"]
    closed = io.read_run(whole / row(whole, task="code", scope="closed", instruction="right")["run"]
                         / "run.trec")  # fmt: skip
    pooled = io.read_run(whole / row(whole, task="code", scope="pooled", instruction="right")["run"]
                         / "run.trec")  # fmt: skip
    for query_id, hits in pooled.items():
        own = [hit for hit in hits if hit.doc_id.startswith("code/")]
        assert closed[query_id][: len(own)] == own


def test_the_conditions_ask_with_other_words(whole):
    words = {
        name: row(whole, task="law", scope="closed", instruction=name)["words"]
        for name in ("right", "none", "wrong", "wording:2")
    }
    assert words == {
        "right": "Find law.", "none": "", "wrong": "Find news.", "wording:2": "Look for law."
    }  # fmt: skip


def test_the_kinds_count_the_first_ten_pooled_hits(whole):
    found = row(whole, task="news", scope="pooled", instruction="right")
    assert sum(found["kinds"].values()) == 6 * 10
    hits = io.read_run(whole / found["run"] / "run.trec")
    own = sum(hit.doc_id.startswith("news/") for some in hits.values() for hit in some[:10])
    assert found["kinds"]["news"] == own
    assert row(whole, task="news", scope="closed", instruction="right")["kinds"] is None


def files(folder):
    skipped = ("environment.json", "results.json")
    return {
        path.relative_to(folder): path.stat().st_mtime_ns
        for path in folder.rglob("*")
        if path.is_file() and path.name not in skipped
    }


def test_what_is_done_is_not_done_again_and_a_killed_benchmark_goes_on(
    tasks, tiny_model, tmp_path, monkeypatch
):
    once, killed = tmp_path / "once", tmp_path / "killed"
    wanted = settings(tasks, retriever=tiny_model)
    evaluate.run(wanted, once)
    before = files(once)
    evaluate.run(wanted, once)
    assert files(once) == before
    count, real = [], ranking.search_run.run

    def dies(config, folder):
        count.append(folder)
        if len(count) == 4:
            raise KeyboardInterrupt
        real(config, folder)

    monkeypatch.setattr(ranking.search_run, "run", dies)
    with pytest.raises(KeyboardInterrupt):
        evaluate.run(wanted, killed)
    assert not (killed / "results.json").exists()
    monkeypatch.setattr(ranking.search_run, "run", real)
    stamped = files(killed)
    evaluate.run(wanted, killed)
    after = files(killed)
    assert all(after[path] == stamp for path, stamp in stamped.items() if path.name == "run.trec")
    first, second = (io.read_json(folder / "results.json")["rows"] for folder in (once, killed))
    assert first == second


@pytest.mark.slow
def test_a_benchmark_killed_without_warning_goes_on_where_it_was(tasks, tiny_model, tmp_path):
    """SIGKILL after the second search; what was done stays, and the figures are the same."""
    words = [f"benchmark={tasks}", f"retriever={tiny_model}", "pooled=True", "k=15"]
    command = [sys.executable, "-m", "tart_jax", "evaluate"]
    command += [f"--config.{word}" for word in words]
    folder = tmp_path / "killed"
    started = subprocess.Popen([*command, f"--workdir={folder}"], stdout=subprocess.DEVNULL)
    runs = []
    while started.poll() is None and len(runs) < 2:
        runs = list(folder.glob("results/right/*/*/run/step.json"))
        time.sleep(0.02)
    started.kill()
    assert started.wait() == -signal.SIGKILL
    assert not (folder / "results.json").exists()
    stamps = {path: path.stat().st_mtime_ns for path in runs}
    for place in (folder, tmp_path / "once"):
        subprocess.run([*command, f"--workdir={place}"], check=True, stdout=subprocess.DEVNULL)
    assert all(path.stat().st_mtime_ns == stamp for path, stamp in stamps.items())
    first, second = (io.read_json(p / "results.json")["rows"] for p in (folder, tmp_path / "once"))
    assert first == second


def test_another_instruction_searches_anew_and_encodes_nothing(tasks, tiny_model, tmp_path):
    evaluate.run(settings(tasks, retriever=tiny_model, pooled=False), tmp_path / "a")
    before = files(tmp_path / "a" / "embeddings")
    evaluate.run(
        settings(tasks, retriever=tiny_model, pooled=False, instruction="('none',)"), tmp_path / "a"
    )
    assert files(tmp_path / "a" / "embeddings") == before
    assert {path.name for path in (tmp_path / "a" / "embeddings").iterdir()} == {
        "news", "code", "law"
    }  # fmt: skip


def test_other_judgements_or_texts_at_the_same_paths_are_not_taken_for_the_old_ones(
    tasks, tiny_model, tmp_path
):
    copy = shutil.copytree(tasks, tmp_path / "tasks")
    wanted = settings(copy, retriever="BM25", tasks="('code',)")
    evaluate.run(wanted, tmp_path / "a")
    before = row(tmp_path / "a", task="code", scope="closed")["measures"]["nDCG@10"]["mean"]
    sha = io.read_json(tmp_path / "a" / "results.json")["test_sha256"]
    io.write_qrels(
        copy / "code" / "qrels" / "test.tsv", {f"code/q{n}": {"code/19": 1} for n in range(6)}
    )
    evaluate.run(wanted, tmp_path / "a")
    assert row(tmp_path / "a", task="code", scope="closed")["measures"]["nDCG@10"]["mean"] != before
    assert io.read_json(tmp_path / "a" / "results.json")["test_sha256"] != sha
    rows = [record for _, record in io.read_jsonl(copy / "pooled" / "corpus.jsonl")]
    io.write_jsonl(copy / "pooled" / "corpus.jsonl", rows[::-1])
    stamp = (tmp_path / "a" / "index" / "pooled" / "index.json").stat().st_mtime_ns
    evaluate.run(wanted, tmp_path / "a")
    assert (tmp_path / "a" / "index" / "pooled" / "index.json").stat().st_mtime_ns != stamp


def test_another_model_at_the_same_path_is_not_taken_for_the_old_one(tasks, tiny_model, tmp_path):
    model = shutil.copytree(tiny_model, tmp_path / "model")
    wanted = settings(tasks, retriever=model, pooled=False, tasks="('law',)")
    evaluate.run(wanted, tmp_path / "a")
    loaded = pretrained.load(model)
    other = jax.tree.map(lambda leaf: leaf + 0.1, loaded.params)
    pretrained.export(
        model, config=loaded.config, params=other, format=loaded.format, tokenizer=loaded.tokenizer
    )
    with pytest.raises(InputError, match="weights"):
        evaluate.run(wanted, tmp_path / "a")


def test_the_options_of_scoring_reach_every_task(tasks, tmp_path):
    wanted = settings(tasks, retriever="BM25", drop_self=False, complete=False, seed=3)
    evaluate.run(wanted, tmp_path / "a")
    for found in io.read_json(tmp_path / "a" / "results.json")["rows"]:
        said = io.read_json(tmp_path / "a" / found["scores"] / "config.json")
        assert (said["drop_self"], said["complete"], said["seed"]) == (False, False, 3)


def test_other_tasks_are_not_put_side_by_side(whole, tasks, tmp_path):
    evaluate.run(settings(tasks, retriever="BM25", tasks="('law',)"), tmp_path / "a")
    with pytest.raises(InputError, match="has the tasks news, code, law, .* law; evaluate"):
        pages.check([*pages.load(whole), *pages.load(tmp_path / "a")])


def test_bm25_with_a_reranker(tasks, tiny_cross, tmp_path):  # noqa: F811
    wanted = settings(
        tasks, retriever="BM25", reranker=tiny_cross.source, candidates=5, tasks="('code',)"
    )
    evaluate.run(wanted, tmp_path / "a")
    found = row(tmp_path / "a", task="code", scope="closed")
    run = io.read_run(tmp_path / "a" / found["run"] / "run.trec")
    assert found["run"].endswith("reranked") and all(len(hits) <= 5 for hits in run.values())
    stage = json.loads((tmp_path / "a" / found["run"] / "config.json").read_text())
    assert stage["instruction"] == "Find code."
    first = io.read_run((tmp_path / "a" / found["run"]).with_name("run") / "run.trec")
    assert {q: {h.doc_id for h in hits[:5]} for q, hits in first.items()} == {
        q: {h.doc_id for h in hits} for q, hits in run.items()
    }


def test_pools_rank_only_what_was_judged(tasks, tiny_model, tmp_path):
    evaluate.run(settings(tasks, retriever=tiny_model, pooled=False, pools=True), tmp_path / "a")
    found = row(tmp_path / "a", task="law")
    for query_id, hits in io.read_run(tmp_path / "a" / found["run"] / "run.trec").items():
        number = int(query_id[-1])
        assert {hit.doc_id for hit in hits} == {f"law/{number}", f"law/{number + 5}"}


def test_a_smaller_test_is_drawn_once_for_all_systems(tasks, tiny_model, tmp_path):
    small = dict(max_queries=3, max_documents=10)
    for name, retriever in (("a", tiny_model), ("b", "BM25")):
        evaluate.run(settings(tasks, retriever=retriever, **small), tmp_path / name)
    systems = [*pages.load(tmp_path / "a"), *pages.load(tmp_path / "b")]
    pages.check(systems)
    assert all(len(queries) == 3 for queries in systems[0].scores["closed"].values())


def test_systems_on_other_tests_are_not_put_side_by_side(whole, tasks, tmp_path):
    evaluate.run(settings(tasks, retriever="BM25", max_queries=2), tmp_path / "a")
    with pytest.raises(InputError, match="differ in test_sha256"):
        pages.check([*pages.load(whole), *pages.load(tmp_path / "a")])


def test_the_gap_and_the_wanted_kind_are_those_of_the_scores(whole):
    systems = pages.load(whole)
    assert [system.condition for system in systems] == ["right", "none", "wrong", "wording:2"]
    table = pages.gap(systems, resamples=50, seed=0)
    closed, pooled = (
        np.mean([np.mean(list(q.values())) for q in systems[0].scores[scope].values()])
        for scope in ("closed", "pooled")
    )
    assert table.rows[0][1].startswith(f"{closed:.3f}")
    assert table.rows[0][3].startswith(f"{pooled - closed:.3f}")


def test_swapped_instructions_are_a_matrix_whose_diagonal_is_the_right_one(
    whole, tasks, tiny_model, tmp_path
):
    conditions = "('of:news','of:code','of:law')"
    evaluate.run(settings(tasks, retriever=tiny_model, instruction=conditions), tmp_path / "a")
    systems = pages.load(tmp_path / "a")
    table = next(t for t in pages.tables(systems, resamples=20) if t.title.endswith("pooled corpus")
                 and t.title.startswith("Instructions swapped"))  # fmt: skip
    assert table.header == ["queries of", "news", "code", "law"]
    for place, task in enumerate(("news", "code", "law")):
        right = row(whole, task=task, scope="pooled", instruction="right")
        share = right["kinds"].get(task, 0) / sum(right["kinds"].values())
        wanted = f"{right['measures']['nDCG@10']['mean']:.4f}; {share:.0%}"
        assert table.rows[place][place + 1] == wanted
    assert row(tmp_path / "a", task="law", scope="closed", instruction="of:news")["words"] == (
        "Find news."
    )


def test_members_of_a_group_share_the_weight_of_one_task(whole):
    system = pages.load(whole)[0]
    rows = {key: dict(row) for key, row in system.rows.items()}
    for scope in ("closed", "pooled"):
        for task in ("news", "code"):
            rows[scope, task]["group"] = "one"
    grouped = pages.System(system.name, system.folder, system.results, "right", rows, system.scores)
    means = [np.mean(list(system.scores["closed"][t].values())) for t in ("news", "code", "law")]
    found = pages.intervals([grouped], "closed", resamples=20, seed=0)[system.name].mean
    assert found == pytest.approx((np.mean(means[:2]) + means[2]) / 2)


@pytest.mark.parametrize(
    "changes, said",
    [
        ({}, "config.retriever is missing"),
        ({"retriever": "BM25", "instruction": "()"}, "config.instruction is empty"),
        ({"retriever": "BM25", "instruction": "('rigth',)"}, "'rigth' is not one of right, none"),
        ({"retriever": "BM25", "instruction": "('wording:3',)"}, "wording:2"),
        ({"retriever": "BM25", "tasks": "('nwes',)"}, "nwes.*there are news, code, law"),
        ({"retriever": "BM25", "pools": True}, "pooled=True has no sense"),
        ({"retriever": "BM25", "run": "x.trec"}, "exclude each other"),
        ({"retriever": "BM25", "retriever_options": "('k',)"}, "'k' should look like"),
        ({"retriever": "BM25", "measures": "('nDCG@ten',)"}, "nDCG@ten"),
    ],
)
def test_mistakes_are_told(tasks, tmp_path, changes, said):
    with pytest.raises(InputError, match=said):
        evaluate.run(settings(tasks, **changes), tmp_path / "a")


def test_the_command_line_says_what_is_there(tasks, tmp_path, capsys):
    words = ["--config.retriever=BM25", "--config.pooled=True", f"--config.benchmark={tasks}"]
    assert cli.main(["evaluate", *words, f"--workdir={tmp_path / 'a'}"]) == 0
    said = capsys.readouterr().out
    assert "Closed against pooled" in said and "Whose documents were found" in said
