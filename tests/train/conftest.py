"""A tiny random BERT with a tiny vocabulary, and examples that it can learn by heart."""

import dataclasses
from collections.abc import Iterator
from pathlib import Path

import jax
import pytest

from tart_jax.data import examples
from tart_jax.data.examples import TrainingExample
from tart_jax.data.tokenization import Tokenizer
from tart_jax.models import dual_encoder, pretrained
from tart_jax.models.bert import BertConfig
from tart_jax.models.dual_encoder import DualEncoderConfig
from tart_jax.types import Document

WORDS = [f"w{i}" for i in range(40)]
PAIRS = 32


def tiny_bert(**changes) -> BertConfig:
    sizes = dict(
        vocab_size=64,
        hidden_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=32,
        max_position_embeddings=16,
        hidden_dropout_prob=0.0,
        attention_probs_dropout_prob=0.0,
    )
    return BertConfig(**(sizes | changes))


def write_model(directory: Path) -> Path:
    """A model directory as any other: random weights, word-piece tokenizer of 49 words."""
    vocabulary = [*"[PAD] [UNK] [CLS] [SEP] [MASK] find get seek not".split(), *WORDS]
    vocab_folder = directory.with_name("vocabulary")
    vocab_folder.mkdir(parents=True)
    (vocab_folder / "vocab.txt").write_text("\n".join(vocabulary) + "\n")
    config = DualEncoderConfig(encoder=tiny_bert())
    pretrained.export(
        directory,
        config=config,
        params=jax.device_get(dual_encoder.init(config, jax.random.key(0))),
        format=pretrained.Format(query_length=8, document_length=8),
        tokenizer=Tokenizer.load(vocab_folder),
    )
    return directory


def training_examples(count: int = PAIRS) -> list[TrainingExample]:
    """Query i shows two words, its document two others; every pair of words is used once."""
    made = []
    for i in range(count):
        query, answer = f"w{i % 20} w{(i * 7 + i // 20) % 20}", f"w{20 + i % 20} w{20 + i // 20}"
        others = [Document(f"d{j}", f"w{20 + j % 20} w{20 + j // 20}") for j in (i + 1, i + 2)]
        made.append(
            TrainingExample(
                "pairs", f"q{i}", query, (Document(f"d{i}", answer),), tuple(others), (others[0],)
            )
        )
    return made


def scored_examples(count: int = PAIRS) -> list[TrainingExample]:
    """The same with a teacher's scores of all documents but each query's first negative."""
    made = []
    for i, example in enumerate(training_examples(count)):
        known = [example.positives[0].doc_id, example.negatives[1].doc_id]
        scores = {doc_id: float((7 * i + 3 * k) % 5 - k) for k, doc_id in enumerate(known)}
        made.append(dataclasses.replace(example, scores=scores))
    return made


@pytest.fixture(scope="session", autouse=True)
def compilation_cache(tmp_path_factory) -> Iterator[None]:
    """Runs that differ in nothing the compiler sees compile once: each saves some ten seconds."""
    folder = str(tmp_path_factory.mktemp("compiled"))
    jax.config.update("jax_compilation_cache_dir", folder)
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.2)
    yield
    jax.config.update("jax_compilation_cache_dir", None)


@pytest.fixture(scope="session")
def model_directory(tmp_path_factory) -> Path:
    return write_model(tmp_path_factory.mktemp("tiny") / "model")


@pytest.fixture(scope="session")
def train_file(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("examples") / "train.jsonl"
    examples.write(path, training_examples())
    return path
