"""The TFDS builders: features, files, and bytes that depend on the records alone."""

import json

import pytest
from tensorflow_datasets.proto import tf_example_pb2, tf_feature_pb2

from tart_jax.data import corpus, examples
from tart_jax.data.berri import builder, rules
from tart_jax.data.berri.buckets import Buckets
from tart_jax.data.examples import TrainingExample
from tart_jax.data.sources import TfdsSource
from tart_jax.types import Document

DOCUMENTS = [Document(rules.doc_id(f"text {i} \u2028 ü"), f"text {i} \u2028 ü") for i in range(50)]
EXAMPLES = [
    TrainingExample("t", f"k\\{i}", f"query {i}", tuple(DOCUMENTS[i : i + 1 + i % 3]))
    for i in range(40)
]


def written(tmp_path, kind, values):
    buckets = Buckets(tmp_path / f"{kind.name} buckets", kind.split)
    for key, value in values:
        buckets.add(key, value)
    config = builder.TaskConfig(
        name="t",
        version=builder.VERSION,
        description="what it is",
        citation="@misc{t}",
        licence="CC0",
        buckets=buckets,
    )
    number = builder.write(kind, tmp_path, config, tmp_path / "temporary")
    assert number == len(values)
    return builder.folder(kind, tmp_path, "t")


def test_examples_are_written_and_read(tmp_path):
    rows = [(example.query_id, rules.example_json(example)) for example in EXAMPLES]
    folder = written(tmp_path, builder.Berri, rows)
    assert folder == tmp_path / "berri" / "t" / "1.0.0"
    source = TfdsSource(folder)
    read = [source[i] for i in range(len(source))]
    assert sorted(read, key=lambda e: e.query_id) == sorted(EXAMPLES, key=lambda e: e.query_id)
    features = json.loads((folder / "features.json").read_text())["featuresDict"]["features"]
    assert set(features) <= set(examples.FIELDS) - {"instruction"}
    info = json.loads((folder / "dataset_info.json").read_text())
    assert (info["citation"], info["configName"]) == ("@misc{t}", "t")
    assert info["redistributionInfo"]["license"] == "CC0"


def test_a_corpus_is_written_and_read(tmp_path):
    rows = [(document.doc_id, rules.document_json(document)) for document in DOCUMENTS]
    folder = written(tmp_path, builder.BerriCorpus, rows)
    assert sorted(corpus.read_documents(folder)) == sorted(DOCUMENTS)


def test_nothing_is_printed(tmp_path, capfd):
    rows = [(document.doc_id, rules.document_json(document)) for document in DOCUMENTS]
    written(tmp_path, builder.BerriCorpus, rows)
    assert capfd.readouterr() == ("", "")


def entry(name: str) -> bytes:
    feature = tf_feature_pb2.Feature()
    feature.bytes_list.value.append(name.encode())
    return tf_feature_pb2.Features(feature={name: feature}).SerializeToString()


@pytest.mark.parametrize("other", ["ab", "ca"])
def test_records_of_equal_content_get_equal_bytes(other):
    """A map's entries may come in any order: the first value here is the second turned round."""

    def example(names):
        content = b"".join(map(entry, names))
        return b"\n" + bytes([len(content)]) + content

    one, two = example("ab"), example("ba")
    assert one != two
    assert tf_example_pb2.Example.FromString(one) == tf_example_pb2.Example.FromString(two)
    assert (builder._ordered(example(other)) == builder._ordered(two)) == (other == "ab")
