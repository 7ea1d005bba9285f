"""Tiny cross-encoders over the vocabulary of `tiny_model`, on disk."""

import jax
import pytest

from tart_jax.data.tokenization import Tokenizer
from tart_jax.models import cross_encoder, pretrained_cross
from tart_jax.models.bert import BertConfig
from tart_jax.models.cross_encoder import CrossEncoderConfig


@pytest.fixture(scope="session")
def make_cross(tiny_model, tmp_path_factory):
    """Writes one and loads it; its weights are large, so that scores are far apart."""
    tokenizer = Tokenizer.load(tiny_model)

    def make(num_labels=2, seed=3, **format):
        bert = BertConfig(
            vocab_size=tokenizer.vocab_size,
            hidden_size=16,
            num_hidden_layers=1,
            num_attention_heads=2,
            intermediate_size=32,
            max_position_embeddings=64,
            initializer_range=0.3,
        )
        config = CrossEncoderConfig(bert, num_labels)
        params = cross_encoder.init(config, jax.random.key(seed))
        for name in ("pooler", "classifier"):
            params[name]["kernel"] = params[name]["kernel"] * 30
        folder = tmp_path_factory.mktemp("cross") / "model"
        pretrained_cross.export_cross(
            folder,
            config=config,
            params=params,
            format=pretrained_cross.CrossFormat(**{"max_length": 48, **format}),
            tokenizer=tokenizer,
        )
        return pretrained_cross.load(folder)

    return make


@pytest.fixture(scope="session")
def tiny_cross(make_cross):
    return make_cross()
