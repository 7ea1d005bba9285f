"""LoRA adapters in PEFT's layout: its own are read, and ours are what it would write."""

import dataclasses
import shutil
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from tart_jax import config as configs
from tart_jax import io
from tart_jax.models import (
    adapter,
    convert,
    cross_encoder,
    dual_encoder,
    lora,
    pretrained,
    pretrained_cross,
)
from tart_jax.models.dual_encoder import DualEncoderConfig
from tart_jax.types import InputError
from tests.models.test_lora import BERT, T5, grown, params_of

DATA = Path(__file__).parent / "data"  # adapters by scripts/reference/make_adapter_reference.py
FILES = ("adapter_config.json", "adapter_model.safetensors")
ENCODER = (r"attention/(query|output)/kernel", r"\bdown/kernel")


def placed(name: str, base: Path, tmp_path: Path) -> Path:
    """PEFT's adapter, saying what it was trained from."""
    folder = shutil.copytree(DATA / f"adapter_{name}", tmp_path / name)
    settings = io.read_json(folder / FILES[0]) | {"base_model_name_or_path": str(base)}
    io.write_json(folder / FILES[0], settings)
    return folder


def change(folder: Path, **settings) -> None:
    io.write_json(folder / FILES[0], io.read_json(folder / FILES[0]) | settings)


def outputs(name: str) -> dict[str, np.ndarray]:
    with np.load(DATA / f"adapter_{name}" / "outputs.npz") as file:
        return dict(file)


def hidden(model, tiny) -> np.ndarray:
    tower = dual_encoder.graphdef(dataclasses.replace(model.config, pooling="cls"))
    tokens, mask = jnp.asarray(tiny.tokens), jnp.asarray(tiny.mask)
    return np.asarray(dual_encoder.encode(tower, model.params, tokens, mask, tower="document"))


def test_an_adapter_of_peft_computes_what_it_does_there(safetensors_directory, tiny, tmp_path):
    folder = placed("encoder", safetensors_directory, tmp_path)
    wanted = outputs("encoder")
    found = hidden(pretrained.load(folder), tiny)
    # float32 sums in another order than PyTorch's
    np.testing.assert_allclose(found, wanted["outputs"][:, 0], atol=1e-5)
    assert np.abs(found - wanted["base"][:, 0]).max() > 0.1
    change(folder, lora_alpha=9)  # the twin
    assert np.abs(hidden(pretrained.load(folder), tiny) - found).max() > 1e-3


@pytest.fixture
def classifier(tmp_path) -> Path:
    """PEFT's adapter of a classifier, over an encoder alone."""
    with np.load(DATA / "cross_bert_2.npz") as file:
        arrays = dict(file)
    base = tmp_path / "base"
    base.mkdir()
    (base / "config.json").write_text(str(arrays["config"]))
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    (base / "vocab.txt").write_text("\n".join(words) + "\n")
    weights = {k: v.astype(np.float32) for k, v in arrays.items() if k.startswith("weight/bert.")}
    weights = {k.removeprefix("weight/bert."): v for k, v in weights.items()}
    save_file(weights, base / "model.safetensors")  # an encoder alone
    return placed("classifier", base, tmp_path)


def test_a_classifiers_adapter_brings_its_head(classifier, tmp_path):
    with np.load(DATA / "cross_bert_2.npz") as file:
        inputs = [jnp.asarray(file[name]) for name in ("tokens", "mask", "types")]
    model = pretrained_cross.load(classifier)
    graph = cross_encoder.graphdef(model.config)
    found = cross_encoder.logits(graph, model.params, *inputs, key=None)
    np.testing.assert_allclose(found, outputs("classifier")["outputs"], atol=1e-5)
    assert pretrained_cross.load(classifier, separator="!").format.separator == "!"
    with pytest.raises(InputError, match="gives 2 logits, not num_labels=1"):
        pretrained_cross.load(classifier, num_labels=1)


@pytest.mark.parametrize("kind", ["encoder", "classifier"])
def test_an_adapter_converts_to_the_model_with_it_added_up(
    kind, classifier, safetensors_directory, tmp_path
):
    dual = kind == "encoder"
    folder = placed(kind, safetensors_directory, tmp_path) if dual else classifier
    words = [f"--config.source={folder}", "--config.to=hf"]
    convert.run(configs.load("configs/convert/default.py", words), tmp_path / "out")
    load = pretrained.load if dual else pretrained_cross.load
    assert load(tmp_path / "out" / "model").weights_sha256 == load(folder).weights_sha256


