"""The two kinds of model of a run: what they load, read and leave."""

import jax
import numpy as np
import pytest

from tart_jax import config as config_files
from tart_jax import distributed, sharding
from tart_jax.data.batching import Collator, PairCollator
from tart_jax.models import cross_encoder, pretrained, pretrained_cross
from tart_jax.models.cross_encoder import CrossEncoderConfig
from tart_jax.models.t5 import T5Config
from tart_jax.train import initial, models
from tart_jax.types import InputError

READING = dict(
    order="query_first", separator="not", query_length=8, document_length=9, pair_length=16,
    start_token=None,
)  # fmt: skip


def load(kind: str, source, **changes):
    options = dict(
        pooling=None, normalize=None, projection=None, tied=None, layers=None, from_scratch=False,
        query_towers=(), num_labels=None, new_head=kind == "cross", new_decoder=0, dropout=0.25,
        dtype="float32", remat="none",
        scan=False,
    )  # fmt: skip
    return initial.load(kind, source=str(source), **options | changes)


@pytest.fixture(scope="module")
def dual(model_directory):
    return load("dual", model_directory)


@pytest.fixture(scope="module")
def cross(model_directory):
    return load("cross", model_directory)


def test_dropout_reaches_every_place_that_has_one(dual, cross):
    for encoder in (dual.config.encoder, cross.config.encoder):
        assert encoder.hidden_dropout_prob == encoder.attention_probs_dropout_prob == 0.25
    assert cross.config.dropout == 0.25 and cross.config.num_labels == 2
    assert initial.with_dropout(T5Config(), 0.25) == T5Config(dropout_rate=0.25)


@pytest.mark.parametrize(
    "kind, option",
    [
        ("cross", {"pooling": "cls"}),
        ("cross", {"tied": True}),
        ("cross", {"layers": 1}),
        ("cross", {"normalize": False}),
        ("dual", {"num_labels": 1}),
        ("dual", {"new_head": True}),
    ],
)
def test_an_option_of_the_other_kind_of_model_is_refused(kind, option, model_directory):
    (name, value) = next(iter(option.items()))
    with pytest.raises(InputError, match=f"config.model.{name} is {value}, .* trains a {kind}"):
        load(kind, model_directory, **option)


def test_a_new_decoder_goes_over_the_first_layers_of_an_encoder(model_directory):
    with pytest.raises(InputError, match="layers is 2, the encoder has 1"):
        load("reader", model_directory, layers=2, new_decoder=1)
    with pytest.raises(InputError, match="new_decoder is 2, but the encoder it begins as has 1"):
        load("reader", model_directory, new_decoder=2)
    config = load("reader", model_directory, layers=1, new_decoder=1).config
    assert (config.encoder_layers, config.decoder_layers, config.dropout) == (1, 1, 0.25)
    with pytest.raises(InputError, match="only with config.model.new_decoder"):
        load("reader", model_directory, layers=1)


def test_a_dual_encoder_of_fewer_layers_is_another_model(model_directory, dual):
    with pytest.raises(InputError, match="layers is 2, the encoder has 1"):
        load("dual", model_directory, layers=2)
    same = load("dual", model_directory, layers=1)
    assert (same.config, same.weights_sha256) == (dual.config, dual.weights_sha256)


def test_a_cross_encoder_without_a_head_is_refused_unless_a_new_one_is_asked_for(model_directory):
    with pytest.raises(InputError):
        load("cross", model_directory, new_head=False)
    assert load("cross", model_directory, num_labels=1).config.num_labels == 1


def test_models_read_what_the_run_says(dual, cross):
    two = models.reading(dual, **READING)
    assert two.format == pretrained.Format("query_first", "not", 8, 9) and two.format_known
    one = models.reading(cross, **READING)
    assert one.format == pretrained_cross.CrossFormat("query_first", "not", 16, None)
    assert models.separator(one) == "not"
    assert models.separator(models.reading(cross, **READING | {"separator": None})) == "[SEP]"
    started = models.reading(cross, **READING | {"start_token": 2})
    assert models.reading(started, **READING).format.start_token == 2  # None: as it was
    assert dual.format != two.format


def test_texts_longer_than_the_model_are_refused(dual, cross):
    with pytest.raises(InputError, match="document_length is 17, the model has 16 positions"):
        models.reading(dual, **READING | {"document_length": 17})
    with pytest.raises(InputError, match="pair_length is 17, the model has 16 positions"):
        models.reading(cross, **READING | {"pair_length": 17})
    models.reading(dual, **READING | {"pair_length": 17})  # is not its business
    models.reading(cross, **READING | {"document_length": 17})


@pytest.mark.parametrize("scan", [True, False])
def test_the_mesh_of_tart_full_divides_nearly_all_of_its_encoder(scan):
    rules = config_files.load("configs/train/tart_full.py").sharding_rules
    t5 = T5Config(
        vocab_size=64, d_model=32, d_kv=8, d_ff=48, num_layers=2, num_heads=4,
        feed_forward_proj="gated-gelu",
    )  # fmt: skip
    params = cross_encoder.abstract_params(CrossEncoderConfig(encoder=t5, scan=scan))
    mesh = distributed.make_mesh({"data": 1, "tensor": 8})
    placed = jax.tree.leaves(sharding.from_rules(params, rules, mesh))
    sizes = np.array([leaf.size for leaf in jax.tree.leaves(params)])
    divided = np.array([not place.is_fully_replicated for place in placed])
    assert sizes[divided].sum() > 0.97 * sizes.sum()


def test_each_kind_has_its_batches(dual, cross):
    options = dict(num_negatives=3, duplicates="id", known_positives=2)
    one = models.collator(models.reading(cross, **READING | {"start_token": 2}), **options)
    assert isinstance(one, PairCollator)
    assert (one.num_documents, one.pair_length, one.start) == (4, 16, 2)
    two = models.collator(models.reading(dual, **READING), **options)
    assert isinstance(two, Collator)
    assert (two.num_documents, two.query_length, two.document_length) == (4, 8, 9)


@pytest.mark.parametrize("kind", ["dual", "cross"])
def test_an_exported_model_is_read_back(kind, dual, cross, tmp_path):
    model = models.reading({"dual": dual, "cross": cross}[kind], **READING)
    params = jax.tree.map(lambda leaf: leaf + 1, model.params)
    models.export(tmp_path / "model", model, params)
    found = load(kind, tmp_path / "model", new_head=False)
    assert found.format == model.format and found.format_known
    for one, other in zip(jax.tree.leaves(params), jax.tree.leaves(found.params), strict=True):
        np.testing.assert_array_equal(one, other)
    assert found.weights_sha256 != model.weights_sha256
    assert jax.tree.structure(models.graphdef(model)) == jax.tree.structure(models.graphdef(found))


def test_from_scratch_only_shape_and_tokenizer_are_the_sources(dual):
    source = dual.source
    first, again, other = (
        load("dual", source, from_scratch=True, tied=False, seed=seed) for seed in (0, 0, 1)
    )
    assert jax.tree.map(np.shape, first.params["document"]) == jax.tree.map(
        np.shape, dual.params["document"]
    )
    assert first.weights_sha256 == again.weights_sha256
    assert len({first.weights_sha256, other.weights_sha256, dual.weights_sha256}) == 3
    query, document = (jax.tree.leaves(first.params[t]["encoder"]) for t in ("query", "document"))
    assert any(np.any(one != two) for one, two in zip(query, document, strict=True))
