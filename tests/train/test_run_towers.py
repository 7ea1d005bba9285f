"""Two towers, class towers and markers in whole runs: what learns, and what is refused."""

import dataclasses

import jax
import numpy as np
import pytest

from tart_jax import distributed, io
from tart_jax.data import examples
from tart_jax.data.tokenization import Tokenizer
from tart_jax.encode.encoder import Encoder
from tart_jax.encode.run import run as encode
from tart_jax.models import pretrained
from tart_jax.train import run as stage
from tart_jax.types import Document, InputError
from tests.train.conftest import training_examples
from tests.train.test_run import log_lines, options, train, train_until, weights

CLASSES = ("left=a,b", "right=c")


@pytest.fixture(scope="module")
def three_tasks(tmp_path_factory):
    """The same pairs under three tasks."""
    path = tmp_path_factory.mktemp("three") / "train.jsonl"
    made = [
        dataclasses.replace(example, task="abc"[i % 3])
        for i, example in enumerate(training_examples())
    ]
    examples.write(path, made)
    return path


@pytest.fixture(scope="module")
def classed(model_directory, three_tasks):
    return options(
        model_directory, three_tasks, model__tied=False, model__query_towers=CLASSES,
        data__homogeneous=True,
    )  # fmt: skip


def test_the_two_towers_differ_after_training(model_directory, train_file, tmp_path):
    train(tmp_path / "a", options(model_directory, train_file, model__tied=False))
    found = pretrained.load(tmp_path / "a" / "model")
    query, document = (jax.tree.leaves(found.params[t]) for t in ("query", "document"))
    assert not found.config.tied
    assert sum(np.any(q != d) for q, d in zip(query, document, strict=True)) > len(query) / 2


def gradients(values, task):
    """Of the first step, with a batch of one task alone."""
    from tart_jax import config as config_files
    from tart_jax.train import build, models

    config = config_files.load("configs/train/default.py")
    for key, value in values.items():
        config.update_from_flattened_dict({key: value})
    config.data.weights = tuple(f"{name}={int(name == task)}" for name in "abc")
    config.data.mixing = "explicit"
    mesh = distributed.make_mesh({"data": 8})
    mixture = stage.load_mixture(config)
    model = stage.load_model(config)
    batches, _ = stage.load_batches(config, mixture, model, mesh)
    batch = next(batches.iterate(0, workers=0, prefetch=1))
    batch = jax.tree.map(jax.numpy.asarray, batch if isinstance(batch, dict) else batch[0])
    objective = build.of_classes(
        stage.objective_table.build(models.graphdef(model), mesh=mesh, **config.objective)
    )
    return jax.grad(lambda params: objective(params, batch, None)[0])(model.params)


@pytest.mark.parametrize("task, own, other", [("b", 0, 1), ("c", 1, 0)])
def test_a_class_tower_gets_gradients_from_its_classes_tasks_alone(classed, task, own, other):
    found = gradients(classed, task)
    norms = [
        sum(float(np.sum(np.square(leaf[n]))) for leaf in jax.tree.leaves(found["query"]))
        for n in (own, other)
    ]
    assert norms[0] > 0 and norms[1] == 0
    assert sum(float(np.sum(np.square(leaf))) for leaf in jax.tree.leaves(found["document"])) > 0


def test_each_class_is_a_model_of_its_own_over_one_document_tower(classed, tmp_path):
    train(tmp_path / "a", classed | {"steps": 6})
    folder = tmp_path / "a" / "model"
    assert io.read_json(folder / "towers.json") == {"a": "left", "b": "left", "c": "right"}
    left, right = (pretrained.load(folder / name) for name in ("left", "right"))
    assert left.document_sha256 == right.document_sha256 != left.weights_sha256
    assert left.weights_sha256 != right.weights_sha256


