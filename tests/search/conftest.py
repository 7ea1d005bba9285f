"""Tiny cross-encoders over the vocabulary of `tiny_model`, on disk."""

import jax
import pytest

from tart_jax.data.tokenization import Tokenizer
from tart_jax.models import cross_encoder, pretrained_cross
from tart_jax.models.bert import BertConfig
from tart_jax.models.cross_encoder import CrossEncoderConfig
from tart_jax.models.t5_config import T5Config


@pytest.fixture(scope="session")
def make_cross(tiny_model, tmp_path_factory):
    """Writes one and loads it; its weights are large, so that scores are far apart."""
    tokenizer = Tokenizer.load(tiny_model)

    bert = BertConfig(
        vocab_size=tokenizer.vocab_size,
        hidden_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=32,
        max_position_embeddings=64,
        initializer_range=0.3,
    )

    def make(num_labels=2, seed=3, encoder=bert, **format):
        config = CrossEncoderConfig(encoder, num_labels)
        params = cross_encoder.init(config, jax.random.key(seed))
        for name in {"pooler", "classifier"} & set(params):
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


@pytest.fixture(scope="session")
def t5_cross(make_cross, tiny_cross):
    """As TART-full: T5's encoder, and a token before every pair."""
    small = T5Config(
        vocab_size=tiny_cross.config.encoder.vocab_size,
        d_model=16,
        d_kv=8,
        d_ff=24,
        num_layers=2,
        num_heads=2,
        relative_attention_num_buckets=8,
        relative_attention_max_distance=12,
        feed_forward_proj="gated-gelu",
    )
    return make_cross(encoder=small, start_token=7)
