"""The encoder: order, buckets, devices, shared weights, and what it counts."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tart_jax import compilation, distributed
from tart_jax.encode import encoder as module
from tart_jax.encode.encoder import Encoder, bucket
from tart_jax.models import dual_encoder, pretrained
from tart_jax.types import InputError

# Padding changes the order of float32 sums; entries are at most 1 (normalised), so this is 20 ulp.
TOLERANCE = 2e-6


@pytest.fixture(scope="module")
def model(tiny_model):
    return pretrained.load(tiny_model)


@pytest.fixture(scope="module")
def texts():
    rng = np.random.default_rng(0)
    lengths = rng.choice([3, 22, 60], 75)  # few, because each is a compilation
    return [" ".join(rng.choice(list("abcdef"), length)) for length in lengths]


def encoder(model, **options):
    options = {"tower": "document", "max_length": 48, "tokens_per_batch": 512} | options
    return Encoder(model, **options)


@pytest.fixture(scope="module")
def expected(model, texts):
    """Each text by itself, without any padding."""

    @jax.jit
    def encode(tokens):
        mask = jnp.ones(tokens.shape, bool)
        graphdef = dual_encoder.graphdef(model.config)
        return dual_encoder.encode(graphdef, model.params, tokens, mask, tower="document")

    return np.concatenate([encode(row[None]) for row in model.tokenizer.encode(texts, 48)])


def test_each_text_gets_the_embedding_it_gets_alone(model, texts, expected):
    embeddings = encoder(model).encode(texts)
    assert embeddings.dtype == np.float32 and embeddings.shape == (75, 16)
    np.testing.assert_allclose(embeddings, expected, atol=TOLERANCE)


def test_the_comparison_fails_where_the_order_is_not_restored(model, texts, expected):
    """The broken twin."""
    by_length = sorted(texts, key=len, reverse=True)
    with pytest.raises(AssertionError):
        embeddings = encoder(model).encode(by_length)
        np.testing.assert_allclose(embeddings, expected, atol=TOLERANCE)


def test_the_comparison_fails_where_the_mask_is_dropped(model, texts, expected, monkeypatch):
    """The broken twin."""

    def unmasked(rows, rows_to, length, pad_id):
        tokens, mask = pad(rows, rows_to, length, pad_id)
        return tokens, np.ones_like(mask)

    pad = module.tokenization.pad
    monkeypatch.setattr(module.tokenization, "pad", unmasked)
    assert np.abs(encoder(model).encode(texts) - expected).max() > 100 * TOLERANCE


def test_no_texts_give_no_rows(model):
    assert encoder(model).encode([]).shape == (0, 16)


def test_batch_size_changes_nothing(model, texts):
    small = encoder(model, tokens_per_batch=1).encode(texts)
    np.testing.assert_allclose(encoder(model).encode(texts), small, atol=TOLERANCE)


def test_same_embeddings_on_one_and_eight_devices(model, texts):
    mesh = distributed.make_mesh({"data": 8})
    one = encoder(model).encode(texts)
    eight = encoder(pretrained.load(model.source), mesh=mesh)
    np.testing.assert_allclose(eight.encode(texts), one, atol=TOLERANCE)


def test_rows_are_a_multiple_of_the_devices(model):
    mesh = distributed.make_mesh({"data": 6}, devices=jax.devices()[:6])
    odd = encoder(pretrained.load(model.source), mesh=mesh)
    assert {rows % 24 for _, _, rows in odd._batches(np.array([5] * 30))} == {0}


def test_two_encoders_share_one_copy_of_the_weights(tiny_model):
    model = pretrained.load(tiny_model)
    queries = encoder(model, tower="query", max_length=32)
    documents = encoder(model)
    for one, other in zip(
        jax.tree.leaves(queries._params), jax.tree.leaves(documents._params), strict=True
    ):
        assert one.unsafe_buffer_pointer() == other.unsafe_buffer_pointer()


def test_parameters_in_training_are_encoded_where_they_are(model, texts):
    whole = encoder(model)
    parts = Encoder.from_parts(
        model.config, model.params, model.tokenizer, tower="document", max_length=48
    )
    assert parts._params is model.params
    np.testing.assert_allclose(parts.encode(texts), whole.encode(texts), atol=TOLERANCE)


def test_untied_towers_give_different_embeddings(model):
    untied = pretrained.load(model.source, tied=False)
    query = untied.params["query"]
    scaled = jax.tree.map(lambda x: x * 5, query)
    untied.params = {**untied.params, "query": scaled}
    short = ["a b", "c"]
    as_query = encoder(untied, tower="query").encode(short)
    as_document = encoder(untied).encode(short)
    np.testing.assert_allclose(as_document, encoder(model).encode(short), atol=TOLERANCE)
    assert np.abs(as_query - as_document).max() > 0.01


def test_shapes_are_few_and_compiled_once(model):
    rng = np.random.default_rng(1)
    subject = encoder(model, max_length=64, tokens_per_batch=256)
    shapes = {
        (rows, length)
        for _ in range(20)
        for _, length, rows in subject._batches(rng.integers(2, 65, 500))
    }
    assert len(shapes) <= 3 * len({bucket(length, 64) for length in range(2, 65)})
    assert max(rows * length for rows, length in shapes) <= 8 * 64
    texts = ["a b c"] * 8
    subject.encode(texts)
    before = module._encode._cache_size()
    subject.encode(texts)
    encoder(model, tower="query", max_length=64, tokens_per_batch=256).encode(texts)
    assert module._encode._cache_size() == before


@pytest.mark.parametrize("devices", [None, 8])
def test_every_shape_of_a_call_is_compiled_before_its_first_batch(model, devices, monkeypatch):
    mesh = distributed.make_mesh({"data": devices}) if devices else None
    subject = encoder(model, tokens_per_batch=1032, mesh=mesh)
    run, counts = subject._run, [compilation.count()]

    def counted(*arguments):
        counts.append(compilation.count())
        return run(*arguments)

    monkeypatch.setattr(subject, "_run", counted)
    subject.encode([" ".join("a" * length) for length in (3, 22, 40) for _ in range(60)])
    assert counts[1] >= counts[0] + 3  # the broken twin: without it none is there yet
    assert len(counts) > 4 and counts[1:] == [counts[1]] * len(counts[1:])
    assert compilation.count() == counts[1]


def test_one_shape_for_each_length_leaves_nothing_to_compile(model, texts, expected):
    subject = encoder(model, one_shape_per_length=True)
    subject.compile_all()
    before = compilation.count()
    np.testing.assert_allclose(subject.encode(texts), expected, atol=TOLERANCE)
    assert compilation.count() == before
    assert [shape for _, *shape in subject._batches(np.array([5]))] == [[16, 32]]
    with pytest.raises(ValueError, match="depend on the texts"):
        encoder(model).compile_all()


def test_buckets_grow_with_the_length():
    assert [bucket(n, 512) for n in (2, 16, 17, 128, 129, 256, 257, 500)] == [
        *(16, 16, 32, 128, 160, 256, 320, 512)
    ]
    assert bucket(190, 190) == 190 and bucket(3, 8) == 8


def test_only_the_last_batch_is_padded_with_rows(model):
    lengths = np.random.default_rng(0).integers(2, 49, 301)
    batches = list(encoder(model)._batches(lengths))
    assert all(len(where) == rows for where, _, rows in batches[:-1])
    assert sorted(np.concatenate([where for where, *_ in batches]).tolist()) == list(range(301))


def test_one_query_costs_eight_rows(model):
    assert [rows for _, _, rows in encoder(model)._batches(np.array([5]))] == [8]


def test_the_meter_counts_documents_tokens_and_padding(model):
    subject = encoder(model)
    seen = []
    subject.encode(["a b", "a b c"], on_batch=seen.append)
    assert (subject.meter.count, subject.meter.tokens, subject.meter.slots) == (2, 9, 8 * 16)
    assert subject.meter.padding == pytest.approx(1 - 9 / 128)
    assert subject.meter.seconds > 0 and sum(seen) == 2
    assert set(subject.meter.rates()) == {"documents/s", "tokens/s", "padding", "waiting"}


def test_more_tokens_than_positions_are_refused(model):
    with pytest.raises(InputError, match="document_length 65 is more than the model's 64"):
        encoder(model, max_length=65)
