"""The stage `index` and its folders."""

import numpy as np
import pytest

from tart_jax import config, io
from tart_jax.encode.store import EmbeddingWriter
from tart_jax.index import store
from tart_jax.index.bm25 import BM25Index
from tart_jax.index.exact import ExactIndex
from tart_jax.index.faiss_index import FaissIndex
from tart_jax.index.run import run
from tart_jax.types import InputError

VECTORS = np.random.default_rng(0).normal(size=(300, 8)).astype(np.float32)
IDENTITY = {
    "weights_sha256": "a" * 64,
    "tokenizer": "t" * 64,
    "source": "runs/a",
    "format": {"separator": "[SEP]"},
    "pooling": "mean",
    "normalize": True,
    "dims": 8,
    "corpus": "c.jsonl",
    "corpus_fingerprint": "b" * 64,
}


def settings(*overrides):
    return config.load("configs/index/default.py", [f"--config.{word}" for word in overrides])


def embedded(folder, *, dtype="float32", finish=True):
    writer = EmbeddingWriter(folder, IDENTITY, count=300, shard_size=128, dtype=dtype)
    for shard in range(3):
        rows = range(128 * shard, min(128 * shard + 128, 300))
        writer.write(shard, [f"d{row}" for row in rows], VECTORS[rows.start : rows.stop])
    if finish:
        writer.finish()
    return folder


@pytest.mark.parametrize("dtype", ["float32", "float16"])
def test_embeddings_become_an_index_with_their_ids(tmp_path, dtype):
    folder = embedded(tmp_path / "e", dtype=dtype)
    run(settings(f"embeddings={folder}", "block_size=50"), tmp_path / "i")
    stored = store.open(tmp_path / "i")
    _, positions = stored.index.search(VECTORS[:20] * 10, 1)
    own = (VECTORS @ VECTORS[:20].T).argmax(axis=0)
    assert positions[:, 0].tolist() == own.tolist()
    assert stored.doc_ids[299] == "d299" and len(stored.doc_ids) == 300
    assert stored.description["manifest_sha256"] == io.sha256(folder / "manifest.json")
    assert stored.description["weights_sha256"] == "a" * 64
    assert (stored.description["factory"], stored.description["count"]) == ("Flat", 300)


@pytest.mark.parametrize("dtype", ["float32", "float16"])
def test_an_exact_index_keeps_the_embeddings_and_its_precision(tmp_path, dtype):
    folder = embedded(tmp_path / "e", dtype=dtype)
    words = ["factory=Exact", "dtype=int8", "block_size=50"]
    run(settings(f"embeddings={folder}", *words), tmp_path / "i")
    stored = store.open(tmp_path / "i")
    assert isinstance(stored.index, ExactIndex) and stored.index.dtype == "int8"
    assert (stored.description["factory"], stored.description["dtype"]) == ("Exact", "int8")
    vectors = np.load(tmp_path / "i" / "embeddings.npy", mmap_mode="r")
    np.testing.assert_array_equal(vectors, VECTORS.astype(dtype))
    assert stored.doc_ids[299] == "d299" and stored.index.count == 300
    assert stored.description["manifest_sha256"] == io.sha256(folder / "manifest.json")


def test_a_trained_index_is_the_same_for_the_same_seed(tmp_path):
    folder = embedded(tmp_path / "e")
    words = [f"embeddings={folder}", "factory=IVF4,Flat", "train_size=200"]
    for name in "ab":
        run(settings(*words), tmp_path / name)
    run(settings(*words, "seed=5"), tmp_path / "c")
    files = {name: io.sha256(tmp_path / name / "index.faiss") for name in "abc"}
    assert files["a"] == files["b"] != files["c"]


def test_a_corpus_becomes_a_bm25_index(tiny_corpus, tmp_path):
    run(settings("factory=BM25", f"corpus={tiny_corpus}"), tmp_path)
    stored = store.open(tmp_path)
    assert isinstance(stored.index, BM25Index) and stored.index.count == 20
    assert stored.doc_ids[int(stored.index.search(["ivy"], 1)[1][0, 0])] == "d8"


def test_a_second_index_replaces_the_first(tmp_path, tiny_corpus):
    folder = embedded(tmp_path / "e")
    run(settings(f"embeddings={folder}"), tmp_path / "i")
    run(settings(f"embeddings={folder}", "factory=HNSW8"), tmp_path / "i")
    assert store.open(tmp_path / "i").description["factory"] == "HNSW8"


@pytest.mark.parametrize(
    "words,said",
    [
        (
            ["factory=IVF512,Flat"],
            "IVF512,Flat needs at least 512 documents to train on and has 300",
        ),
        (["factory=Flot"], "'Flot' builds no FAISS index"),
        (["gpu=True"], "gpu=False"),
        (["dtype=int8"], "dtype 'int8' is for factory=Exact"),
        (["factory=Exact", "dtype=int4"], "'int4' is not one of float32, bfloat16, int8"),
        (["embeddings="], "--config.embeddings is missing"),
        (["embeddings=nothing"], "nothing does not exist"),
        (["factory=BM25"], "--config.corpus is missing"),
    ],
)
def test_refusals_leave_the_old_index_as_it_was(tmp_path, words, said):
    folder = embedded(tmp_path / "e")
    run(settings(f"embeddings={folder}"), tmp_path / "i")
    before = {path.name: path.read_bytes() for path in (tmp_path / "i").iterdir()}
    with pytest.raises(InputError, match=said):
        run(settings(f"embeddings={folder}", *words), tmp_path / "i")
    assert {path.name: path.read_bytes() for path in (tmp_path / "i").iterdir()} == before


