"""The demo's story with a tiny random model: every act runs, and the numbers add up."""

import json

import numpy as np
import pytest

from tart_jax import config as configs
from tart_jax.data.python_library import PROSE_TASKS
from tart_jax.demo import report
from tart_jax.demo.run import run, wrong_task
from tart_jax.evaluate.systems import load_tasks


@pytest.fixture(scope="module")
def workdir(tmp_path_factory, tiny_model):
    folder = tmp_path_factory.mktemp("demo")
    words = [f"--config.model={tiny_model}", "--config.query_length=32"]
    run(configs.load("configs/demo/default.py:quicktest", words), folder)
    return folder


@pytest.fixture(scope="module")
def found(workdir):
    return json.loads((workdir / "report.json").read_text())


def test_the_report_and_its_figures_are_written(workdir):
    for name in ("report.md", "report.json", "scores.png", "swap.png"):
        assert (workdir / name).stat().st_size > 500
    page = (workdir / "report.md").read_text()
    assert all(name in page for name in (report.BM25, report.BEFORE, report.RIGHT))


def test_means_are_those_of_the_per_query_scores(found):
    for scope, systems in found["ndcg"].items():
        for name, (mean, low, high) in systems.items():
            scores = found["per_query"][name]["ndcg"][scope]
            tasks = [np.mean(list(scores[task].values())) for task in found["averaged"]]
            assert mean == pytest.approx(np.mean(tasks))
            assert low <= mean <= high


def test_a_gain_is_the_difference_of_the_means(found):
    pooled = found["ndcg"]["pooled"]
    for name, (gain, _, _) in found["right_minus"].items():
        assert gain == pytest.approx(pooled[report.RIGHT][0] - pooled[name][0])


def test_shares_of_the_swap_matrix_add_up_to_one(found):
    np.testing.assert_allclose(np.sum(found["swap"]["share"], axis=1), 1)


def test_a_pooled_corpus_is_never_easier_than_the_closed_one_for_a_dense_system(found):
    """The same scores among more documents; BM25's scores change with the corpus."""
    for name in (report.BEFORE, report.NONE, report.RIGHT):
        assert found["ndcg"]["pooled"][name][0] <= found["ndcg"]["closed"][name][0] + 1e-9


def test_the_wrong_instruction_is_anothers_and_the_prose_tasks_swap(workdir):
    tasks = load_tasks(workdir / "data" / "test")
    wrong = wrong_task(tasks)
    assert all(name != other for name, other in wrong.items())
    first, second = PROSE_TASKS
    assert wrong[first] == second and wrong[second] == first


def test_the_demo_started_again_gives_the_same_report(workdir, found, tiny_model):
    words = [f"--config.model={tiny_model}", "--config.query_length=32"]
    run(configs.load("configs/demo/default.py:quicktest", words), workdir)
    again = json.loads((workdir / "report.json").read_text())
    assert again | {"seconds": 0} == found | {"seconds": 0}
