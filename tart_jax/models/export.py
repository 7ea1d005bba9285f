"""Writes a model directory that Hugging Face's AutoModel and SentenceTransformer load."""

import os
import shutil
from pathlib import Path
from typing import Any

import safetensors.numpy

from tart_jax import io
from tart_jax.data.tokenization import Tokenizer
from tart_jax.models import encoders, sentence_modules
from tart_jax.models.dual_encoder import DualEncoderConfig
from tart_jax.models.format import FILE, Card, Format
from tart_jax.types import InputError

README = """---
library_name: sentence-transformers
pipeline_tag: sentence-similarity
tags:
- sentence-transformers
- feature-extraction
- information-retrieval
- tart-jax
---

# A retriever that follows instructions

An encoder of {dims} dimensions ({pooling} pooling{normalized}), trained with tart-jax.

Queries are read as `{query}`, cut at {query_length} tokens; documents as they are, with no
instruction, cut at {document_length} tokens. Similarity is the dot product.

```python
from tart_jax import Retriever

retriever = Retriever.load("path/of/this/directory")
```

```python
from sentence_transformers import SentenceTransformer

model = SentenceTransformer("path/of/this/directory{folder}")
query = model.encode("{query}")
```
"""


def export(
    directory: str | Path,
    *,
    config: DualEncoderConfig,
    params: dict[str, Any],
    format: Format,
    tokenizer: Tokenizer,
) -> None:
    """Writes config.json, model.safetensors, tokenizer, modules.json with folders, tart_jax.json.

    Weights are float32. Two towers go to `query/` and `document/`, each complete in itself. The
    directory appears whole or not at all; an earlier export in its place is replaced.
    InputError: something else stands there.
    """
    directory = Path(directory)
    _check_free(directory)
    card = Card(format, config.pooling, config.normalize, config.projection, config.tied)
    old = directory.with_name(f".{directory.name}.{os.getpid()}.old")
    with io.writing(directory) as aside:
        aside.mkdir()
        card.write(aside)
        _write_readme(aside, config, format, tokenizer)
        if config.tied:
            _write_tower(aside, params["document"], config, format.document_length, tokenizer)
        else:
            for tower, length in (
                ("query", format.query_length),
                ("document", format.document_length),
            ):
                _write_tower(aside / tower, params[tower], config, length, tokenizer)
        if directory.exists():  # a directory with content cannot be renamed onto
            os.replace(directory, old)
    shutil.rmtree(old, ignore_errors=True)


def _check_free(directory: Path) -> None:
    if not directory.exists() or (directory / FILE).is_file():
        return
    if not directory.is_dir() or any(directory.iterdir()):
        raise InputError(f"{directory} exists and is no exported model; choose another directory.")


def _write_tower(
    directory: Path,
    tower: dict[str, Any],
    config: DualEncoderConfig,
    max_length: int,
    tokenizer: Tokenizer,
) -> None:
    tokenizer.save(directory)
    io.write_json(directory / "config.json", encoders.config_to_hf(config.encoder))
    safetensors.numpy.save_file(
        encoders.params_to_hf(tower["encoder"], config.encoder),
        directory / "model.safetensors",
        metadata={"format": "pt"},  # AutoModel refuses a file without it
    )
    sentence_modules.write(
        directory,
        dims=config.encoder.hidden_size,
        pooling=config.pooling,
        normalize=config.normalize,
        projection=tower.get("projection"),
        max_length=max_length,
    )


def _write_readme(
    directory: Path, config: DualEncoderConfig, format: Format, tokenizer: Tokenizer
) -> None:
    separator = tokenizer.separator if format.separator is None else format.separator
    parts = ("instruction", "query")
    if format.instruction_order == "query_first":
        parts = ("query", "instruction")
    text = README.format(
        dims=config.dims,
        pooling=config.pooling,
        normalized=", normalised" if config.normalize else "",
        query=f" {separator} ".join(parts) if separator else " ".join(parts),
        query_length=format.query_length,
        document_length=format.document_length,
        folder="" if config.tied else "/query",
    )
    (directory / "README.md").write_text(text, "utf-8")
