"""KILT task files to examples, and runs to KILT predictions."""

import json

import pytest

from tart_jax.data.examples import TrainingExample
from tart_jax.data.exchange import kilt
from tart_jax.data.exchange.records import Read, Rejected, content_id
from tart_jax.types import Document, InputError

PASSAGES = [
    {"_id": "1-0", "title": "Oak", "text": "a tree", "wikipedia_id": "1",
     "start_paragraph_id": 1, "end_paragraph_id": 2},
    {"_id": "1-1", "title": "Oak", "text": "of wood", "wikipedia_id": 1,
     "start_paragraph_id": 2, "end_paragraph_id": 3},
    {"_id": "2-0", "title": "Owl", "text": "a bird", "wikipedia_id": "2",
     "start_paragraph_id": 1, "end_paragraph_id": 1},
]  # fmt: skip
DOCUMENTS = [Document(p["_id"], p["text"], p["title"]) for p in PASSAGES]


def provenance(page, start=None, end=None):
    place = {"wikipedia_id": page, "start_paragraph_id": start, "end_paragraph_id": end}
    return {"provenance": [{name: v for name, v in place.items() if v is not None}]}


TASK = [
    {"id": "a", "input": "oak", "output": [provenance("1", 1, 1), {"answer": "tree"}]},
    {"id": "b", "input": "elm [SEP] kind", "output": [provenance("2"), provenance("1", 2, 2)]},
    {"id": "c", "input": "ash", "output": [{"answer": "a tree"}]},
    {"id": "d", "input": "fir", "output": [provenance("9", 1, 1)]},
    {"id": "e", "input": "yew"},
]


def lines(path, records):
    path.write_text("".join(json.dumps(record) + "\n" for record in records))
    return path


@pytest.fixture
def folder(tmp_path):
    lines(tmp_path / "corpus.jsonl", PASSAGES)
    lines(tmp_path / "nq.jsonl", TASK)
    return tmp_path


def test_passages_that_meet_the_provenance_are_positives(folder):
    where = f"{folder}/nq.jsonl: line"
    items = list(kilt.read(folder / "nq.jsonl", task="nq", corpus=str(folder)))
    assert items == [
        Read(TrainingExample("nq", "a", "oak", (DOCUMENTS[0],), answers=("tree",))),
        Read(TrainingExample("nq", "b", "elm [SEP] kind",
                             (DOCUMENTS[2], DOCUMENTS[0], DOCUMENTS[1]))),
        Rejected(f"{where} 3", "no output has a provenance"),
        Rejected(f"{where} 4", "no passage of the corpus holds its provenance"),
        Rejected(f"{where} 5", "no output has a provenance"),
    ]  # fmt: skip


def test_answers_can_be_the_documents_of_a_dialogue(folder):
    items = list(kilt.read(folder / "nq.jsonl", task="wow", positives="answers"))
    found = [item.example.positives for item in items if isinstance(item, Read)]
    assert found == [(Document(content_id("", t), t),) for t in ("tree", "a tree")]
    assert items[1].reason == items[4].reason == "no output has an answer"


def test_a_task_file_without_its_texts_is_refused(folder):
    with pytest.raises(InputError, match="nq.jsonl: a KILT file has no texts; .*options.corpus"):
        list(kilt.read(folder / "nq.jsonl", task="nq"))


def test_a_malformed_provenance_is_refused_with_file_line_and_field(folder):
    bad = {"id": "x", "input": "q", "output": [provenance("1", "first", 2)]}
    lines(folder / "nq.jsonl", [TASK[0], bad])
    with pytest.raises(
        InputError,
        match=r"line 2, 'output' 0, 'provenance' 0, needs the field 'start_paragraph_id'",
    ):
        list(kilt.read(folder / "nq.jsonl", task="nq", corpus=str(folder)))
    lines(folder / "corpus.jsonl", [PASSAGES[0], {"_id": "x", "text": "t"}])
    lines(folder / "nq.jsonl", TASK)
    with pytest.raises(InputError, match=r"corpus.jsonl: line 2 needs the field 'wikipedia_id'"):
        list(kilt.read(folder / "nq.jsonl", task="nq", corpus=str(folder)))


def test_predictions_are_written_by_falling_score(folder):
    (folder / "run.trec").write_text("a Q0 2-0 1 0.5 x\na Q0 1-0 2 0.9 x\n")
    lines(folder / "queries.jsonl", [{"_id": "a", "text": "oak"}])
    exported = kilt.write_predictions(
        folder / "p.jsonl", folder / "run.trec", corpus=str(folder), queries=str(folder)
    )
    assert (exported.examples, exported.records) == (1, 1)
    assert json.loads((folder / "p.jsonl").read_text()) == {
        "id": "a",
        "input": "oak",
        "output": [{"provenance": [
            {"wikipedia_id": "1", "start_paragraph_id": 1, "end_paragraph_id": 2},
            {"wikipedia_id": "2", "start_paragraph_id": 1, "end_paragraph_id": 1},
        ]}],
    }  # fmt: skip


def test_a_hit_or_query_that_is_unknown_is_refused(folder):
    lines(folder / "queries.jsonl", [{"_id": "a", "text": "oak"}])
    for row, said in (("a Q0 9-9 1 1 x", "hit '9-9'"), ("z Q0 1-0 1 1 x", "query 'z'")):
        (folder / "run.trec").write_text(row + "\n")
        with pytest.raises(InputError, match=said):
            kilt.write_predictions(
                folder / "p.jsonl", folder / "run.trec", corpus=str(folder), queries=str(folder)
            )
    assert not (folder / "p.jsonl").exists()
