"""What a reader reads: gold passages, found ones in their order, or none; ids are KILT's."""

import pytest

from tart_jax import io
from tart_jax.data import examples
from tart_jax.data.kilt import build, reading
from tart_jax.data.reading import NOTHING, passages_of
from tart_jax.types import InputError


@pytest.fixture
def world(source, write_lines, provenance, tmp_path):
    """(KILT folder, gold file): two questions on a page, one without answer, one without place."""
    rows = [
        {"id": "a 1", "input": "what burns", "output": [
            {"answer": "ash", "provenance": [provenance("12", 1, 0, 1, 9)]}]},
        {"id": "a 2", "input": "how is elm", "output": [
            {"answer": "tall", "provenance": [provenance("7", 1, 11, 1, 16)]}, {"answer": "hard"}]},
        {"id": "a 3", "input": "why", "output": [{"provenance": [provenance("7", 1, 0, 1, 3)]}]},
        {"id": "a 4", "input": "who", "output": [{"answer": "x"}]},
    ]  # fmt: skip
    gold = write_lines("nq-dev-kilt.jsonl", rows)
    build.run(tmp_path / "kilt", knowledge_source=source, dev_tasks={"nq": gold}, words=5)
    return tmp_path / "kilt", gold


def make(world, out, **changes):
    kilt, gold = world
    options = dict(kilt=str(kilt), gold=f"nq={gold}", passages="gold", run="", count=2,
                   answered=True)  # fmt: skip
    reading.run(out, **options | changes)
    return list(examples.read(out / "examples.jsonl"))


def test_gold_passages_answers_and_kilts_own_ids(world, tmp_path):
    found = make(world, tmp_path / "r")
    assert [e.query_id for e in found] == ["a 1", "a 2", "a 4"]
    assert found[0].query == "what burns?" and found[1].answers == ("tall", "hard")
    assert found[0].positives[0].doc_id == "12-0"
    assert found[2].positives[0].doc_id == NOTHING and passages_of(found[2], 3) == ()


def test_found_passages_stand_in_the_order_of_their_scores(world, tmp_path):
    (tmp_path / "run.trec").write_text(
        "a_1 Q0 7-0 1 1.0 t\na_1 Q0 12-0 2 3.0 t\na_1 Q0 101-0 3 2.0 t\n"
    )
    found = make(world, tmp_path / "r", passages="run", run=str(tmp_path / "run.trec"))
    assert [d.doc_id for d in found[0].positives] == ["12-0", "101-0"]
    assert found[1].positives[0].doc_id == NOTHING


def test_none_and_unanswered_items(world, tmp_path):
    found = make(world, tmp_path / "r", passages="none", answered=False)
    assert len(found) == 4 and {e.positives[0].doc_id for e in found} == {NOTHING}
    stats = io.read_json(tmp_path / "r" / "dataset.json")
    assert stats["counts"]["written"] == 4


def test_it_is_made_once_for_the_same(world, tmp_path):
    make(world, tmp_path / "r")
    stamp = (tmp_path / "r" / "examples.jsonl").stat().st_mtime_ns
    make(world, tmp_path / "r")
    assert (tmp_path / "r" / "examples.jsonl").stat().st_mtime_ns == stamp
    make(world, tmp_path / "r", count=1)
    assert (tmp_path / "r" / "examples.jsonl").stat().st_mtime_ns != stamp


@pytest.mark.parametrize(
    "changes, said",
    [
        ({"gold": "nq"}, "should be 'task=file'"),
        ({"passages": "some"}, "is one of gold, run, none"),
        ({"passages": "run"}, "--config.run names a TREC run"),
        ({"run": "x.trec"}, "--config.run names a TREC run"),
    ],
)
def test_mistakes_are_told(world, tmp_path, changes, said):
    with pytest.raises(InputError, match=said):
        make(world, tmp_path / "r", **changes)


def test_a_run_over_another_corpus_is_refused(world, tmp_path):
    (tmp_path / "run.trec").write_text("a_1 Q0 999-0 1 1.0 t\n")
    with pytest.raises(InputError, match="no passage of"):
        make(world, tmp_path / "r", passages="run", run=str(tmp_path / "run.trec"))
    assert not (tmp_path / "r").exists()