def test_one_class_trains_as_two_plain_towers_do(classed, model_directory, three_tasks, tmp_path):
    """And the broken twin: with two classes the same tower has seen fewer batches."""
    plain = options(model_directory, three_tasks, model__tied=False, data__homogeneous=True)
    one = classed | {"model.query_towers": ("all=a,b,c",)}
    losses = {}
    for name, values in (("plain", plain), ("one", one), ("two", classed)):
        train(tmp_path / name, values | {"steps": 6})
        losses[name] = np.array([line["loss"] for line in log_lines(tmp_path / name)])
    # Adam makes a whole step of a gradient that is nothing but rounding, as that of a key's bias:
    # so losses are compared, not weights.
    assert np.abs(losses["one"] - losses["plain"]).max() < 1e-5
    assert np.abs(losses["two"] - losses["plain"]).max() > 1e-4


def test_a_killed_run_of_class_towers_goes_on_bit_for_bit(classed, tmp_path, monkeypatch):
    train(tmp_path / "whole", classed)
    train_until(tmp_path / "killed", classed, monkeypatch, 2)
    train(tmp_path / "killed", classed)
    for name in ("left/query", "right/query", "left/document"):
        first, second = (weights_of(tmp_path / run / "model" / name) for run in ("whole", "killed"))
        assert all(np.array_equal(first[key], second[key]) for key in first)


def weights_of(folder):
    from safetensors.numpy import load_file

    (path,) = folder.rglob("model.safetensors")
    return load_file(path)


@pytest.mark.parametrize(
    "changes, said",
    [
        ({"data.homogeneous": False}, "data.homogeneous=True"),
        ({"model.tied": True}, "needs two towers"),
        ({"model.query_towers": ("left=a",)}, "no class for the task"),
        ({"lora.rank": 2}, "query_towers"),
    ],
)
def test_what_does_not_go_with_class_towers_is_told(classed, tmp_path, changes, said):
    with pytest.raises(InputError, match=said):
        train(tmp_path / "a", classed | changes)


def test_markers_are_one_token_each_and_stay_with_the_model(model_directory, tmp_path):
    tokenizer = Tokenizer.load(model_directory)
    letters = sorted(w for w in tokenizer._fast.get_vocab() if w.isalpha())
    first, word, last = letters[:3]
    marked = tokenizer.with_specials((word,))
    assert marked.fingerprint() != tokenizer.fingerprint()
    marked.save(tmp_path)
    again = Tokenizer.load(tmp_path)
    assert again.fingerprint() == marked.fingerprint()
    token = marked._fast.token_to_id(word)
    assert again.encode([f"{first}{word}{last}"], 16)[0].tolist().count(token) == 1
    with pytest.raises(InputError, match="'.unknown.' is not in the vocabulary"):
        tokenizer.with_specials(("[unknown]",))


def test_the_title_separator_is_read_in_training_encoding_and_search(
    model_directory, train_file, tmp_path
):
    values = options(model_directory, train_file, data__title_separator="[SEP]")
    train(tmp_path / "a", values)
    train(tmp_path / "b", options(model_directory, train_file))
    model = pretrained.load(tmp_path / "a" / "model")
    assert model.format.title_separator == "[SEP]"
    assert Document("d", "text", "title").contents("[SEP]") == "title [SEP] text"
    # These examples have no titles: the separator changes nothing there.
    assert all(
        np.array_equal(weights(tmp_path / "a")[k], v) for k, v in weights(tmp_path / "b").items()
    )
    io.write_jsonl(tmp_path / "corpus.jsonl", [{"_id": "d", "title": "b", "text": "c"}])
    from tart_jax import config as config_files

    words = [f"--config.model={tmp_path / 'a' / 'model'}",
             f"--config.corpus={tmp_path / 'corpus.jsonl'}"]  # fmt: skip
    encode(config_files.load("configs/encode/default.py", words), tmp_path / "e")
    from tart_jax.encode.store import Embeddings

    (shard,) = Embeddings.open(tmp_path / "e").shards()
    expected = Encoder(model, tower="document", max_length=8).encode(["b [SEP] c"])
    np.testing.assert_allclose(np.asarray(shard, np.float32), expected, atol=2e-3)
