"""The stage `encode`: what it writes, how it resumes, what it refuses."""

import gzip
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from tart_jax import config, io
from tart_jax.data import corpus
from tart_jax.encode.encoder import Encoder
from tart_jax.encode.run import run
from tart_jax.encode.store import Embeddings, EmbeddingWriter
from tart_jax.models import pretrained
from tart_jax.types import EndedError, InputError


def settings(model, documents, *overrides):
    return config.load(
        "configs/encode/default.py",
        [
            f"--config.model={model}",
            f"--config.corpus={documents}",
            "--config.tokens_per_batch=256",
            "--config.shard_size=6",
            *overrides,
        ],
    )


def contents(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}


@pytest.fixture(scope="module")
def finished(tiny_model, tiny_corpus, tmp_path_factory):
    folder = tmp_path_factory.mktemp("embeddings")
    run(settings(tiny_model, tiny_corpus), folder)
    return folder


def test_the_shards_hold_what_the_encoder_gives(finished, tiny_model, tiny_corpus):
    stored = Embeddings.open(finished)
    model = pretrained.load(tiny_model)
    documents = list(corpus.read_documents(tiny_corpus))
    encoder = Encoder(model, tower="document", max_length=48, tokens_per_batch=256)
    expected = encoder.encode([document.contents() for document in documents])
    # Shards are batched by themselves; padding changes the order of float32 sums.
    np.testing.assert_allclose(np.concatenate(list(stored.shards())), expected, atol=2e-6)
    assert list(stored.ids) == [document.doc_id for document in documents]


def test_the_manifest_says_what_the_embeddings_depend_on(finished, tiny_model, tiny_corpus):
    manifest = Embeddings.open(finished).manifest
    assert manifest["weights_sha256"] == pretrained.load(tiny_model).weights_sha256
    assert manifest["corpus_fingerprint"] == corpus.scan(tiny_corpus).fingerprint
    assert (manifest["count"], manifest["dims"], manifest["dtype"]) == (20, 16, "float32")
    assert (manifest["pooling"], manifest["normalize"]) == ("mean", True)
    assert manifest["format"]["separator"] == "[SEP]"
    assert manifest["format"]["document_length"] == 48
    assert [shard["documents"] for shard in manifest["shards"]] == [6, 6, 6, 2]


def test_a_strict_run_compiles_ahead_and_ends_where_one_more_is_needed(
    finished, tiny_model, tiny_corpus, tmp_path, monkeypatch
):
    changes = ("--config.compile_once=True", "--config.tokens_per_batch=264")
    run(settings(tiny_model, tiny_corpus, *changes), tmp_path / "whole")
    whole, expected = Embeddings.open(tmp_path / "whole"), Embeddings.open(finished)
    for ours, theirs in zip(whole.shards(), expected.shards(), strict=True):
        np.testing.assert_allclose(ours, theirs, atol=2e-6)
    monkeypatch.setattr(Encoder, "compile_all", lambda self: None)
    changes = ("--config.compile_once=True", "--config.tokens_per_batch=2080")
    with pytest.raises(EndedError, match="shard 0: . programs were compiled"):
        run(settings(tiny_model, tiny_corpus, *changes), tmp_path / "stopped")


class Killed(BaseException):
    pass


def test_a_resumed_encoding_equals_an_uninterrupted_one(
    finished, tiny_model, tiny_corpus, tmp_path, monkeypatch
):
    write = EmbeddingWriter.write

    def dies_at_the_third(self, shard, ids, embeddings):
        if shard == 2:
            raise Killed
        write(self, shard, ids, embeddings)

    with monkeypatch.context() as patch, pytest.raises(Killed):
        patch.setattr(EmbeddingWriter, "write", dies_at_the_third)
        run(settings(tiny_model, tiny_corpus), tmp_path)
    written = []
    monkeypatch.setattr(
        EmbeddingWriter,
        "write",
        lambda self, shard, *rest: (written.append(shard), write(self, shard, *rest)),
    )
    run(settings(tiny_model, tiny_corpus), tmp_path)
    assert written == [2, 3]
    assert contents(tmp_path) == contents(finished)


def test_the_comparison_fails_where_a_finished_shard_was_another(
    finished, tiny_model, tiny_corpus, tmp_path, monkeypatch
):
    """The broken twin: resuming trusts what is there."""
    run(settings(tiny_model, tiny_corpus), tmp_path)
    path = tmp_path / "embeddings-00001-of-00004.npy"
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    run(settings(tiny_model, tiny_corpus), tmp_path)
    assert contents(tmp_path) != contents(finished)


def test_gzip_and_plain_corpora_continue_each_other(finished, tiny_model, tiny_corpus, tmp_path):
    zipped = tmp_path / "other.jsonl.gz"
    zipped.write_bytes(gzip.compress((tiny_corpus / "corpus.jsonl").read_bytes()))
    before = contents(finished)
    run(settings(tiny_model, zipped), finished)
    assert contents(finished) == before


