"""FAISS indexes: exactness, training, parameters, round trip, refusals."""

from types import SimpleNamespace

import faiss
import numpy as np
import pytest

from tart_jax.index.base import Index, ordered
from tart_jax.index.faiss_index import FaissIndex
from tart_jax.types import InputError

VECTORS = np.random.default_rng(0).normal(size=(400, 16)).astype(np.float32)
QUERIES = np.random.default_rng(1).normal(size=(5, 16)).astype(np.float32)


def built(factory):
    index = FaissIndex(factory, 16)
    index.train(VECTORS)
    index.add(VECTORS[:150])
    index.add(VECTORS[150:])
    return index


def exact(k):
    scores = QUERIES @ VECTORS.T
    positions = np.argsort(-scores, axis=1, kind="stable")[:, :k]
    return np.take_along_axis(scores, positions, 1), positions


def test_flat_search_is_exact():
    index = built("Flat")
    scores, positions = index.search(QUERIES, 10)
    expected_scores, expected = exact(10)
    np.testing.assert_array_equal(positions, expected)
    np.testing.assert_allclose(scores, expected_scores, rtol=1e-5)  # order of 16 float32 sums
    assert (index.count, index.needs_training) == (400, False) and isinstance(index, Index)


@pytest.mark.parametrize(
    "factory,parameters",
    [("IVF8,Flat", "nprobe=8"), ("HNSW32", "efSearch=400"), ("OPQ8,IVF4,PQ8x4", "nprobe=4")],
)
def test_other_factories_find_the_nearest(factory, parameters):
    index = built(factory)
    index.set_parameters(parameters)
    _, positions = index.search(QUERIES, 10)
    best = exact(10)[1]
    found = np.mean([len(set(a) & set(b)) / 10 for a, b in zip(positions, best, strict=True)])
    # Visiting every cell makes IVF and a wide beam makes HNSW exact; codes of 4 bits lose some.
    assert found == 1.0 if "PQ" not in factory else found > 0.3


def test_fewer_cells_visited_find_less():
    """The broken twin: the parameter reaches the index."""
    index = built("IVF64,Flat")
    index.set_parameters("nprobe=1")
    few = index.search(QUERIES, 10)[1]
    index.set_parameters("nprobe=64")
    np.testing.assert_array_equal(index.search(QUERIES, 10)[1], exact(10)[1])
    assert (few != exact(10)[1]).any()


def test_ties_are_ordered_by_position_and_padding_stands_last():
    scores = np.array([[1.0, 2.0, 2.0, 0.0]], np.float32)
    positions = np.array([[7, 9, 3, -1]])
    got_scores, got = ordered(scores, positions)
    assert got.tolist() == [[3, 9, 7, -1]]
    assert got_scores.tolist() == [[2.0, 2.0, 1.0, -np.inf]]


def test_more_hits_than_documents_are_padded():
    index = FaissIndex("Flat", 16)
    index.add(VECTORS[:3])
    _, positions = index.search(QUERIES, 5)
    assert (positions[:, 3:] == -1).all() and (positions[:, :3] >= 0).all()


@pytest.mark.parametrize("factory", ["Flat", "IVF8,Flat", "HNSW8"])
def test_a_stored_index_answers_as_before(tmp_path, factory):
    index = built(factory)
    index.save(tmp_path)
    loaded = FaissIndex.load(tmp_path, factory)
    for ours, theirs in zip(loaded.search(QUERIES, 9), index.search(QUERIES, 9), strict=True):
        np.testing.assert_array_equal(ours, theirs)
    assert (loaded.count, loaded.dims) == (400, 16)
    assert [path.name for path in tmp_path.iterdir()] == ["index.faiss"]


@pytest.mark.parametrize("factory", ["Flt", "PQ7", ""])
def test_what_faiss_cannot_build_is_refused(factory):
    with pytest.raises(InputError, match="builds no FAISS index of 16 dimensions"):
        FaissIndex(factory, 16)


@pytest.mark.parametrize("factory,needed", [("IVF64,Flat", 64), ("PQ8", 256)])
def test_too_few_documents_to_train_on_are_refused_with_both_numbers(factory, needed):
    with pytest.raises(InputError, match=f"at least {needed} documents to train on and has 50"):
        FaissIndex(factory, 16).train(VECTORS[:50])


@pytest.mark.parametrize("parameters", ["nprobe=4", "nonsense", "efSearch=x"])
def test_parameters_that_do_not_fit_are_refused(parameters):
    with pytest.raises(InputError, match="do not fit the index Flat"):
        built("Flat").set_parameters(parameters)


def test_wrong_widths_and_values_that_are_not_finite_are_refused():
    index = FaissIndex("Flat", 16)
    with pytest.raises(InputError, match=r"shape \(400, 8\) do not fit"):
        index.add(VECTORS[:, :8])
    with pytest.raises(InputError, match="not finite"):
        index.add(np.full((1, 16), np.nan, np.float32))


def test_a_gpu_asked_for_where_there_is_none_is_an_error():
    with pytest.raises(InputError, match="gpu=False"):
        FaissIndex("Flat", 16, gpu=True)


@pytest.fixture
def two_gpus(monkeypatch):
    """FAISS with two GPUs that are not there: flat indexes are divided in memory, as it would."""
    asked = []

    def divided(index, co):
        asked.append((co.shard, co.useFloat16))
        shards = faiss.IndexShards(index.d, False, True)
        vectors = index.reconstruct_n(0, index.ntotal)
        for part in np.array_split(vectors, 2):
            half = faiss.IndexFlatIP(index.d)
            half.add(part)
            shards.add_shard(half)
        return shards

    monkeypatch.setattr(faiss, "StandardGpuResources", object, raising=False)
    monkeypatch.setattr(faiss, "get_num_gpus", lambda: 2)
    monkeypatch.setattr(faiss, "GpuMultipleClonerOptions", SimpleNamespace, raising=False)
    monkeypatch.setattr(faiss, "index_cpu_to_all_gpus", divided, raising=False)
    return asked


def test_divided_over_gpus_the_ids_are_the_order_of_adding_however_it_was_added(tmp_path, two_gpus):
    whole, divided = built("Flat"), FaissIndex("Flat", 16, gpu=True)
    for part in np.array_split(VECTORS, 7):
        divided.add(part)
        divided.search(VECTORS[:2], 1)  # what was divided before is out of date
    divided.save(tmp_path)
    loaded = FaissIndex.load(tmp_path, "Flat", gpu=True, half=True)
    for index in (divided, loaded):
        found, expected = index.search(VECTORS[:9], 5), whole.search(VECTORS[:9], 5)
        np.testing.assert_array_equal(found[1], expected[1])
    assert two_gpus[0] == (True, False) and two_gpus[-1] == (True, True)


def test_faiss_itself_fills_shards_only_at_once():
    """Why the index is divided whole. Should this fail, FAISS has learnt it."""
    shards = faiss.IndexShards(16, False, True)
    for _ in range(2):
        shards.add_shard(faiss.IndexFlatIP(16))
    shards.add(VECTORS[:100])
    with pytest.raises(RuntimeError, match="single pass"):
        shards.add(VECTORS[100:])


def test_a_file_cut_short_is_refused(tmp_path):
    built("Flat").save(tmp_path)
    path = tmp_path / "index.faiss"
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(InputError, match="not a whole FAISS index"):
        FaissIndex.load(tmp_path, "Flat")
