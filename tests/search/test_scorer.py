"""Pairs to scores: order, buckets, devices, compilations, and what is counted."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tart_jax import distributed
from tart_jax.encode.encoder import bucket
from tart_jax.encode.formats import checked_format
from tart_jax.models import cross_encoder
from tart_jax.search import scorer as module
from tart_jax.search.scorer import CrossScorer, PairScorer
from tart_jax.types import InputError

# Padding changes the order of float32 sums; scores are of the order of 10.
TOLERANCE = 1e-5


@pytest.fixture(scope="module")
def pairs():
    rng = np.random.default_rng(0)
    words = [rng.choice(list("abcdef"), size) for size in rng.choice([2, 14, 60], (75, 2)).flat]
    texts = [" ".join(letters) for letters in words]
    return list(zip(texts[::2], texts[1::2], strict=True))


def make(model, **options):
    return CrossScorer(model, **{"max_length": 48, "tokens_per_batch": 512} | options)


def alone(model, pairs):
    """Each pair by itself, without any padding."""
    graphdef = cross_encoder.graphdef(model.config)

    @jax.jit
    def score(ids, types):
        mask = jnp.ones(ids.shape, bool)
        return cross_encoder.scores(cross_encoder.logits(graphdef, model.params, ids, mask, types))

    start = model.format.start_token
    rows = model.tokenizer.encode_pairs(pairs, 48, start=start)
    return np.concatenate([score(ids[None], types[None]) for ids, types in rows])


@pytest.fixture(scope="module")
def expected(tiny_cross, pairs):
    return alone(tiny_cross, pairs)


def test_each_pair_gets_the_score_it_gets_alone(tiny_cross, pairs, expected):
    scores = make(tiny_cross).score(pairs)
    assert scores.dtype == np.float32 and scores.shape == (75,)
    assert np.ptp(scores) > 1
    np.testing.assert_allclose(scores, expected, rtol=TOLERANCE, atol=TOLERANCE)
    one = make(tiny_cross).score(pairs[:1])
    np.testing.assert_allclose(one, expected[:1], rtol=TOLERANCE, atol=TOLERANCE)


@pytest.mark.parametrize("broken", ["order", "swapped", "mask", "types"])
def test_the_comparison_fails_for_a_broken_twin(tiny_cross, pairs, expected, broken, monkeypatch):
    pad = module.tokenization.pad
    if broken == "order":
        pairs = sorted(pairs, key=lambda pair: len("".join(pair)))
    if broken == "swapped":
        pairs = [pair[::-1] for pair in pairs]
    if broken == "mask":
        monkeypatch.setattr(
            module.tokenization, "pad", lambda *given: (pad(*given)[0], pad(*given)[1] | True)
        )
    if broken == "types":
        encode = tiny_cross.tokenizer.encode_pairs
        monkeypatch.setattr(
            tiny_cross.tokenizer,
            "encode_pairs",
            lambda *args, **options: [(ids, types * 0) for ids, types in encode(*args, **options)],
        )
    assert np.abs(make(tiny_cross).score(pairs) - expected).max() > 1000 * TOLERANCE


@pytest.mark.parametrize("options", [{"num_labels": 1}, {"start_token": 7}])
def test_one_logit_and_a_start_token_are_scored_alike(make_cross, tiny_cross, pairs, options):
    model = make_cross(**options)
    scores = make(model).score(pairs)
    np.testing.assert_allclose(scores, alone(model, pairs), rtol=TOLERANCE, atol=TOLERANCE)
    assert np.abs(scores - make(tiny_cross).score(pairs)).max() > 0.1


@pytest.fixture(scope="module")
def t5_expected(t5_cross, pairs):
    return alone(t5_cross, pairs)


def test_a_t5_encoder_scores_each_pair_as_alone_on_one_and_eight_devices(
    t5_cross, pairs, t5_expected
):
    assert np.ptp(t5_expected) > 1
    for mesh in (None, distributed.make_mesh({"data": 8})):
        scores = make(dataclasses.replace(t5_cross), mesh=mesh).score(pairs)
        np.testing.assert_allclose(scores, t5_expected, rtol=TOLERANCE, atol=TOLERANCE)
    longer = make(dataclasses.replace(t5_cross), max_length=96)
    assert longer.max_length == 96  # which a BERT's 64 positions would refuse


@pytest.mark.parametrize("broken", ["start", "mask", "order"])
def test_a_t5_encoders_comparison_fails_for_a_broken_twin(
    t5_cross, pairs, t5_expected, broken, monkeypatch
):
    model, pad = dataclasses.replace(t5_cross), module.tokenization.pad
    if broken == "start":
        model.format = dataclasses.replace(model.format, start_token=None)
    if broken == "mask":
        monkeypatch.setattr(
            module.tokenization, "pad", lambda *given: (pad(*given)[0], pad(*given)[1] | True)
        )
    if broken == "order":
        pairs = sorted(pairs, key=lambda pair: len("".join(pair)))
    assert np.abs(make(model).score(pairs) - t5_expected).max() > 1000 * TOLERANCE


def test_parts_of_the_pairs_and_other_budgets_change_nothing(tiny_cross, pairs, expected):
    parts = [make(tiny_cross).score(pairs[begin : begin + 10]) for begin in range(0, 75, 10)]
    small = make(tiny_cross, tokens_per_batch=1).score(pairs)
    for scores in (np.concatenate(parts), small):
        np.testing.assert_allclose(scores, expected, rtol=TOLERANCE, atol=TOLERANCE)


def test_batches_side_by_side_and_one_after_another_give_the_same(tiny_cross, pairs):
    """Bit for bit: a resumed run must equal an uninterrupted one."""
    beside, alone = (make(tiny_cross, tokens_per_batch=64) for _ in range(2))
    assert beside._in_threads
    alone._in_threads = False
    beside.score(pairs)  # compiles; from here on all batches are in threads
    for _ in range(5):
        np.testing.assert_array_equal(beside.score(pairs), alone.score(pairs))


def test_same_scores_on_one_and_eight_devices(make_cross, pairs, expected):
    eight = make(make_cross(), mesh=distributed.make_mesh({"data": 8}))
    np.testing.assert_allclose(eight.score(pairs), expected, rtol=TOLERANCE, atol=TOLERANCE)
    assert {rows % 8 for rows, _ in eight.shapes} == {0}


def test_no_pairs_give_no_scores(tiny_cross):
    assert make(tiny_cross).score([]).shape == (0,)


def test_a_bucket_is_compiled_once(make_cross):
    """Whatever the number of pairs, whichever scorer: one program for each padded length."""
    model, rng = make_cross(num_labels=1, seed=5), np.random.default_rng(1)
    one, other = (make(model, max_length=64, tokens_per_batch=256) for _ in range(2))
    before = module._score._cache_size()
    for size in (1, 40, 3, 17, 60):
        texts = [" ".join("a" * rng.integers(1, 60)) for _ in range(size)]
        for subject in (one, other):
            subject.score([("b", text) for text in texts])
    assert one.compilations == module._score._cache_size() - before == 4
    assert (
        sorted(length for _, length in one.shapes) == [16, 32, 48, 64]
        and one.shapes == other.shapes
    )


def test_memory_is_bounded_by_the_budget(tiny_cross):
    rng = np.random.default_rng(1)
    for budget in (64, 256, 4096):
        subject = make(tiny_cross, max_length=64, tokens_per_batch=budget)
        for _ in range(10):
            lengths = rng.integers(2, subject.max_length + 1, 500)
            batches = list(subject._batches(lengths))
            assert max(rows * length for _, length, rows in batches) <= budget
            assert all(len(where) == rows for where, _, rows in batches[:-1])
            assert all(lengths[where].max() <= length for where, length, _ in batches)
            assert sorted(np.concatenate([where for where, *_ in batches])) == list(range(500))
            assert len({(rows, length) for _, length, rows in batches}) == len(
                {bucket(int(lengths[where].max()), subject.max_length) for where, *_ in batches}
            )


def test_two_scorers_share_one_copy_of_the_weights(make_cross):
    model = make_cross()
    one, other = make(model), make(model)
    for a, b in zip(jax.tree.leaves(one._params), jax.tree.leaves(other._params), strict=True):
        assert a.unsafe_buffer_pointer() == b.unsafe_buffer_pointer()


def test_parameters_spread_over_devices_stay_spread(make_cross, pairs, expected):
    mesh = distributed.make_mesh({"data": 8})
    model = make_cross()
    spread = jax.NamedSharding(mesh, jax.P(None, "data"))
    kernel = model.params["pooler"]["kernel"]
    model.params["pooler"]["kernel"] = jax.device_put(kernel, spread)
    subject = make(model, mesh=mesh)
    assert subject._params["pooler"]["kernel"].sharding == spread
    np.testing.assert_allclose(subject.score(pairs), expected, rtol=TOLERANCE, atol=TOLERANCE)


def test_the_meter_counts_pairs_tokens_and_padding(tiny_cross):
    subject = make(tiny_cross)
    subject.score([("a b", "c"), ("a", "b c d")])
    assert isinstance(subject, PairScorer)
    assert (subject.meter.count, subject.meter.tokens) == (2, 6 + 7)
    assert subject.meter.slots == 512 and subject.meter.padding == pytest.approx(1 - 13 / 512)
    assert subject.meter.seconds > 0
    assert set(subject.meter.rates()) == {"pairs/s", "tokens/s", "padding", "waiting"}


def test_more_tokens_than_positions_are_refused(tiny_cross):
    with pytest.raises(InputError, match="max_length 65 is more than the model's 64"):
        make(tiny_cross, max_length=65)


def test_another_format_than_the_models_own_is_refused_unless_forced(make_cross):
    model = make_cross()
    assert checked_format(model).separator == "[SEP]"
    with pytest.raises(InputError, match="trained to read instruction_first .*force_format"):
        checked_format(model, order="query_first")
    assert checked_format(model, separator="|", force=True).separator == "|"
    model.format_known = False
    assert checked_format(model, order="query_first").instruction_order == "query_first"
