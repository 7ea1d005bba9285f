"""Random access to training examples."""

import gzip
import json
import pickle
from dataclasses import replace
from operator import itemgetter
from pathlib import Path

import pytest

from tart_jax.data import examples, sources
from tart_jax.data.examples import TrainingExample
from tart_jax.data.sources import JsonlSource, TfdsRecords, open_source
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


def written(folder, names, rows, split="train", sequences=()):
    """A TFDS folder made by TFDS's own builder."""
    import tensorflow_datasets as tfds

    tfds.disable_progress_bar()
    texts = {name: tfds.features.Text() for name in ("doc_id", "title", "text")}
    features = {name: tfds.features.Text() for name in names}
    features |= {name: tfds.features.Sequence(texts) for name in sequences}

    class Made(tfds.core.GeneratorBasedBuilder, skip_registration=True):
        VERSION = tfds.core.Version("1.0.0")
        code_path = None

        def _info(self):
            return tfds.core.DatasetInfo(
                builder=self, features=tfds.features.FeaturesDict(features)
            )

        def _split_generators(self, dl_manager):
            return {split: self._generate_examples()}

        def _generate_examples(self):
            yield from enumerate(rows)

    builder = Made(data_dir=folder)
    builder.download_and_prepare(file_format="array_record", download_dir=folder / "downloads")
    return Path(builder.data_dir)


def tfds_examples(folder, count=20):
    rows = [examples.to_record(example) for example in make(count)]
    for row in rows:
        row["negatives"] = [{"doc_id": f"n{i}", "title": "ü", "text": ""} for i in range(3)]
        row["hard_negatives"] = []
    sequences = ("positives", "negatives", "hard_negatives")
    keep = ("task", "query_id", "query", *sequences)
    rows = [{name: row[name] for name in keep} for row in rows]
    return written(folder, keep[:3], rows, sequences=sequences)


def test_examples_are_read_from_a_tfds_folder_as_from_json_lines(tmp_path):
    folder = tfds_examples(tmp_path)
    source = open_source(folder)
    read = {example.query_id: example for example in map(source.__getitem__, range(20))}
    assert len(source) == len(read) == 20
    for example in make(20):
        negatives = tuple(Document(f"n{i}", "", "ü") for i in range(3))
        assert read[example.query_id] == replace(example, negatives=negatives)
    assert source[-1] == source[19]
    with pytest.raises(IndexError):
        source[20]
    assert source.tasks == {}


def test_our_reading_of_tfds_records_agrees_with_its_own(tmp_path):
    import tensorflow_datasets as tfds

    folder = tfds_examples(tmp_path)
    theirs = tfds.builder_from_directory(folder).as_data_source("train")
    for ours, record in zip(TfdsRecords(folder), theirs, strict=True):
        assert ours["query"].encode() == record["query"]
        for name in ("positives", "negatives", "hard_negatives"):
            columns = {key: [value.encode() for value in map(itemgetter(key), ours[name])]
                       for key in ("doc_id", "title", "text")}  # fmt: skip
            assert columns == {key: list(values) for key, values in record[name].items()}


def test_a_tfds_source_travels_to_other_processes(tmp_path):
    source = open_source(tfds_examples(tmp_path))
    assert pickle.loads(pickle.dumps(source))[7] == source[7]


def test_the_counts_of_a_berri_set_come_from_its_record_and_of_no_other(tmp_path):
    folder = tfds_examples(tmp_path)
    record = folder.parent / "build.json"
    for facts, expected in (
        ({"kind": sources.BERRI_KIND, "task": "npr"}, {"npr": 20}),
        ({"kind": "something else", "task": "npr"}, {}),
        ([], {}),
    ):
        record.write_text(json.dumps(facts))
        assert open_source(folder).tasks == expected


def test_a_broken_tfds_folder_is_refused_by_name(tmp_path):
    folder = tfds_examples(tmp_path, 3000)
    with pytest.raises(InputError, match="has the splits train; it should have test"):
        TfdsRecords(folder, "test")
    (shard,) = folder.glob("*array_record*")
    whole = shard.read_bytes()
    shard.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(InputError, match=r"records 5 to 2000 cannot be read .* cut\?"):
        TfdsRecords(folder).fetch([2000, 5])
    shard.unlink()
    with pytest.raises(InputError, match="array_record shards"):
        TfdsRecords(folder)
    shard.write_bytes(whole)
    (folder / "dataset_info.json").write_text("{")
    with pytest.raises(InputError, match="is not readable as a TFDS folder"):
        TfdsRecords(folder)


def test_records_that_are_no_examples_are_refused_with_their_number(tmp_path):
    folder = written(tmp_path, ("doc_id", "text"), [{"doc_id": "a", "text": "b"}])
    with pytest.raises(InputError, match="record 0: unknown key"):
        open_source(folder)[0]