def test_float16_halves_the_files(finished, tiny_model, tiny_corpus, tmp_path):
    run(settings(tiny_model, tiny_corpus, "--config.dtype=float16"), tmp_path)
    half = np.concatenate(list(Embeddings.open(tmp_path).shards()))
    whole = np.concatenate(list(Embeddings.open(finished).shards()))
    np.testing.assert_array_equal(half, whole.astype(np.float16))


def test_other_weights_are_refused_on_resume_unless_overwritten(
    finished, tiny_model, tiny_corpus, tmp_path
):
    run(settings(tiny_model, tiny_corpus), tmp_path)
    other = tmp_path / "model"
    model = pretrained.load(tiny_model)
    model.params["document"]["encoder"]["embeddings"]["tokens"]["embedding"] *= 1.5
    pretrained.export(
        other,
        config=model.config,
        params=model.params,
        format=model.format,
        tokenizer=model.tokenizer,
    )
    before = contents(tmp_path)
    with pytest.raises(InputError, match="another weights_sha256"):
        run(settings(other, tiny_corpus), tmp_path)
    assert contents(tmp_path) == before
    run(settings(other, tiny_corpus, "--config.overwrite=True"), tmp_path)
    assert contents(tmp_path) != before


@pytest.mark.parametrize(
    "override,named",
    [
        ("--config.document_length=16", "format"),
        ("--config.shard_size=7", "shard_size"),
        ("--config.dtype=float16", "dtype"),
        ("--config.compute_dtype=bfloat16", "compute_dtype"),
    ],
)
def test_other_options_are_refused_on_resume(finished, tiny_model, tiny_corpus, override, named):
    with pytest.raises(InputError, match=f"another {named}"):
        run(settings(tiny_model, tiny_corpus, override), finished)


def test_a_changed_corpus_is_refused_on_resume(finished, tiny_model, tiny_corpus, tmp_path):
    text = (tiny_corpus / "corpus.jsonl").read_text().replace("field", "fields")
    (tmp_path / "corpus.jsonl").write_text(text)
    with pytest.raises(InputError, match="another corpus_fingerprint"):
        run(settings(tiny_model, tmp_path), finished)


@pytest.mark.parametrize(
    "text,said",
    [
        ("", "holds no document"),
        ('{"_id": "a", "text": "x"}\n{"_id"\n', "line 2 is not JSON"),
        ('{"_id": "a", "text": "x"}\n{"_id": "a", "text": "y"}\n', "'a' on lines 1 and 2"),
    ],
)
def test_a_bad_corpus_is_refused_before_anything_is_written(tiny_model, tmp_path, text, said):
    (tmp_path / "c.jsonl").write_text(text)
    with pytest.raises(InputError, match=said):
        run(settings(tiny_model, tmp_path / "c.jsonl"), tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_missing_options_and_other_formats_are_refused(tiny_model, tiny_corpus, tmp_path):
    with pytest.raises(InputError, match="--config.model and --config.corpus"):
        run(settings("", tiny_corpus), tmp_path)
    with pytest.raises(InputError, match="nothing does not exist"):
        run(settings(tiny_model, tmp_path / "nothing"), tmp_path)
    with pytest.raises(InputError, match="was trained to read instruction_first"):
        run(settings(tiny_model, tiny_corpus, "--config.separator=|"), tmp_path)
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
def test_an_encoding_killed_by_sigkill_resumes_bit_for_bit(tiny_model, tmp_path):
    documents = tmp_path / "c.jsonl"
    rng = np.random.default_rng(0)
    rows = ({"_id": str(n), "text": " ".join(rng.choice(list("abcdef"), 40))} for n in range(4000))
    documents.write_text("".join(json.dumps(row) + "\n" for row in rows))
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    command = [sys.executable, "-m", "tart_jax", "encode", f"--config.model={tiny_model}"]
    command += [f"--config.corpus={documents}", "--config.shard_size=100"]
    subprocess.run([*command, f"--workdir={whole}"], check=True, capture_output=True)
    kills = 0
    for wanted in (1, 7, 20):
        process = subprocess.Popen(
            [*command, f"--workdir={killed}"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        while process.poll() is None and len(list(killed.glob("embeddings-*.npy"))) < wanted:
            time.sleep(0.005)
        if process.poll() is None:
            os.kill(process.pid, signal.SIGKILL)
            kills += 1
        process.wait()
    assert kills and not io.read_json(killed / "manifest.json")["complete"]
    subprocess.run([*command, f"--workdir={killed}"], check=True, capture_output=True)
    shards = [path for path in contents(whole) if path.startswith("embeddings-")]
    assert len(shards) == 3 * 40
    for name in [*shards, "manifest.json"]:
        assert (whole / name).read_bytes() == (killed / name).read_bytes(), name


@pytest.mark.slow
def test_memory_does_not_grow_with_the_corpus():
    script = Path(__file__).parents[2] / "scripts" / "benchmark" / "encode_memory.py"
    command = [sys.executable, str(script), "--sizes", "20000", "100000"]
    found = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    # 80,000 embeddings of 64 float32 are 20 MiB, their texts more; 8 bytes a document may stay.
    few, many = (
        float(line.split("peak ")[1].split()[0].replace(",", "")) for line in found.splitlines()[:2]
    )
    assert many - few < 15, found
