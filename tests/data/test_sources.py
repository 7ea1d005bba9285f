"""Random access to training examples."""

import gzip
import pickle

import pytest

from tart_jax.data import examples, sources
from tart_jax.data.examples import TrainingExample
from tart_jax.data.sources import JsonlSource, open_source
from tart_jax.types import Document, InputError


def make(count: int) -> list[TrainingExample]:
    return [
        TrainingExample(f"task{i % 2}", f"q{i}", f"query {i} ü", (Document(f"d{i}", f"text {i}"),))
        for i in range(count)
    ]


def test_any_example_is_read_without_those_before(tmp_path):
    path = tmp_path / "train.jsonl"
    examples.write(path, make(7))
    source = open_source(path)
    assert len(source) == 7
    assert [source[i] for i in (6, 0, 3)] == [make(7)[i] for i in (6, 0, 3)]
    assert source.tasks == {"task0": 4, "task1": 3}
    with pytest.raises(IndexError):
        source[7]


def test_blank_lines_and_a_missing_last_line_end_do_no_harm(tmp_path):
    path = tmp_path / "train.jsonl"
    examples.write(path, make(2))
    first, second = path.read_text("utf-8").splitlines()
    path.write_text(f"\n{first}\n\n{second}", "utf-8")
    assert [JsonlSource(path)[i] for i in range(2)] == make(2)


def test_a_source_travels_to_other_processes(tmp_path):
    path = tmp_path / "train.jsonl"
    examples.write(path, make(3))
    source = JsonlSource(path)
    assert source[1] == pickle.loads(pickle.dumps(source))[1]


def test_the_fingerprint_is_that_of_the_content(tmp_path):
    for name, count in (("a", 3), ("b", 3), ("c", 4)):
        examples.write(tmp_path / name, make(count))
    a, b, c = (JsonlSource(tmp_path / name).fingerprint for name in "abc")
    assert a == b != c


def test_a_broken_line_is_refused_with_file_and_line_before_training(tmp_path):
    path = tmp_path / "train.jsonl"
    examples.write(path, make(3))
    whole = path.read_text("utf-8").splitlines()
    for broken, message in (("{oops", "line 2 is not JSON"), ("[]", "line 2 is not a JSON object")):
        path.write_text("\n".join([whole[0], broken, whole[2]]), "utf-8")
        with pytest.raises(InputError, match=f"train.jsonl: {message}"):
            open_source(path)


def test_missing_empty_and_zipped_files_are_refused(tmp_path):
    with pytest.raises(InputError, match="does not exist"):
        open_source(tmp_path / "none.jsonl")
    (tmp_path / "empty.jsonl").write_text("\n")
    with pytest.raises(InputError, match="holds no example"):
        open_source(tmp_path / "empty.jsonl")
    with gzip.open(tmp_path / "train.jsonl.gz", "wt") as file:
        file.write("{}\n")
    with pytest.raises(InputError, match="gunzip -k"):
        open_source(tmp_path / "train.jsonl.gz")
    with pytest.raises(InputError, match="array_record"):
        open_source(tmp_path)


def test_examples_are_read_from_tfds_records(tmp_path):
    example = examples.to_record(make(1)[0])
    documents = example["positives"]
    columns = {name: [d[name].encode() for d in documents] for name in documents[0]}
    record = {name: example[name].encode() for name in ("task", "query_id", "query")}
    source = sources.TfdsSource.__new__(sources.TfdsSource)
    source.directory = tmp_path
    source._records = [record | {"positives": columns}]
    assert source[0] == make(1)[0]
