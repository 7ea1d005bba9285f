"""Checkpoints that PyTorch wrote in every released layout: right numbers, strictly, and back."""

import json
import shutil
from pathlib import Path

import jax
import numpy as np
import pytest

from tart_jax.models import checkpoint_params, torch_files, weights
from tart_jax.models.bert import BertConfig
from tart_jax.models.checkpoint_layouts import NAMES, detect
from tart_jax.models.checkpoint_report import MismatchError
from tart_jax.models.cross_encoder import CrossEncoderConfig
from tart_jax.models.dual_encoder import DualEncoderConfig
from tart_jax.models.t5_config import T5Config
from tart_jax.types import InputError

# Written by scripts/reference/make_checkpoint_files.py
DATA = Path(__file__).parent / "data" / "checkpoints"
FILES = (
    *("tart_dual.pth", "moco.pth", "in_batch.pth", "bi_encoder.pth", "dpr_biencoder.3"),
    *("projected.cp", "bert_classifier.bin", "enc_t5.bin", "hf_dpr", "sharded"),
)


def expected(name: str) -> dict[str, np.ndarray]:
    """The floats of a checkpoint by key, as PyTorch held them."""
    if name == "hf_dpr":
        return expected("question_encoder.bin") | expected("ctx_encoder.bin")
    with np.load(DATA / "expected.npz") as file:
        row, shapes = file[name].astype(np.float32), json.loads(str(file[f"{name}/keys"]))
    ends = np.cumsum([int(np.prod(shape)) for shape in shapes.values()])
    parts = np.split(row, ends[:-1])
    return {key: part.reshape(shapes[key]) for key, part in zip(shapes, parts, strict=True)}


def tensors_of(name: str) -> dict[str, np.ndarray]:
    """What our reader finds in the file itself."""
    if name == "hf_dpr":
        return tensors_of("question_encoder.bin") | tensors_of("ctx_encoder.bin")
    return weights.read(DATA) if name == "sharded" else torch_files.read_tensors(DATA / name)


def config_of(name: str):
    with np.load(DATA / "expected.npz") as file:
        bert = BertConfig.from_hf(json.loads(str(file["config"])))
        t5 = T5Config.from_hf(json.loads(str(file["t5_config"])))
    if name in ("bert_classifier.bin", "enc_t5.bin"):
        return CrossEncoderConfig(t5 if name == "enc_t5.bin" else bert)
    return DualEncoderConfig(
        bert,
        projection=6 if name in ("projected.cp", "hf_dpr") else None,
        tied=name in ("tart_dual.pth", "moco.pth", "in_batch.pth", "sharded"),
    )


def read(name: str, tensors=None, **options):
    tensors = tensors_of(name) if tensors is None else tensors
    config = config_of(name)
    return checkpoint_params.read(tensors, detect(tensors, name), config, name, **options)


@pytest.mark.parametrize("name", FILES)
def test_the_file_reads_as_pytorch_wrote_it(name):
    found = tensors_of(name)
    floats = {key: value for key, value in found.items() if value.dtype.kind == "f"}
    wanted = expected(name)
    assert set(floats) == set(wanted)
    for key, value in wanted.items():
        np.testing.assert_array_equal(floats[key], value)


@pytest.mark.parametrize("name", FILES)
def test_every_parameter_is_found_at_its_place(name):
    """Places and transposes of the tables are those that give PyTorch's outputs elsewhere."""
    params, report = read(name)
    leaves = jax.tree.leaves(params)
    assert sum(leaf.size for leaf in leaves) == sum(
        value.size for key, value in expected(name).items() if key in report.matched
    )
    assert (report.missing, report.unexpected, report.misshaped) == ((), (), ())
    assert set(report.matched) | set(report.ignored) == set(tensors_of(name))
    values = np.sort(np.concatenate([leaf.ravel() for leaf in leaves]))
    wanted = np.concatenate([expected(name)[key].ravel() for key in report.matched])
    np.testing.assert_array_equal(values, np.sort(wanted))


