"""Corpora and queries: formats read alike, and what is refused."""

import gzip
import json
from array import array
from pathlib import Path

import pytest

from tart_jax.data import corpus
from tart_jax.types import Document, InputError, Query

DOCUMENTS = [
    Document("a", 'A "quoted" word', "First"),
    Document("b", "no title\u2028one line", ""),
    Document("7", "", "title only"),
]


def jsonl(documents):
    rows = ({"_id": d.doc_id, "text": d.text, "title": d.title} for d in documents)
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)


def written(path, text):
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".gz":
        path.write_bytes(gzip.compress(text.encode()))
    else:
        path.write_bytes(text.encode())
    return path


def tsv(documents):
    return "title\tid\ttext\n" + "".join(f"{d.title}\t{d.doc_id}\t{d.text}\n" for d in documents)


@pytest.mark.parametrize("ending", ["", ".gz"])
def test_beir_jsonl_and_tsv_hold_the_same_documents(tmp_path, ending):
    written(tmp_path / "beir" / f"corpus.jsonl{ending}", jsonl(DOCUMENTS))
    lines = written(tmp_path / f"c.jsonl{ending}", jsonl(DOCUMENTS))
    table = written(tmp_path / f"c.tsv{ending}", tsv(DOCUMENTS))
    for path in (tmp_path / "beir", lines, table):
        assert list(corpus.read_documents(path)) == DOCUMENTS
    assert corpus.scan(tmp_path / "beir") == corpus.scan(lines)
    assert corpus.scan(lines).count == 3


def test_fingerprint_ignores_gzip_and_sees_one_letter(tmp_path):
    plain = corpus.scan(written(tmp_path / "a.jsonl", jsonl(DOCUMENTS)))
    zipped = corpus.scan(written(tmp_path / "a.jsonl.gz", jsonl(DOCUMENTS)))
    other = corpus.scan(written(tmp_path / "b.jsonl", jsonl(DOCUMENTS).replace("word", "ward")))
    assert plain == zipped
    assert plain.fingerprint != other.fingerprint


def test_tsv_quoted_as_csv_is_unquoted_and_stray_quotes_stay(tmp_path):
    text = 'id\ttext\ttitle\n1\t"He said ""so"""\tT\n2\t"half\t5" disk\n3\t"a" and "b"\t""\n'
    documents = list(corpus.read_documents(written(tmp_path / "psgs_w100.tsv", text)))
    assert [d.text for d in documents] == ['He said "so"', '"half', '"a" and "b"']
    assert [d.title for d in documents] == ["T", '5" disk', ""]


@pytest.mark.parametrize("name", ["c.jsonl", "c.tsv", "c.jsonl.gz"])
def test_lookup_and_fetch_find_documents_by_position(tmp_path, name):
    text = tsv(DOCUMENTS) if ".tsv" in name else jsonl(DOCUMENTS).replace("\n", "\n\n", 1)
    path = written(tmp_path / name, text)
    lookup = corpus.Lookup(path)
    for _ in range(2):
        assert lookup.fetch([2, 0]) == {2: DOCUMENTS[2], 0: DOCUMENTS[0]}
    assert corpus.fetch(path, [1]) == {1: DOCUMENTS[1]}
    with pytest.raises(InputError, match="position 3"):
        lookup.fetch([3])
    with pytest.raises(InputError, match="position 9"):
        corpus.fetch(path, [0, 9])


@pytest.mark.parametrize(
    "name,text,said",
    [
        ("c.jsonl", '{"_id": "a", "text": "x"}\n{"_id": "b", "text"\n', "line 2 is not JSON"),
        ("c.jsonl", '{"_id": "a", "text": "x"}\n\n["b"]\n', "line 3 is not a JSON object"),
        ("c.jsonl", '{"_id": "a"}\n', "line 1 needs the field 'text'"),
        (
            "c.jsonl",
            '{"_id": "a", "text": 5}\n',
            "line 1 needs the field 'text' with a text, not '5'",
        ),
        ("c.jsonl", '{"_id": "a", "text": "x", "title": []}\n', "line 1 needs the field 'title'"),
        ("c.jsonl", '{"text": "x"}\n', "line 1 needs the field '_id'"),
        ("c.jsonl", '{"_id": "a b", "text": "x"}\n', "line 1 has the id 'a b'"),
        ("c.jsonl", '{"_id": "", "text": "x"}\n', "line 1 has the id ''"),
        ("c.jsonl", "", "holds no document"),
        ("c.jsonl", "\n \n", "holds no document"),
        ("c.tsv", "id\ttext\n", "holds no document"),
        ("c.tsv", "a\tsome text\n", "line 1 should be a header"),
        ("c.tsv", "id\ttext\na\tb\tc\n", "line 2 has 3 columns, the header 2"),
        ("c.txt", "hello", "ends in .jsonl"),
    ],
)
def test_scan_refuses_with_file_and_line(tmp_path, name, text, said):
    path = written(tmp_path / name, text)
    with pytest.raises(InputError) as error:
        corpus.scan(path)
    assert said in str(error.value) and str(path) in str(error.value)


