"""Writes a cross-encoder that Hugging Face and sentence-transformers load."""

import contextlib
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import safetensors.numpy

from tart_jax import io
from tart_jax.data.tokenization import Tokenizer
from tart_jax.models import checkpoint_layouts, checkpoint_params, cross_format, encoders
from tart_jax.models.cross_encoder import CrossEncoderConfig
from tart_jax.models.cross_format import CrossFormat
from tart_jax.models.format import FILE
from tart_jax.models.t5_config import T5Config
from tart_jax.types import InputError

ENC_T5 = "EncT5ForSequenceClassification"  # TART's class; transformers has none like it
LABELS = {1: ["relevance"], 2: ["not_relevant", "relevant"]}
README = """---
library_name: sentence-transformers
pipeline_tag: text-ranking
tags:
- sentence-transformers
- cross-encoder
- information-retrieval
- tart-jax
---

# A reranker that follows instructions

A cross-encoder of {labels}, trained with tart-jax. It reads pairs of an instructed query, written
`{query}`, and a document, `title text`, cut at {max_length} tokens, the longer text first.

```python
from tart_jax import Reranker

reranker = Reranker.load("path/of/this/directory")
```
"""
# Only a BERT is a class that they have.
PEERS = """
```python
from sentence_transformers import CrossEncoder

model = CrossEncoder("path/of/this/directory")
logits = model.predict([("{query}", "title text")])
```
"""


def export_cross(
    directory: str | Path,
    *,
    config: CrossEncoderConfig,
    params: dict[str, Any],
    format: CrossFormat,
    tokenizer: Tokenizer,
) -> None:
    """Writes config.json, model.safetensors, the tokenizer and tart_jax.json.

    Weights are float32, under the names of BertForSequenceClassification or, of a T5, of TART-full.
    The directory appears whole or not at all; an earlier export in its place
    is replaced.
    InputError: something else stands there.
    """
    directory = Path(directory)
    with replacing(directory, directory / FILE) as aside:
        write_classifier(aside, config, params, format, tokenizer)
        cross_format.write(aside, format)
        (aside / "README.md").write_text(_readme(config, format, tokenizer), "utf-8")


def write_classifier(
    directory: Path,
    config: CrossEncoderConfig,
    params: dict[str, Any],
    format: CrossFormat,
    tokenizer: Tokenizer,
) -> None:
    """What `transformers.AutoModelForSequenceClassification` reads (of a T5: TART's own class)."""
    t5 = isinstance(config.encoder, T5Config)
    layout = checkpoint_layouts.NAMES["enc_t5" if t5 else "bert_classifier"]
    labels = LABELS[config.num_labels]
    head = {
        "architectures": [ENC_T5 if t5 else "BertForSequenceClassification"],
        "classifier_dropout": config.dropout,
        "id2label": {str(number): label for number, label in enumerate(labels)},
        "label2id": {label: number for number, label in enumerate(labels)},
    }
    io.write_json(directory / "config.json", encoders.config_to_hf(config.encoder) | head)
    write_weights(directory, checkpoint_params.write(params, layout, config))
    write_tokenizer(directory, tokenizer, format.max_length)


def write_weights(directory: Path, tensors: checkpoint_params.Tensors) -> None:
    # AutoModel refuses a file without the metadata.
    path = directory / "model.safetensors"
    safetensors.numpy.save_file(tensors, path, metadata={"format": "pt"})


def write_tokenizer(directory: Path, tokenizer: Tokenizer, max_length: int) -> None:
    """The tokenizer, saying `max_length`: it is where CrossEncoder looks for it."""
    tokenizer.save(directory)
    path = directory / "tokenizer_config.json"
    io.write_json(path, io.read_json(path) | {"model_max_length": max_length})


@contextlib.contextmanager
def replacing(directory: Path, mark: Path) -> Iterator[Path]:
    """A directory to write to, renamed onto `directory` at the end, removed if anything fails.

    mark: a file that says that what stands there now is an earlier export, to be replaced.
    InputError: something else stands there.
    """
    if directory.exists() and not mark.is_file():
        if not directory.is_dir() or any(directory.iterdir()):
            raise InputError(
                f"{directory} exists and is no exported model; choose another directory."
            )
    old = directory.with_name(f".{directory.name}.{os.getpid()}.old")
    with io.writing(directory) as aside:
        aside.mkdir()
        yield aside
        if directory.exists():  # a directory with content cannot be renamed onto
            os.replace(directory, old)
    shutil.rmtree(old, ignore_errors=True)


def _readme(config: CrossEncoderConfig, format: CrossFormat, tokenizer: Tokenizer) -> str:
    separator = tokenizer.separator if format.separator is None else format.separator
    parts = ("instruction", "query")
    if format.instruction_order == "query_first":
        parts = ("query", "instruction")
    logits = "one logit" if config.num_labels == 1 else "two logits, the second for relevant"
    text = README if isinstance(config.encoder, T5Config) else README + PEERS
    return text.format(
        labels=logits, query=f" {separator} ".join(parts), max_length=format.max_length
    )