def test_towers_and_heads_stand_under_their_own_names():
    def first(tensors, key):
        return tensors[key][:3]

    for name, query, document in (
        ("bi_encoder.pth", "q_encoder.", "p_encoder."),
        ("dpr_biencoder.3", "question_model.", "ctx_model."),
        ("hf_dpr", "question_encoder.bert_model.", "ctx_encoder.bert_model."),
    ):
        params, wanted = read(name)[0], expected(name)
        for tower, prefix in (("query", query), ("document", document)):
            table = params[tower]["encoder"]["embeddings"]["tokens"]["embedding"]
            key = f"{prefix}embeddings.word_embeddings.weight"
            np.testing.assert_array_equal(table, wanted[key])
    projected, wanted = read("projected.cp")[0], expected("projected.cp")
    for tower, model in (("query", "question_model"), ("document", "ctx_model")):
        kernel = projected[tower]["projection"]["kernel"]
        np.testing.assert_array_equal(kernel, wanted[f"{model}.encode_proj.weight"].T)
    moco, wanted = read("moco.pth")[0], expected("moco.pth")
    table = moco["document"]["encoder"]["embeddings"]["tokens"]["embedding"]
    key = "embeddings.word_embeddings.weight"
    np.testing.assert_array_equal(table, wanted[f"encoder_q.{key}"])
    assert np.abs(table - wanted[f"encoder_k.{key}"]).max() > 0.1


def test_what_is_ignored_is_listed():
    def heads(name):
        return sorted({key.partition(".")[0] for key in read(name)[1].ignored})

    assert heads("moco.pth") == ["encoder_k", "queue", "queue_ptr"]
    assert read("tart_dual.pth")[1].ignored == ()
    assert read("dpr_biencoder.3")[1].ignored == tuple(
        f"{model}.{key}"
        for model in ("ctx_model", "question_model")
        for key in ("embeddings.position_ids", "pooler.dense.bias", "pooler.dense.weight")
    )
    assert read("sharded")[1].ignored == ("pooler.dense.bias", "pooler.dense.weight")
    assert read("enc_t5.bin")[1].ignored == ("encoder.embed_tokens.weight",)


@pytest.mark.parametrize("name", FILES)
def test_renaming_any_one_key_is_an_error_that_names_it(name):
    tensors, (_, report) = tensors_of(name), read(name)
    layout, config = detect(tensors, name), config_of(name)
    for key in report.matched:
        if key == "shared.weight":
            continue  # the next test: its other name stands in
        renamed = {f"{k}.x" if k == key else k: value for k, value in tensors.items()}
        with pytest.raises(MismatchError) as error:
            checkpoint_params.read(renamed, layout, config, name)
        assert error.value.report.missing == (key,)
        assert f"1 missing: {key}; 1 unexpected: {key}.x" in str(error.value)
        with pytest.raises(MismatchError, match="missing"):  # nothing starts at random
            checkpoint_params.read(renamed, layout, config, name, strict=False)


def test_the_table_of_a_t5_may_have_either_name_but_not_two_values():
    tensors = tensors_of("enc_t5.bin")
    table = "encoder.embed_tokens.weight"
    one = {key: value for key, value in tensors.items() if key != "shared.weight"}
    both = read("enc_t5.bin")[0]
    jax.tree.map(np.testing.assert_array_equal, read("enc_t5.bin", one)[0], both)
    with pytest.raises(MismatchError, match=f"1 unexpected: {table}; strict=False"):
        read("enc_t5.bin", tensors | {table: tensors[table] + 1})


def test_an_unexpected_key_is_an_error_unless_one_asks(caplog):
    tensors = tensors_of("tart_dual.pth") | {"head.weight": np.zeros(3, np.float32)}
    with pytest.raises(MismatchError, match="1 unexpected: head.weight; strict=False leaves"):
        read("tart_dual.pth", tensors)
    params, report = read("tart_dual.pth", tensors, strict=False)
    assert report.unexpected == ("head.weight",)
    jax.tree.map(np.testing.assert_array_equal, params, read("tart_dual.pth")[0])


