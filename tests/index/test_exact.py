"""Exact search on devices: NumPy's and FAISS's results, ties, streaming, precisions, folders."""

import socket
import subprocess
import sys

import jax
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tart_jax import distributed
from tart_jax.index import exact, running_top_k
from tart_jax.index.base import Index
from tart_jax.index.exact import ExactIndex
from tart_jax.index.faiss_index import FaissIndex
from tart_jax.types import InputError

SHAPE = (64, 8)  # documents of a tile, queries of a batch: all tests share few compilations
K = 10
RNG = np.random.default_rng(0)
# Nine values of a score over a thousand documents: ties at every cut, border and rank.
INTEGERS = RNG.integers(-1, 2, (1000, 4)).astype(np.float32)
ASKED = RNG.integers(-1, 2, (8, 4)).astype(np.float32)
REALS = RNG.normal(size=(1000, 4)).astype(np.float32)


def mesh(devices):
    return distributed.make_mesh({"data": -1}, jax.devices()[:devices])


def built(vectors, *, devices=1, **options):
    index = ExactIndex(vectors.shape[1], mesh=mesh(devices), **{"shape": SHAPE} | options)
    for begin in range(0, len(vectors), 300):
        index.add(vectors[begin : begin + 300])
    return index


def reference(vectors, queries, k):
    scores = queries @ vectors.T
    positions = np.argsort(-scores, axis=1, kind="stable")[:, :k]
    return np.take_along_axis(scores, positions, 1), positions


def same(found, wanted):
    for ours, theirs in zip(found, wanted, strict=True):
        np.testing.assert_array_equal(ours, theirs)


@pytest.fixture(scope="module")
def alone():
    """What one device finds among real-valued vectors."""
    return built(REALS).search(ASKED, K)


@pytest.mark.parametrize("devices", [1, 2, 4, 8])
def test_ids_and_scores_are_numpys_on_any_number_of_devices(devices, alone):
    wanted = reference(INTEGERS, ASKED, K)
    tied = reference(INTEGERS, ASKED, K + 1)[0]
    assert (tied[:, K] == tied[:, K - 1]).all()  # the cut falls between equals
    assert (wanted[1] // SHAPE[0]).max() > 1  # and equals lie in several tiles
    same(built(INTEGERS, devices=devices).search(ASKED, K), wanted)
    same(built(REALS, devices=devices).search(ASKED, K), alone)


def test_a_list_that_lets_later_documents_win_ties_is_found_out(monkeypatch):
    """The broken twin."""

    def joined(best, candidates, positions, count):
        flipped = sound(best, candidates[:, ::-1], positions[:, ::-1], count)
        return running_top_k.Best(*flipped)

    sound = running_top_k._joined
    monkeypatch.setattr(running_top_k, "_joined", joined)
    k = K + 1  # of its own, as compiled programs stay
    scores, positions = built(INTEGERS).search(ASKED, k)
    wanted = reference(INTEGERS, ASKED, k)
    np.testing.assert_array_equal(scores, wanted[0])
    assert (positions != wanted[1]).any()


@given(
    count=st.integers(65, 300),  # so that a tile always has the same shape
    k=st.sampled_from([1, 40]),
    values=st.integers(1, 3),
    seed=st.integers(0, 2**32 - 1),
    rising=st.booleans(),
)
@settings(max_examples=40, deadline=None)
def test_any_integer_vectors_give_numpys_ids_and_scores(count, k, values, seed, rising):
    draw = np.random.default_rng(seed)
    vectors = draw.integers(-values, values + 1, (count, 4)).astype(np.float32)
    if rising:  # every tile is better than all before it
        vectors = vectors[np.argsort(vectors.sum(axis=1), kind="stable")]
    queries = draw.integers(-values, values + 1, (8, 4)).astype(np.float32)
    queries[0] = 1
    index = built(vectors)
    same(index.search(queries, k), reference(vectors, queries, k))


@pytest.mark.parametrize("order", ["drawn", "rising"])
def test_wide_tiles_are_searched_in_as_many_groups_as_they_need(order):
    tile, k, group = 4096, 100, running_top_k.GROUP
    vectors = np.random.default_rng(2).integers(-30, 31, (10 * tile, 4)).astype(np.float32)
    if order == "rising":
        vectors = vectors[np.argsort(vectors.sum(axis=1), kind="stable")]
    queries = np.concatenate([np.ones((1, 4), np.float32), 10 * ASKED[1:]])
    tiles = (queries @ vectors.T).reshape(8, 10, tile)
    needed = {k}
    for place in range(1, 10):
        last = np.sort(tiles[:, :place].reshape(8, -1), axis=1)[:, -k, None]
        maxima = tiles[:, place].reshape(8, -1, group).max(axis=2)
        needed.add(int((maxima > last).sum(axis=1).max()))
    edges = (0, 16, 64, k) if order == "drawn" else (64, tile // group)
    assert np.histogram(sorted(needed), edges)[0].all()  # each width has a tile that needs it
    same(built(vectors, shape=(tile, 8)).search(queries, k), reference(vectors, queries, k))


def test_short_lists_are_padded_and_no_queries_are_answered():
    index = built(INTEGERS[:6])
    scores, positions = index.search(ASKED, K)
    same((scores[:, :6], positions[:, :6]), reference(INTEGERS[:6], ASKED, 6))
    assert (positions[:, 6:] == -1).all() and (scores[:, 6:] == -np.inf).all()
    assert index.search(ASKED[:0], K)[1].shape == (0, K)
    assert (ExactIndex(4, mesh=mesh(1), shape=SHAPE).search(ASKED, K)[1] == -1).all()
    assert isinstance(index, Index)


def test_scores_are_those_of_faiss_and_ids_too_outside_the_gap():
    flat = FaissIndex("Flat", 4)
    flat.add(REALS)
    scores, positions = flat.search(ASKED, K)
    ours, ids = built(REALS).search(ASKED, K)
    # Scores are below 10 and rounded in another order: some units in the last place, 1e-6 each.
    np.testing.assert_allclose(ours, scores, atol=1e-5)
    apart = np.abs(np.diff(scores, axis=1, append=-np.inf, prepend=np.inf)) > 2e-5
    clear = apart[:, :-1] & apart[:, 1:]
    clear[:, -1] &= ids[:, -1] == positions[:, -1]  # its other neighbour is not in the list
    np.testing.assert_array_equal(ids[clear], positions[clear])
    assert clear.mean() > 0.8


@pytest.mark.parametrize("dtype", ["bfloat16", "int8"])
def test_lower_precision_with_rescoring_finds_what_float32_finds(dtype, monkeypatch):
    vectors = REALS.copy()
    vectors[500] = 0
    queries = RNG.normal(size=(64, 4)).astype(np.float32)
    index = built(vectors, dtype=dtype)
    scores, positions = index.search(queries, K)
    wanted = reference(vectors, queries, K)
    np.testing.assert_array_equal(positions, wanted[1])
    np.testing.assert_allclose(scores, wanted[0], atol=1e-5)  # float32's rounding, see above
    assert index.measured_recall(queries, K) == 1.0
    # The broken twin: no more candidates than asked for, and some are missed.
    monkeypatch.setattr(exact, "candidates", lambda k: k)
    assert index.measured_recall(queries, K) < 1.0


def test_a_streamed_corpus_gives_the_same_and_takes_a_few_blocks(monkeypatch, alone):
    def blocks_held():
        return sum(array.shape == (64, 4) for array in jax.live_arrays())

    def step(*arguments, **options):
        held.append(blocks_held() - before)
        return sound(*arguments, **options)

    index, sound, before = built(REALS), running_top_k.step, blocks_held()
    monkeypatch.setattr(running_top_k, "step", step)
    blocks, few = -(-1000 // 64), exact.IN_FLIGHT + 1
    for room in (0, 3, None):
        memory = None if room is None else room * (64 * 4 * 4) / 1e9
        index.set_options(recall=None, device_memory=memory)
        held: list[int] = []
        for _ in range(2):
            same(index.search(ASKED, K), alone)
        assert len(held) == 2 * blocks
        if room is not None:
            assert room < max(held) <= room + few
    assert held == [*range(1, blocks), *[blocks] * (blocks + 1)]  # all are kept, each sent once


def test_each_shape_is_compiled_once():
    def compiled():
        return running_top_k.step._cache_size()

    index, start = built(REALS, shape=(64, 16)), compiled()
    for queries in (1, 5, 8):
        index.search(np.ones((queries, 4), np.float32), 3)
    assert compiled() == start + 1
    for queries in (9, 16, 37):
        index.search(np.ones((queries, 4), np.float32), 3)
    assert compiled() == start + 2
    index.add(REALS[:700])
    index.search(ASKED, 3)
    assert compiled() == start + 2


def test_an_approximate_search_is_measured_against_the_exact_one():
    index = built(REALS)
    index.set_options(recall=0.9, device_memory=None)
    # On a CPU lax.approx_max_k is exact.
    assert index.measured_recall(ASKED, K) == 1.0
    index.search = lambda queries, k: (None, np.tile(np.arange(k), (len(queries), 1)))
    assert index.measured_recall(ASKED, K) < 0.5


@pytest.mark.parametrize("dtype", ["float32", "float16"])
def test_a_stored_index_is_memory_mapped_and_answers_as_before(tmp_path, dtype):
    index = built(REALS.astype(dtype))
    index.save(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["embeddings.npy"]
    stored = np.load(tmp_path / "embeddings.npy")
    assert stored.dtype == dtype
    np.testing.assert_array_equal(stored, REALS.astype(dtype))
    loaded = ExactIndex.load(tmp_path, dtype="float32")
    assert (loaded.count, loaded.dims) == (1000, 4)
    loaded._tile_size, loaded._batch_size, loaded._mesh = *SHAPE, mesh(1)
    same(loaded.search(ASKED, K), index.search(ASKED, K))
    if dtype == "float32":  # on a CPU what is kept is the file's own pages
        mapped = loaded._parts[0].ctypes.data
        places = [block.rows.unsafe_buffer_pointer() for block in loaded._kept.values()]
        assert places[:-1] == [mapped + n * 64 * 16 for n in range(15)]


TWO_PROCESSES = """
import sys, jax, numpy as np
jax.config.update("jax_num_cpu_devices", 2)
jax.distributed.initialize(sys.argv[1], 2, int(sys.argv[2]))
from tart_jax.index.exact import ExactIndex
with np.load(sys.argv[3]) as file:
    for dtype in ("float32", "int8"):
        index = ExactIndex(4, dtype=dtype, shape=(64, 8))
        assert index._mesh.size == 4
        index.add(file["vectors"])
        np.testing.assert_array_equal(index.search(file["queries"], 10)[1], file["positions"])
"""


@pytest.mark.slow
def test_two_processes_find_together_what_one_finds(tmp_path):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
    positions = reference(INTEGERS, ASKED, K)[1]
    np.savez(tmp_path / "a.npz", vectors=INTEGERS, queries=ASKED, positions=positions)
    words = [sys.executable, "-c", TWO_PROCESSES, address]
    both = [subprocess.Popen([*words, str(rank), str(tmp_path / "a.npz")]) for rank in (0, 1)]
    assert [process.wait(timeout=120) for process in both] == [0, 0]


def test_what_is_added_is_the_indexs_own_unless_nobody_can_write_to_it():
    vectors = INTEGERS.copy()
    index = ExactIndex(4, mesh=mesh(1), shape=SHAPE)
    index.add(vectors)
    vectors[:] = 9
    same(index.search(ASKED, K), reference(INTEGERS, ASKED, K))
    vectors.flags.writeable = False
    index.add(vectors)
    assert np.shares_memory(index._parts[1], vectors)


def test_what_does_not_fit_is_refused(tmp_path):
    index = built(REALS)
    with pytest.raises(InputError, match="dtype 'float64' is not one of float32, bfloat16, int8"):
        ExactIndex(4, dtype="float64")
    with pytest.raises(InputError, match=r"shape \(1000, 3\) do not fit"):
        index.add(REALS[:, :3])
    with pytest.raises(InputError, match="not finite"):
        index.search(np.full((1, 4), np.nan, np.float32), 1)
    with pytest.raises(InputError, match="approximate 1.0 is no recall"):
        index.set_options(recall=1.0, device_memory=None)
    with pytest.raises(InputError, match="device_memory -1.0 is negative"):
        index.set_options(recall=None, device_memory=-1.0)
    index.save(tmp_path)
    path = tmp_path / "embeddings.npy"
    for size in (300, 0):
        path.write_bytes(path.read_bytes()[:size])
        with pytest.raises(InputError, match="not a whole .npy file"):
            ExactIndex.load(tmp_path, dtype="int8")