def test_scan_names_both_lines_of_a_duplicate_id(tmp_path):
    path = written(tmp_path / "c.jsonl", jsonl([*DOCUMENTS, DOCUMENTS[1]]))
    with pytest.raises(InputError, match="'b' on lines 2 and 4"):
        corpus.scan(path)


def test_equal_hashes_of_different_ids_are_no_duplicate(tmp_path, monkeypatch):
    path = written(tmp_path / "c.jsonl", jsonl(DOCUMENTS))
    monkeypatch.setattr(corpus, "_hash", lambda doc_id: 1)
    assert corpus.scan(path).count == 3
    assert array("Q").itemsize == 8  # what a document costs while scanning


def test_missing_files_and_folders_are_named(tmp_path):
    with pytest.raises(InputError, match="nothing does not exist"):
        corpus.scan(tmp_path / "nothing")
    with pytest.raises(InputError, match="holds neither corpus.jsonl"):
        corpus.scan(tmp_path)
    with pytest.raises(InputError, match="holds neither queries.jsonl"):
        corpus.read_queries(tmp_path)


def tfds(folder, rows, names=("doc_id", "title", "text")):
    """A TFDS folder in array_record format, made by TFDS's own builder."""
    import tensorflow_datasets as tfds

    tfds.disable_progress_bar()

    class Made(tfds.core.GeneratorBasedBuilder, skip_registration=True):
        VERSION = tfds.core.Version("1.0.0")
        code_path = None

        def _info(self):
            features = tfds.features.FeaturesDict({name: tfds.features.Text() for name in names})
            return tfds.core.DatasetInfo(builder=self, features=features)

        def _split_generators(self, dl_manager):
            return {"corpus": self._generate_examples()}

        def _generate_examples(self):
            yield from enumerate(rows)

    builder = Made(data_dir=folder)
    builder.download_and_prepare(file_format="array_record", download_dir=folder / "downloads")
    return Path(builder.data_dir)


def rows(count):
    return [{"doc_id": f"d{i}", "title": f"T{i % 3}", "text": f"text {i} ü"} for i in range(count)]


def test_a_tfds_folder_is_a_corpus_like_others(tmp_path):
    folder = tfds(tmp_path / "a", rows(3000))
    documents = list(corpus.read_documents(folder))
    assert sorted(documents) == sorted(Document(**row) for row in rows(3000))
    info = corpus.scan(folder)
    assert info.count == 3000
    wanted = {place: documents[place] for place in (2999, 0, 1500)}
    assert corpus.Lookup(folder).fetch(wanted) == corpus.fetch(folder, wanted) == wanted
    with pytest.raises(InputError, match="no document at position 3000"):
        corpus.Lookup(folder).fetch([3000])
    assert corpus.scan(tfds(tmp_path / "b", rows(3000))) == info
    changed = rows(3000)
    changed[7]["text"] += "."
    other = corpus.scan(tfds(tmp_path / "c", changed))
    assert other.count == 3000 and other.fingerprint != info.fingerprint


def test_a_tfds_folder_that_is_no_corpus_is_refused(tmp_path):
    for number, (broken, names, said) in enumerate(
        [
            (rows(2) + rows(1), ("doc_id", "title", "text"), "'d0' on lines"),
            ([{"text": "a"}], ("text",), "needs the field '_id'"),
            ([{"doc_id": "a"}], ("doc_id",), "needs the field 'text'"),
            ([{"doc_id": "a b", "text": ""}], ("doc_id", "text"), "has the id 'a b'"),
        ]
    ):
        folder = tfds(tmp_path / str(number), broken, names)
        with pytest.raises(InputError, match=said):
            corpus.scan(folder)


def test_queries_are_read_with_their_instructions(tmp_path):
    text = '{"_id": "1", "text": "x", "instruction": "Find y."}\n{"_id": 2, "text": "z"}\n'
    expected = [Query("1", "x", "Find y."), Query("2", "z", "")]
    assert corpus.read_queries(written(tmp_path / "q.jsonl", text)) == expected
    table = written(tmp_path / "q.tsv", "text\tid\nx\t1\n")
    assert corpus.read_queries(table) == [Query("1", "x", "")]


@pytest.mark.parametrize(
    "text,said",
    [
        ('{"_id": "1", "text": "x"}\n{"_id": "1", "text": "y"}\n', "'1' on lines 1 and 2"),
        ("", "holds no query"),
        ('{"_id": "1"}\n', "line 1 needs the field 'text'"),
        ('{"_id": "1", "text": "x", "instruction": 3}\n', "line 1 needs the field 'instruction'"),
    ],
)
def test_broken_query_files_are_refused(tmp_path, text, said):
    with pytest.raises(InputError, match=said):
        corpus.read_queries(written(tmp_path / "q.jsonl", text))