def test_unfinished_and_damaged_embeddings_are_refused(tmp_path):
    folder = embedded(tmp_path / "e", finish=False)
    with pytest.raises(InputError, match="has not finished"):
        run(settings(f"embeddings={folder}"), tmp_path / "i")
    embedded(folder)
    path = folder / "embeddings-00002-of-00003.npy"
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    with pytest.raises(InputError, match="does not have the checksum"):
        run(settings(f"embeddings={folder}"), tmp_path / "i")
    path.write_bytes(data[:-4])
    with pytest.raises(InputError, match="bytes where the manifest says"):
        run(settings(f"embeddings={folder}"), tmp_path / "i")
    assert not (tmp_path / "i").exists()


def test_an_index_without_its_description_is_unfinished(tmp_path):
    run(settings(f"embeddings={embedded(tmp_path / 'e')}"), tmp_path / "i")
    (tmp_path / "i" / "index.json").unlink()
    with pytest.raises(InputError, match="holds no finished index"):
        store.open(tmp_path / "i")


def test_an_index_and_ids_of_other_counts_are_refused(tmp_path):
    index = FaissIndex("Flat", 8)
    index.add(VECTORS[:3])
    with pytest.raises(InputError, match="3 documents, but 2 ids"):
        store.save(tmp_path, index, ["a", "b"], {"factory": "Flat"})
    with pytest.raises(InputError, match="holds no finished index"):
        store.open(tmp_path)
    store.save(tmp_path, index, ["a", "b", "c"], {"factory": "Flat"})
    io.StringTable.write(tmp_path / "ids", ["a", "b"])
    with pytest.raises(InputError, match="the index has 3 and the ids 2"):
        store.open(tmp_path)


def test_a_part_of_a_pooled_corpus_is_an_index_of_its_own(tmp_path):
    folder = embedded(tmp_path / "e")
    run(settings(f"embeddings={folder}", "prefix=d29"), tmp_path / "i")
    stored = store.open(tmp_path / "i")
    assert list(stored.doc_ids) == ["d29", *(f"d29{last}" for last in range(10))]
    scores, positions = stored.index.search(VECTORS[[29, 295]], 11)
    np.testing.assert_allclose(
        scores, -np.sort(-(VECTORS[[29, 295]] @ VECTORS[[29, *range(290, 300)]].T)), atol=1e-5
    )
    assert sorted(positions[0]) == list(range(11)) and stored.description["prefix"] == "d29"
    io.write_jsonl(
        tmp_path / "c.jsonl", ({"_id": f"d{n}", "text": f"word{n} same"} for n in range(300))
    )
    run(settings("factory=BM25", f"corpus={tmp_path / 'c.jsonl'}", "prefix=d29"), tmp_path / "b")
    words = store.open(tmp_path / "b")
    _, found = words.index.search(["word294"], 1)
    assert len(words.doc_ids) == 11 and words.doc_ids[int(found[0, 0])] == "d294"


def test_lists_on_disk_answer_as_those_in_memory_and_move_with_their_folder(tmp_path):
    folder = embedded(tmp_path / "e")
    words = (f"embeddings={folder}", "factory=OPQ4,IVF8,PQ4x4", "block_size=50")
    run(settings(*words), tmp_path / "memory")
    run(settings(*words, "on_disk=True"), tmp_path / "disk")
    assert not (tmp_path / "disk" / ".parts").exists()
    (tmp_path / "disk").rename(tmp_path / "elsewhere")
    found = []
    for name in ("memory", "elsewhere"):
        stored = store.open(tmp_path / name)
        assert len(stored.doc_ids) == stored.index.count == 300
        stored.index.set_parameters("nprobe=8")
        found.append(stored.index.search(VECTORS[:40], 7))
    for one, other in zip(*found, strict=True):
        np.testing.assert_array_equal(one, other)
    (tmp_path / "elsewhere" / "index.ivfdata").unlink()
    with pytest.raises(InputError, match="is not a whole FAISS index"):
        store.open(tmp_path / "elsewhere")


def test_an_index_in_memory_leaves_no_older_lists_behind(tmp_path):
    words = (f"embeddings={embedded(tmp_path / 'e')}", "factory=IVF8,Flat")
    run(settings(*words, "on_disk=True"), tmp_path / "i")
    assert (tmp_path / "i" / "index.ivfdata").is_file()
    run(settings(*words), tmp_path / "i")
    assert not (tmp_path / "i" / "index.ivfdata").exists()
    assert store.open(tmp_path / "i").index.count == 300


@pytest.mark.parametrize("factory, said", [("Flat", "inverted lists"), ("Exact", "is for FAISS")])
def test_only_inverted_lists_can_be_on_disk(factory, said, tmp_path):
    words = (f"embeddings={embedded(tmp_path / 'e')}", f"factory={factory}", "on_disk=True")
    with pytest.raises(InputError, match=said):
        run(settings(*words), tmp_path / "i")
    assert not (tmp_path / "i" / ".parts").exists()
