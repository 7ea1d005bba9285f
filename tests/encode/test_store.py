"""Embedding shards: round trip, resume, refusals."""

import numpy as np
import pytest

from tart_jax import io
from tart_jax.encode.store import Embeddings, EmbeddingWriter
from tart_jax.types import InputError

IDENTITY = {
    "weights_sha256": "a" * 64,
    "source": "runs/a",
    "format": {"separator": "[SEP]"},
    "dims": 4,
    "corpus": "c.jsonl",
    "corpus_fingerprint": "b" * 64,
}
VECTORS = np.random.default_rng(0).normal(size=(10, 4)).astype(np.float32)
IDS = [f"dé{number}" for number in range(10)]


def writer(folder, identity=IDENTITY, **options):
    options = {"count": 10, "shard_size": 4, "dtype": "float32"} | options
    return EmbeddingWriter(folder, identity, **options)


def filled(folder, shards=(0, 1, 2), **options):
    subject = writer(folder, **options)
    for shard in shards:
        rows = slice(4 * shard, 4 * shard + 4)
        subject.write(shard, IDS[rows], VECTORS[rows])
    return subject


@pytest.mark.parametrize("dtype", ["float32", "float16"])
def test_embeddings_come_back_in_order_with_their_ids(tmp_path, dtype):
    filled(tmp_path, dtype=dtype).finish()
    stored = Embeddings.open(tmp_path)
    shards = list(stored.shards(verify=True))
    assert isinstance(shards[0], np.memmap) and [len(shard) for shard in shards] == [4, 4, 2]
    np.testing.assert_array_equal(np.concatenate(shards), VECTORS.astype(dtype))
    assert list(stored.ids) == IDS and len(stored.ids) == 10 and stored.ids[np.int64(9)] == IDS[9]
    assert (stored.count, stored.dims) == (10, 4)
    assert (tmp_path / "embeddings-00002-of-00003.npy").is_file()
    with pytest.raises(IndexError):
        stored.ids[10]


def test_a_sample_is_drawn_over_all_shards_and_seeded(tmp_path):
    filled(tmp_path).finish()
    stored = Embeddings.open(tmp_path)
    np.testing.assert_array_equal(stored.sample(100, seed=0), VECTORS)
    sample = stored.sample(5, seed=0)
    assert sample.shape == (5, 4)
    np.testing.assert_array_equal(sample, stored.sample(5, seed=0))
    assert all((VECTORS == row).all(axis=1).any() for row in sample)
    assert not np.array_equal(sample, stored.sample(5, seed=1))


def test_a_part_by_its_ids_is_what_encoding_it_alone_would_give(tmp_path):
    subject = writer(tmp_path)
    names = [f"{'a' if number % 3 else 'b'}/{number}" for number in range(10)]
    for shard in range(3):
        rows = slice(4 * shard, 4 * shard + 4)
        subject.write(shard, names[rows], VECTORS[rows])
    subject.finish()
    part = Embeddings.open(tmp_path, prefix="b/")
    wanted = [number for number in range(10) if number % 3 == 0]
    assert list(part.ids) == [f"b/{number}" for number in wanted] and part.count == 4
    np.testing.assert_array_equal(np.concatenate(list(part.shards(verify=True))), VECTORS[wanted])
    np.testing.assert_array_equal(part.sample(100, seed=0), VECTORS[wanted])
    drawn = part.sample(2, seed=0)
    assert len(drawn) == 2 and all((VECTORS[wanted] == row).all(axis=1).any() for row in drawn)
    with pytest.raises(InputError, match="begins with 'c/'; the first id is 'b/0'"):
        Embeddings.open(tmp_path, prefix="c/")


def test_a_killed_encoding_continues_with_what_is_missing(tmp_path):
    filled(tmp_path, shards=(0, 2))
    (tmp_path / ".embeddings-00001-of-00003.npy.99.tmp").write_bytes(b"half")
    resumed = writer(tmp_path)
    assert [resumed.is_done(shard) for shard in range(3)] == [True, False, True]
    assert not list(tmp_path.glob(".*.tmp"))
    with pytest.raises(InputError, match="has not finished"):
        Embeddings.open(tmp_path)
    resumed.write(1, IDS[4:8], VECTORS[4:8])
    resumed.finish()
    np.testing.assert_array_equal(np.concatenate(list(Embeddings.open(tmp_path).shards())), VECTORS)


def test_a_shard_cut_short_is_done_again(tmp_path):
    filled(tmp_path).finish()
    path = tmp_path / "embeddings-00001-of-00003.npy"
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(InputError, match="00001-of-00003.npy has .* bytes where the manifest says"):
        Embeddings.open(tmp_path)
    again = writer(tmp_path)
    assert [again.is_done(shard) for shard in range(3)] == [True, False, True]
    again.write(1, IDS[4:8], VECTORS[4:8])
    again.finish()
    np.testing.assert_array_equal(np.concatenate(list(Embeddings.open(tmp_path).shards())), VECTORS)


def test_a_finished_encoding_is_left_as_it_is(tmp_path):
    filled(tmp_path).finish()
    before = {path.name: path.stat().st_mtime_ns for path in tmp_path.iterdir()}
    again = writer(tmp_path)
    assert again.complete and all(again.is_done(shard) for shard in range(3))
    again.finish()
    assert {path.name: path.stat().st_mtime_ns for path in tmp_path.iterdir()} == before


@pytest.mark.parametrize("finished", [False, True])
@pytest.mark.parametrize(
    "change,named",
    [
        ({"weights_sha256": "c" * 64}, "weights_sha256"),
        ({"format": {"separator": "</s>"}}, "format"),
        ({"corpus_fingerprint": "c" * 64}, "corpus_fingerprint"),
        ({"dims": 5}, "dims"),
    ],
)
def test_other_weights_format_or_corpus_are_refused(tmp_path, change, named, finished):
    subject = filled(tmp_path, shards=range(3) if finished else [0])
    if finished:
        subject.finish()
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    with pytest.raises(InputError, match=f"another {named} .*overwrite=True"):
        writer(tmp_path, IDENTITY | change)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


@pytest.mark.parametrize("option", [{"shard_size": 5}, {"dtype": "float16"}, {"count": 11}])
def test_another_shape_of_store_is_refused(tmp_path, option):
    filled(tmp_path, shards=[0])
    with pytest.raises(InputError, match=f"another {next(iter(option))}"):
        writer(tmp_path, **option)


def test_another_name_for_the_same_weights_or_corpus_is_taken(tmp_path):
    filled(tmp_path, shards=[0])
    assert writer(tmp_path, IDENTITY | {"source": "runs/b", "corpus": "d.jsonl"}).is_done(0)


def test_overwrite_discards_what_stood_there(tmp_path):
    filled(tmp_path).finish()
    again = writer(tmp_path, IDENTITY | {"weights_sha256": "c" * 64}, overwrite=True, shard_size=10)
    assert not again.is_done(0) and not list(tmp_path.glob("embeddings-*"))


def test_changed_bytes_are_found_by_their_checksum(tmp_path):
    filled(tmp_path).finish()
    path = tmp_path / "embeddings-00000-of-00003.npy"
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    stored = Embeddings.open(tmp_path)
    assert len(list(stored.shards())) == 3
    with pytest.raises(InputError, match="does not have the checksum"):
        list(stored.shards(verify=True))


def test_values_that_are_not_finite_are_refused_with_the_document(tmp_path):
    subject = writer(tmp_path)
    bad = VECTORS[:4].copy()
    bad[2, 1] = np.nan
    with pytest.raises(InputError, match="'dé2' is not finite"):
        subject.write(0, IDS[:4], bad)
    assert not subject.is_done(0)


def test_too_large_for_float16_is_refused(tmp_path):
    with pytest.raises(InputError, match="not finite in float16"):
        writer(tmp_path, dtype="float16").write(0, IDS[:4], VECTORS[:4] * 1e6)


def test_wrong_options_and_folders_are_refused(tmp_path):
    with pytest.raises(InputError, match="dtype 'int8'"):
        writer(tmp_path, dtype="int8")
    with pytest.raises(InputError, match="shard_size 0"):
        writer(tmp_path, shard_size=0)
    with pytest.raises(InputError, match="holds no manifest.json"):
        Embeddings.open(tmp_path)
    with pytest.raises(InputError, match="does not exist"):
        Embeddings.open(tmp_path / "nothing")
    io.write_json(tmp_path / "manifest.json", {"kind": "something else"})
    with pytest.raises(InputError, match="does not describe embeddings"):
        Embeddings.open(tmp_path)