def test_our_file_of_the_same_factors_is_that_of_peft(safetensors_directory, tmp_path):
    model = pretrained.load(safetensors_directory)
    theirs = load_file(DATA / "adapter_encoder" / FILES[1])
    tower = lora.add(model.params["document"], targets=ENCODER, rank=3, seed=0)
    names = {"query": "attention.self.query", "output": "attention.output.dense"}
    for number, layer in tower["encoder"]["layers"].items():
        places = {names[k]: layer["attention"][k] for k in names} | {"output.dense": layer["down"]}
        for module, place in places.items():
            stem = f"base_model.model.encoder.layer.{number}.{module}"
            place["lora_a"] = theirs[f"{stem}.lora_A.weight"].T
            place["lora_b"] = theirs[f"{stem}.lora_B.weight"].T
    out = tmp_path / "ours"
    out.mkdir()
    layout, config = adapter.tower_of(model.config)
    adapter.write(out, {"document": tower}, layout, config, rank=3, alpha=8.0, base="somewhere")
    ours = load_file(out / FILES[1])
    assert ours.keys() == theirs.keys()
    for name, value in ours.items():
        np.testing.assert_array_equal(value, theirs[name])
    said, wanted = (io.read_json(f / FILES[0]) for f in (out, DATA / "adapter_encoder"))
    same = set(said) - {"base_model_name_or_path", "target_modules"}
    assert {k: said[k] for k in same} == {k: wanted[k] for k in same}
    modules = {name.removeprefix("base_model.model.").partition(".lora_")[0] for name in theirs}
    assert set(said["target_modules"]) == modules


@pytest.mark.parametrize("encoder, scan", [(BERT, False), (T5, False), (T5, True)])
def test_what_is_written_merges_to_what_the_training_saw(encoder, scan, tmp_path):
    params = params_of(encoder, scan)
    tower = grown(params)["document"]
    layout, config = adapter.tower_of(DualEncoderConfig(encoder, scan=scan))
    adapter.write(tmp_path, {"document": tower}, layout, config, rank=3, alpha=6.0, base="b")
    merged = adapter.merge_tower(tmp_path, params["document"], config)
    wanted = lora.merge(tower, 2.0)
    close = lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-6, atol=1e-6)  # noqa: E731
    jax.tree.map(close, merged, wanted)
    jax.tree.map(np.testing.assert_array_equal, params, params_of(encoder, scan))  # untouched


@pytest.mark.parametrize(
    "settings, message",
    [
        ({"peft_type": "IA3"}, "peft_type is 'IA3'; plain LoRA"),
        ({"use_dora": True}, "use_dora is True"),
        ({"rank_pattern": {"query": 2}}, "rank_pattern is"),
        ({"base_model_name_or_path": None}, "has no base_model_name_or_path"),
    ],
)
def test_another_kind_of_adapter_is_refused(settings, message, safetensors_directory, tmp_path):
    folder = placed("encoder", safetensors_directory, tmp_path)
    change(folder, **settings)
    with pytest.raises(InputError, match=message):
        pretrained.load(folder)


def test_tensors_without_a_place_are_refused(safetensors_directory, tmp_path):
    folder = placed("encoder", safetensors_directory, tmp_path)
    tensors = load_file(folder / FILES[1])
    stem = "base_model.model.encoder.layer.{}.attention.self.query.lora_A.weight"
    save_file(tensors | {stem.format(7): np.ones((3, 24), "f4")}, folder / FILES[1])
    with pytest.raises(InputError, match=r"no place in this model for 1 tensors: encoder.layer.7"):
        pretrained.load(folder)
    save_file(tensors | {stem.format(1): np.ones((3, 8), "f4")}, folder / FILES[1])
    with pytest.raises(InputError, match=r"make a matrix \[24, 8\], the model's is \[24, 24\]"):
        pretrained.load(folder)


@pytest.mark.filterwarnings("ignore::FutureWarning")  # of their own
def test_peft_loads_what_we_write(tmp_path, safetensors_directory, tiny):
    peft, torch = pytest.importorskip("peft"), pytest.importorskip("torch")
    transformers = pytest.importorskip("transformers")
    model = pretrained.load(safetensors_directory)
    tower = grown(model.params, targets=ENCODER)["document"]
    layout, config = adapter.tower_of(model.config)
    base = str(safetensors_directory)
    adapter.write(tmp_path, {"document": tower}, layout, config, rank=3, alpha=6.0, base=base)
    theirs = peft.PeftModel.from_pretrained(transformers.AutoModel.from_pretrained(base), tmp_path)
    with torch.inference_mode():
        tokens, mask = (torch.from_numpy(x).long() for x in (tiny.tokens, tiny.mask))
        wanted = theirs(input_ids=tokens, attention_mask=mask).last_hidden_state[:, 0].numpy()
    merged = dataclasses.replace(model, params={"document": lora.merge(tower, 2.0)})
    np.testing.assert_allclose(hidden(merged, tiny), wanted, atol=1e-5)
    assert np.abs(hidden(model, tiny) - wanted).max() > 0.1
