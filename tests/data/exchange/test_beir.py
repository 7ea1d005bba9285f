"""BEIR folders to examples and back."""

import json

import pytest

from tart_jax.data.examples import TrainingExample
from tart_jax.data.exchange import beir
from tart_jax.data.exchange.records import Read, Rejected
from tart_jax.types import Document, InputError


def document(number):
    return Document(f"d{number}", f"text {number}", f"T{number}")


@pytest.fixture
def folder(tmp_path):
    docs = (document(n) for n in range(8))
    corpus = [{"_id": d.doc_id, "title": d.title, "text": d.text} for d in docs]
    queries = [
        {"_id": "q0", "text": "oak"},
        {"_id": "q1", "text": "elm", "instruction": "find"},
        {"_id": "q2", "text": "ash"},
        {"_id": "q3", "text": " "},
    ]
    for name, records in (("corpus", corpus), ("queries", queries)):
        text = "".join(json.dumps(record) + "\n" for record in records)
        (tmp_path / f"{name}.jsonl").write_text(text)
    rows = ["query-id\tcorpus-id\tscore", "q0\td0\t2", "q0\td1\t1", "q0\td2\t0", "q1\td9\t2",
            "q1\td3\t2", "q2\td4\t0", "q3\td1\t2", "q9\td1\t2"]  # fmt: skip
    (tmp_path / "qrels").mkdir()
    (tmp_path / "qrels" / "train.tsv").write_text("\n".join(rows))
    return tmp_path


def test_judged_documents_become_positives_and_hard_negatives(folder):
    where = f"{folder}/qrels/train.tsv: query"
    first = TrainingExample("t", "q0", "oak", (document(0), document(1)), (), (document(2),))
    assert list(beir.read(folder, task="t")) == [
        Read(first),
        Read(TrainingExample("t", "q1", "elm", (document(3),), instruction="find"), 1,
             ("judged documents that are not in the corpus left out",)),
        Rejected(f"{where} q2", "no document with enough relevance is in the corpus"),
        Rejected(f"{where} q3", "the query is empty"),
        Rejected(f"{where} q9", "its query is not in the queries file"),
    ]  # fmt: skip


def test_a_threshold_leaves_out_what_is_partly_relevant_and_notes_it(folder):
    item = next(iter(beir.read(folder, task="t", threshold=2.0)))
    assert item.example == TrainingExample("t", "q0", "oak", (document(0),), (), (document(2),))
    assert item.changes == ("documents judged between 0 and the threshold left out",)


def test_random_negatives_are_a_function_of_seed_and_query_and_never_judged(folder):
    def drawn(**options):
        items = beir.read(folder, task="t", random_negatives=4, **options)
        return {i.example.query_id: i.example.negatives for i in items if isinstance(i, Read)}

    first = drawn()
    assert first == drawn(seed=0) and first != drawn(seed=1)
    ids = {d.doc_id for d in first["q0"]}
    assert len(ids) == 4 and not ids & {"d0", "d1", "d2"}
    rows = (folder / "qrels" / "train.tsv").read_text().splitlines()
    (folder / "qrels" / "train.tsv").write_text("\n".join([rows[0], *rows[:3:-1], *rows[1:4]]))
    assert drawn()["q0"] == first["q0"]  # whatever else stands in the file


def test_more_random_negatives_than_documents_are_refused(folder):
    with pytest.raises(InputError, match=r"corpus.jsonl holds no more than 8 documents"):
        list(beir.read(folder, task="t", random_negatives=6))


def test_a_malformed_corpus_or_judgement_is_refused_with_file_and_line(folder):
    with (folder / "corpus.jsonl").open("a") as file:
        file.write('{"_id": "x"}\n')
    with pytest.raises(InputError, match=r"corpus.jsonl: line 9 needs the field 'text'"):
        list(beir.read(folder, task="t"))
    with pytest.raises(InputError, match=r"dev.tsv does not exist"):
        list(beir.read(folder, task="t", split="dev"))


def test_a_gzip_corpus_is_refused_for_want_of_random_access(folder):
    import gzip

    content = (folder / "corpus.jsonl").read_bytes()
    (folder / "corpus.jsonl").unlink()
    (folder / "corpus.jsonl.gz").write_bytes(gzip.compress(content))
    with pytest.raises(InputError, match="corpus.jsonl.gz is gzip.*gunzip -k"):
        list(beir.read(folder, task="t"))


EXAMPLES = [
    TrainingExample("t", "q0", "oak", (document(0), document(1)), (), (document(2),)),
    TrainingExample("t", "q1", "elm", (document(1),), (), (document(0),), instruction="find"),
]


def test_what_is_written_reads_back_the_same(tmp_path):
    exported = beir.write(tmp_path / "b", EXAMPLES, split="dev")
    assert (exported.examples, exported.records, exported.lost) == (2, 2, {})
    back = {i.example.query_id: i.example for i in beir.read(tmp_path / "b", task="t", split="dev")}
    assert list(back.values()) == EXAMPLES and list(back.values()) != EXAMPLES[::-1]
    assert len((tmp_path / "b" / "corpus.jsonl").read_text().splitlines()) == 3


def test_kinds_that_the_folder_does_not_tell_apart_are_counted(tmp_path):
    example = TrainingExample(
        "t", "q", "oak", (document(0),), (document(1),), unfollowing_negatives=(document(2),)
    )
    exported = beir.write(tmp_path / "b", [example])
    assert exported.lost == {
        "random negatives are in the corpus, without a judgement": 1,
        "unfollowing negatives judged 0 like hard ones": 1,
    }


@pytest.mark.parametrize(
    "example,said",
    [
        (TrainingExample("t", "q0", "other", (document(0),)), "query id 'q0' stands for two"),
        (TrainingExample("t", "q5", "x", (Document("d0", "other"),)), "document id 'd0' stands"),
        (TrainingExample("t", "q 5", "x", (document(0),)), "query id 'q 5' is empty or holds"),
    ],
)
def test_ids_that_a_folder_cannot_hold_are_refused_and_nothing_is_left(example, said, tmp_path):
    with pytest.raises(InputError, match=said):
        beir.write(tmp_path / "b", [*EXAMPLES, example])
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []
