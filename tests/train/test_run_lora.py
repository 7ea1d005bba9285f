"""The stage with LoRA and with frozen parts: what it leaves, and that it goes on after a kill."""

import numpy as np
import pytest
from safetensors.numpy import load_file

from tart_jax import io
from tart_jax.models import pretrained, pretrained_cross
from tart_jax.types import InputError
from tests.train.test_run import log_lines, options, same, train, train_until, weights

LORA = {"lora.rank": 2, "optimizer.peak_lr": 1e-2}


@pytest.fixture(scope="module")
def basics(model_directory, train_file) -> dict:
    return options(model_directory, train_file) | LORA


@pytest.fixture(scope="module")
def finished(tmp_path_factory, basics):
    workdir = tmp_path_factory.mktemp("lora") / "a"
    train(workdir, basics)
    return workdir


def test_the_adapter_and_the_model_are_the_same_model(finished, basics):
    model, adapted = pretrained.load(finished / "model"), pretrained.load(finished / "adapter")
    assert adapted.format == model.format and adapted.config.pooling == model.config.pooling
    assert adapted.tokenizer.fingerprint() == model.tokenizer.fingerprint()
    one, other = weights(finished), load_file(f"{basics['model.source']}/model.safetensors")
    moved = {name for name, value in one.items() if np.any(value != other[name])}
    assert {name.rpartition("self.")[2] for name in moved} == {"query.weight", "value.weight"}
    layer = model.params["document"]["encoder"]["layers"][0]["attention"]
    again = adapted.params["document"]["encoder"]["layers"][0]["attention"]
    for name in ("query", "key", "value"):
        # the product is added up by XLA there, by NumPy here
        np.testing.assert_allclose(again[name]["kernel"], layer[name]["kernel"], atol=1e-7)


def test_a_killed_run_ends_in_the_same_adapter(finished, basics, tmp_path, monkeypatch):
    train_until(tmp_path / "b", basics, monkeypatch, 2)
    train(tmp_path / "b", basics)
    files = [f / "adapter" / "adapter_model.safetensors" for f in (finished, tmp_path / "b")]
    assert same(*map(load_file, files))
    with pytest.raises(InputError, match="lora.rank"):
        train(tmp_path / "b", basics | {"lora.rank": 3})


def test_two_towers_have_an_adapter_each(basics, tmp_path):
    train(tmp_path / "a", basics | {"model.tied": False})
    adapted = pretrained.load(tmp_path / "a" / "adapter")
    model = pretrained.load(tmp_path / "a" / "model")
    assert not adapted.config.tied and set(adapted.params) == {"query", "document"}
    for tower, params in model.params.items():
        kernels = [
            p["encoder"]["layers"][0]["attention"]["query"]["kernel"]
            for p in (params, adapted.params[tower])
        ]
        np.testing.assert_allclose(*kernels, atol=1e-7)


def test_a_cross_encoder_keeps_its_head_in_the_adapter(basics, tmp_path):
    cross = basics | {"objective.name": "cross_pointwise", "model.new_head": True}
    train(tmp_path / "a", cross | {"data.pair_length": 16})
    adapted = pretrained_cross.load(tmp_path / "a" / "adapter")
    model = pretrained_cross.load(tmp_path / "a" / "model")
    assert adapted.format == model.format and adapted.config.num_labels == 2
    for name in ("classifier", "pooler"):
        np.testing.assert_array_equal(adapted.params[name]["kernel"], model.params[name]["kernel"])
    saved = io.read_json(tmp_path / "a" / "adapter" / "adapter_config.json")
    assert (saved["task_type"], saved["modules_to_save"]) == ("SEQ_CLS", ["classifier", "pooler"])


def test_the_dev_set_and_a_projection_see_the_merged_model(basics, tmp_path, caplog):
    train(tmp_path / "a", basics | {"model.projection": 3})
    assert "no place for a projection" in caplog.text
    assert not (tmp_path / "a" / "adapter").exists()
    assert pretrained.load(tmp_path / "a" / "model").config.projection == 3


def test_frozen_parameters_are_exported_as_they_were(basics, tmp_path):
    train(tmp_path / "a", basics | {"lora.rank": 0, "frozen": ("/embeddings/",)})
    one, other = (
        weights(tmp_path / "a"),
        load_file(f"{basics['model.source']}/model.safetensors"),
    )
    same_ones = {name for name, value in one.items() if np.array_equal(value, other[name])}
    assert same_ones == {name for name in one if name.startswith("embeddings.")}
    assert log_lines(tmp_path / "a")[-1]["loss"] > 0 and not (tmp_path / "a" / "adapter").exists()


def test_lora_on_the_first_layers_is_refused(basics, tmp_path):
    with pytest.raises(InputError, match="config.lora.rank goes with none of config.model.layers"):
        train(tmp_path / "a", basics | {"model.layers": 1})
