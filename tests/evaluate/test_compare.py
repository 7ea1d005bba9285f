"""`tart-jax compare`: two evaluations by the files that they left."""

import json

import numpy as np
import pytest

from tart_jax import cli, io
from tart_jax.evaluate import compare


def evaluation(folder, values, measure="nDCG@10"):
    rows = [{"query_id": f"q{i}", measure: float(v)} for i, v in enumerate(values)]
    io.write_jsonl(folder / "per_query.jsonl", rows)
    return str(folder)


@pytest.fixture
def both(tmp_path):
    draw = np.random.default_rng(0)
    base = draw.uniform(size=60)
    noise = draw.normal(0, 0.1, 60)
    evaluation(tmp_path / "a" / "one", base + 0.1)
    evaluation(tmp_path / "b" / "one", base)
    evaluation(tmp_path / "a" / "two", base + noise)
    evaluation(tmp_path / "b" / "two", base)
    return tmp_path


def test_a_difference_is_told_from_noise(both, capsys):
    words = ["compare", str(both / "a"), str(both / "b"), f"--workdir={both / 'out'}"]
    assert cli.main(words) == 0
    said = capsys.readouterr().out
    assert "A - B" in said and "p (Holm)" in said
    one, two = json.loads((both / "out" / "compare.json").read_text())["rows"]
    assert one["task"] == "one" and one["difference"][0] == pytest.approx(0.1)
    assert one["p_holm"] < 0.01 < 0.05 < two["p_holm"]
    assert one["p_holm"] == pytest.approx(2 * one["p"])  # two rows
    assert one["win_tie_loss"] == [60, 0, 0] and sum(two["win_tie_loss"]) == 60
    assert "one nDCG@10" in (both / "out" / "compare.md").read_text()


def test_one_evaluation_and_another_in_folders_of_their_own(tmp_path):
    first = evaluation(tmp_path / "a", [1, 0, 1])
    second = evaluation(tmp_path / "b", [1, 0, 0])
    found = compare.evaluations(tmp_path / "a")
    assert found == {"": {"nDCG@10": {"q0": 1.0, "q1": 0.0, "q2": 1.0}}}
    assert cli.main(["compare", first, second]) == 0


@pytest.mark.parametrize(
    "names, said",
    [
        (["a"], "compare takes two evaluations, there are 1"),
        (["a", "c"], "c does not exist"),
        (["a", "d"], "holds no per_query.jsonl"),
        (["a", "other"], "the same queries; 1 of 4"),
        (["a", "measure"], "no task and measure in common"),
    ],
)
def test_what_cannot_be_compared_is_told(tmp_path, capsys, names, said):
    evaluation(tmp_path / "a", [1, 0, 1])
    evaluation(tmp_path / "other", [1, 0, 1, 1])
    evaluation(tmp_path / "measure", [1, 0, 1], "MAP")
    (tmp_path / "d").mkdir()
    assert cli.main(["compare", *(str(tmp_path / name) for name in names)]) == 2
    assert said in capsys.readouterr().err
