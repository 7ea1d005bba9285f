"""Arrays computed by PyTorch, and a tiny model directory made of them."""

import json
import string
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import safetensors.numpy

from tart_jax.models.bert import BertConfig
from tart_jax.models.t5 import T5Config

DATA = Path(__file__).parent / "data"
# Written by scripts/reference/make_bert_reference.py
BERTS = ("gelu", "gelu_new", "relu_one_type", "wide_heads")
LETTERS = string.ascii_lowercase
VOCABULARY = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *LETTERS, *(f"##{x}" for x in LETTERS)]
VOCABULARY += [".", ",", "!", "?"]


class Reference:
    """One tiny BERT of PyTorch: its configuration, weights, inputs and outputs."""

    def __init__(self, name: str):
        with np.load(DATA / f"bert_{name}.npz") as file:
            arrays = dict(file)
        self.hf_config = json.loads(str(arrays["config"]))
        self.config = BertConfig.from_hf(self.hf_config)
        self.tensors = {
            name.removeprefix("weight/"): value.astype(np.float32)
            for name, value in arrays.items()
            if name.startswith("weight/")
        }
        self.tokens, self.mask, self.hidden = arrays["tokens"], arrays["mask"], arrays["hidden"]
        self.pooled = {
            name.removeprefix("pooled/"): value
            for name, value in arrays.items()
            if name.startswith("pooled/")
        }


@pytest.fixture(params=BERTS)
def reference(request: pytest.FixtureRequest) -> Reference:
    return Reference(request.param)


@pytest.fixture
def tiny() -> Reference:
    return Reference("gelu")


@pytest.fixture
def model_directory(tmp_path: Path, tiny: Reference) -> Path:
    """A Hugging Face directory of the tiny model, without weights."""
    directory = tmp_path / "tiny"
    directory.mkdir()
    (directory / "config.json").write_text(json.dumps(tiny.hf_config))
    (directory / "vocab.txt").write_text("\n".join(VOCABULARY) + "\n")
    (directory / "tokenizer_config.json").write_text('{"do_lower_case": true}')
    return directory


@pytest.fixture
def safetensors_directory(model_directory: Path, tiny: Reference) -> Path:
    safetensors.numpy.save_file(tiny.tensors, model_directory / "model.safetensors")
    return model_directory


@pytest.fixture
def sentence_modules_directory(safetensors_directory: Path) -> Callable[..., Path]:
    """Puts sentence-transformers' files beside the tiny model."""

    def make(pooling: dict, *extra: tuple[str, str], max_length: int | None = 12) -> Path:
        directory = safetensors_directory
        chain = [("Transformer", ""), ("Pooling", "1_Pooling"), *extra]
        entries = [
            {"idx": i, "name": str(i), "path": path, "type": f"sentence_transformers.models.{kind}"}
            for i, (kind, path) in enumerate(chain)
        ]
        (directory / "modules.json").write_text(json.dumps(entries))
        (directory / "1_Pooling").mkdir()
        (directory / "1_Pooling" / "config.json").write_text(json.dumps(pooling))
        if max_length:
            (directory / "sentence_bert_config.json").write_text(
                json.dumps({"max_seq_length": max_length, "do_lower_case": False})
            )
        return directory

    return make


T5S = ("relu_tied", "gated", "mt5")  # written by scripts/reference/make_t5_reference.py


class T5Reference:
    """One tiny T5 of PyTorch: its configuration, weights, inputs and outputs."""

    def __init__(self, name: str):
        with np.load(DATA / f"t5_{name}.npz") as file:
            self.arrays = dict(file)
        self.hf_config = json.loads(str(self.arrays["config"]))
        self.config = T5Config.from_hf(self.hf_config)
        self.tensors = {
            name.removeprefix("weight/"): value.astype(np.float32)
            for name, value in self.arrays.items()
            if name.startswith("weight/")
        }
        self.tokens, self.mask = self.arrays["tokens"], self.arrays["mask"]
        self.hidden = self.arrays["hidden"]


@pytest.fixture(params=T5S)
def t5_reference(request: pytest.FixtureRequest) -> T5Reference:
    return T5Reference(request.param)


@pytest.fixture
def gated() -> T5Reference:
    return T5Reference("gated")


@pytest.fixture
def t5_buckets() -> dict[str, np.ndarray]:
    with np.load(DATA / "t5_buckets.npz") as file:
        return dict(file)


@pytest.fixture
def mt5() -> T5Reference:
    return T5Reference("mt5")


@pytest.fixture
def relu_tied() -> T5Reference:
    return T5Reference("relu_tied")
