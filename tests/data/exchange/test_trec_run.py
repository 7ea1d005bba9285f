"""TREC runs as candidates."""

import json

import pytest

from tart_jax.data.examples import TrainingExample
from tart_jax.data.exchange import trec_run
from tart_jax.data.exchange.records import Read, Rejected
from tart_jax.types import Document, InputError


def document(number):
    return Document(f"d{number}", f"text {number}")


@pytest.fixture
def data(tmp_path):
    for name, records in (
        ("corpus", [{"_id": f"d{n}", "text": f"text {n}"} for n in range(6)]),
        ("queries", [{"_id": "q0", "text": "oak"}, {"_id": "q1", "text": "elm"}]),
    ):
        text = "".join(json.dumps(record) + "\n" for record in records)
        (tmp_path / f"{name}.jsonl").write_text(text)
    # out of order, with a hit repeated
    hits = ["q0 Q0 d1 1 1.0 x", "q0 Q0 d0 2 5.0 x", "q0 Q0 d2 3 3.0 x", "q0 Q0 d2 4 2.0 x",
            "q0 Q0 d3 5 0.5 x", "q1 Q0 d1 1 1.0 x", "q9 Q0 d1 1 1.0 x"]  # fmt: skip
    (tmp_path / "run.trec").write_text("\n".join(hits))
    (tmp_path / "qrels.tsv").write_text(
        "query-id\tcorpus-id\tscore\nq0\td2\t2\nq0\td5\t2\nq0\td3\t1\nq1\td1\t0\n"
    )
    return {
        "path": tmp_path / "run.trec",
        "corpus": str(tmp_path),
        "queries": str(tmp_path),
        "qrels": str(tmp_path / "qrels.tsv"),
    }


def test_judged_documents_are_positives_and_other_hits_hard_negatives(data):
    run = data["path"]
    example = TrainingExample(
        "t", "q0", "oak", tuple(map(document, (2, 5, 3))), (), (document(0), document(1))
    )
    assert list(trec_run.read(**data, task="t")) == [
        Read(example),
        Rejected(f"{run}: query q1", "it has no positive document"),
        Rejected(f"{run}: query q9", "its query is not in the queries file"),
    ]


def test_depth_and_threshold(data):
    item = next(iter(trec_run.read(**data, task="t", depth=2)))
    assert item.example.hard_negatives == (document(0),)
    item = next(iter(trec_run.read(**data, task="t", threshold=2.0)))
    assert item.example.positives == (document(2), document(5))
    assert item.example.hard_negatives == (document(0), document(1))
    assert item.changes == ("hits judged between 0 and the threshold left out",)


def test_without_judgements_the_best_hits_can_be_the_positives(data):
    item = next(iter(trec_run.read(**data | {"qrels": ""}, task="t", top_as_positives=1)))
    assert item.example.positives == (document(0),)
    assert item.example.hard_negatives == (document(2), document(1), document(3))
    with pytest.raises(InputError, match=r"a run needs .*options.corpus and .queries"):
        list(trec_run.read(**data | {"qrels": ""}, task="t"))


def test_a_hit_that_the_corpus_lacks_is_refused(data):
    with data["path"].open("a") as file:
        file.write("\nq0 Q0 d77 9 9.0 x\n")
    with pytest.raises(InputError, match=r"run.trec: query q0: the hit 'd77' is not in the corpus"):
        list(trec_run.read(**data, task="t"))