def test_a_misshaped_tensor_is_named_with_both_shapes():
    key = "encoder.layer.0.intermediate.dense.weight"
    tensors = tensors_of("tart_dual.pth")
    with pytest.raises(MismatchError, match=rf"{key} \[8, 12\] instead of \[12, 8\]"):
        read("tart_dual.pth", tensors | {key: tensors[key].T})


def test_long_lists_are_cut_in_the_message_and_whole_in_the_report():
    tensors = {k: v for k, v in tensors_of("tart_dual.pth").items() if "layer" not in k}
    with pytest.raises(MismatchError, match=r"16 missing: .* and 8 more") as error:
        read("tart_dual.pth", tensors)
    assert len(error.value.report.record()["missing"]) == 16
    table = error.value.report.table("title").markdown()
    assert all(key in table for key in error.value.report.missing)


def test_names_of_tensorflow_are_read():
    new = tensors_of("tart_dual.pth")
    old = {
        key.replace("Norm.weight", "Norm.gamma").replace("Norm.bias", "Norm.beta"): value
        for key, value in new.items()
    }
    params, report = read("tart_dual.pth", old)
    jax.tree.map(np.testing.assert_array_equal, params, read("tart_dual.pth")[0])
    assert "embeddings.LayerNorm.gamma" in report.matched
    twice = new | {"embeddings.LayerNorm.gamma": np.zeros(8, np.float32)}
    with pytest.raises(MismatchError, match="1 unexpected: embeddings.LayerNorm.gamma"):
        read("tart_dual.pth", twice)


@pytest.mark.parametrize("name", [name for name in FILES if name != "moco.pth"])
def test_import_then_export_is_the_identity(name):
    tensors = tensors_of(name)
    params, report = read(name)
    back = checkpoint_params.write(params, detect(tensors, name), config_of(name))
    assert set(back) == set(report.matched)
    for key, value in back.items():
        np.testing.assert_array_equal(value, expected(name)[key])
        assert value.dtype == np.float32 and value.flags.c_contiguous
    again, _ = read(name, back)
    jax.tree.map(np.testing.assert_array_equal, again, params)


def test_one_tower_is_written_to_both_sides():
    config, (params, _) = config_of("tart_dual.pth"), read("tart_dual.pth")
    both = checkpoint_params.write(params, NAMES["dpr"], config)
    for key, value in checkpoint_params.write(params, NAMES["bert"], config).items():
        np.testing.assert_array_equal(both[f"question_model.{key}"], value)
        np.testing.assert_array_equal(both[f"ctx_model.{key}"], value)


@pytest.mark.parametrize(
    "name,layout,said",
    [
        ("moco.pth", "moco", "holds a trainer's state"),
        ("dpr_biencoder.3", "bert", "has one tower, the model has two"),
        ("projected.cp", "bi_encoder", "has no place for the model's projection"),
        ("bert_classifier.bin", "bert", "is not of this kind of model.*: bert_classifier."),
        ("tart_dual.pth", "enc_t5", "is not of this kind of model.*bi_encoder, dpr"),
    ],
)
def test_a_layout_that_cannot_hold_the_model_is_refused(name, layout, said):
    with pytest.raises(InputError, match=said):
        checkpoint_params.write(read(name)[0], NAMES[layout], config_of(name))


def test_a_lost_shard_is_an_error(tmp_path):
    for path in DATA.glob("pytorch_model*"):
        shutil.copy(path, tmp_path)
    (tmp_path / "pytorch_model-00002-of-00002.bin").unlink()
    with pytest.raises(InputError, match="00002-of-00002.bin does not exist"):
        weights.read(tmp_path)
