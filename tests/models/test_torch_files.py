"""PyTorch's files are read as PyTorch reads them, and nothing in them runs."""

import argparse
import collections
import os
import pickle
import subprocess
import zipfile
from pathlib import Path

import ml_dtypes
import numpy as np
import pytest

from tart_jax.models import torch_files
from tart_jax.types import InputError

DATA = Path(__file__).parent / "data"
FORMS = ("torch_save_zip.pth", "torch_save_legacy.pth")


@pytest.mark.parametrize("form", FORMS)
def test_tensors_of_every_kind_read_as_torch_wrote_them(form):
    tensors = torch_files.read_tensors(DATA / form)
    with np.load(DATA / "torch_save.npz") as expected:
        assert set(tensors) == set(expected) - {"versions"}
        for name, tensor in tensors.items():
            assert tensor.shape == expected[name].shape
            np.testing.assert_array_equal(tensor.astype(np.float32), expected[name])
    assert tensors["bfloat16"].dtype == ml_dtypes.bfloat16
    assert tensors["float16"].dtype == np.float16
    assert tensors["boolean"].dtype == np.bool_


@pytest.mark.parametrize("form", FORMS)
def test_the_rest_of_a_trainer_checkpoint_is_plain(form):
    content = torch_files.read(DATA / form)
    assert content["step"] == 7
    assert content["opt"] == argparse.Namespace(retriever_model_id="bert-tiny", lr=1e-5, tags={"a"})
    assert content["optimizer"]["param_groups"] == [{"betas": (0.9, 0.98)}]


class Call:
    """Pickles as the call of a function."""

    def __init__(self, function, *arguments):
        self.call = (function, arguments)

    def __reduce__(self):
        return self.call


def save(path: Path, content: object, **entries: bytes) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("archive/data.pkl", pickle.dumps(content, protocol=2))
        for name, data in entries.items():
            archive.writestr(f"archive/data/{name}", data)
    return path


@pytest.mark.parametrize(
    "function,arguments,name",
    [
        (os.system, ("touch {}",), "system"),
        (subprocess.Popen, (["touch", "{}"],), "Popen"),
        (eval, ("open('{}', 'w')",), "builtin.*eval"),
        (getattr, ("text", "upper"), "builtin.*getattr"),
        (collections.Counter, (), "collections.Counter"),
    ],
)
@pytest.mark.parametrize("form", ["zip", "legacy"])
def test_other_names_are_refused_by_name_before_anything_runs(
    tmp_path, function, arguments, name, form
):
    witness = tmp_path / "witness"
    filled = [[part.format(witness) for part in a] if isinstance(a, list) else a for a in arguments]
    filled = [a.format(witness) if isinstance(a, str) else a for a in filled]
    content = {"model": {"a": 1}, "bad": Call(function, *filled)}
    path = tmp_path / "bad.pth"
    if form == "zip":
        save(path, content)
    else:
        path.write_bytes(
            b"".join(
                pickle.dumps(part, protocol=2)
                for part in (torch_files.LEGACY_MAGIC, 1001, {"little_endian": True}, content)
            )
        )
    with pytest.raises(InputError, match=f"bad.pth: it names .*{name}"):
        torch_files.read(path)
    assert not witness.exists()


def test_a_dotted_name_does_not_lead_out_of_an_admitted_class(tmp_path):
    # protocol 4 may ask for an attribute of an attribute
    code = b"\x80\x04\x8c\x08argparse\x8c\x12Namespace.__init__\x93."
    path = tmp_path / "dotted.pth"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("archive/data.pkl", code)
    with pytest.raises(InputError, match="argparse.Namespace.__init__"):
        torch_files.read(path)


def tensor_file(path: Path, *, count: int, size: tuple, stride: tuple, offset: int = 0) -> Path:
    """A hand-written torch file: a storage of `count` numbers, a tensor of any claimed shape."""

    def number(n: int) -> bytes:
        return b"J" + int(n).to_bytes(4, "little", signed=True)

    def numbers(values: tuple) -> bytes:
        return b"(" + b"".join(map(number, values)) + b"t"

    def text(value: str) -> bytes:
        return b"X" + len(value).to_bytes(4, "little") + value.encode()

    storage = (
        b"(" + text("storage") + b"ctorch\nFloatStorage\n" + text("0") + text("cpu")
        + number(count) + b"tQ"
    )  # fmt: skip
    code = (
        b"\x80\x02}" + text("a") + b"ctorch._utils\n_rebuild_tensor_v2\n("
        + storage + number(offset) + numbers(size) + numbers(stride) + b"\x89}tRs."
    )  # fmt: skip
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("archive/data.pkl", code)
        archive.writestr("archive/data/0", np.arange(6, dtype="<f4").tobytes())
    return path


def test_a_hand_written_tensor_reads(tmp_path):
    path = tensor_file(tmp_path / "good.bin", count=6, size=(2, 3), stride=(3, 1))
    np.testing.assert_array_equal(torch_files.read(path)["a"], [[0, 1, 2], [3, 4, 5]])


@pytest.mark.parametrize(
    "claim",
    [
        {"count": 6, "size": (2, 4), "stride": (3, 1)},
        {"count": 6, "size": (2, 3), "stride": (3, 1), "offset": 1},
        {"count": 6, "size": (2, 3), "stride": (1000, 1)},
        {"count": 6, "size": (2, 3), "stride": (-3, 1)},
        {"count": 6, "size": (2, 3), "stride": (3, 1), "offset": -1},
        {"count": 600, "size": (2, 3), "stride": (3, 1)},
        {"count": 6, "size": (2, 3), "stride": (3,)},
    ],
)
def test_a_tensor_that_reaches_past_its_storage_is_refused(tmp_path, claim):
    with pytest.raises(InputError, match="tensor|storage"):
        torch_files.read(tensor_file(tmp_path / "bad.bin", **claim))


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("share", [0.3, 0.9, 0.99])
def test_a_cut_file_is_one_clear_error(tmp_path, form, share):
    whole = (DATA / form).read_bytes()
    path = tmp_path / "cut.pth"
    path.write_bytes(whole[: int(share * len(whole))])
    with pytest.raises(InputError, match="cut.pth"):
        torch_files.read(path)


def test_what_is_no_torch_file_is_one_clear_error(tmp_path):
    path = tmp_path / "text.bin"
    for content in (b"", b"hello\n", pickle.dumps({"a": 1})):
        path.write_bytes(content)
        with pytest.raises(InputError, match="text.bin"):
            torch_files.read(path)


def test_a_file_without_named_tensors_is_refused(tmp_path):
    with pytest.raises(InputError, match="holds no tensors by name; its keys: step"):
        torch_files.read_tensors(save(tmp_path / "a.bin", {"step": 3}))
    with pytest.raises(InputError, match="holds a list"):
        torch_files.read_tensors(save(tmp_path / "b.bin", [1]))


def test_a_file_that_swaps_the_memory_behind_a_storage_is_refused(tmp_path):
    """BUILD may set attributes: a zero-stride array would pass for a gigabyte it does not have."""
    wide = np.lib.stride_tricks.as_strided(np.zeros(1, np.float32), (10**6,), (0,))
    storage = torch_files._Storage(np.float32, 1)
    storage.array = wide
    with pytest.raises(pickle.UnpicklingError, match="no flat array"):
        torch_files._tensor(storage, 0, (10**6,), (1,))


# Of DPR's file that scripts/reference/make_checkpoint_files.py wrote under omegaconf's names.
DPR = DATA / "checkpoints" / "dpr_biencoder.3"


def test_settings_of_omegaconf_are_read_without_the_package():
    content = torch_files.read(DPR)
    settings = content["encoder_params"]
    assert settings["do_lower_case"] is True
    assert isinstance(settings["encoder"], torch_files.Inert)
    said = {
        key: torch_files.setting(content, "encoder_params", "encoder", key)
        for key in ("pretrained_model_cfg", "sequence_length", "nothing")
    }
    assert said == {
        "pretrained_model_cfg": "bert-base-uncased", "sequence_length": 16, "nothing": None,
    }  # fmt: skip


def test_settings_of_a_namespace_and_of_nothing_are_read():
    content = torch_files.read(DATA / "checkpoints" / "tart_dual.pth")
    assert torch_files.setting(content, "opt", "retriever_model_id") == "bert-base-uncased"
    assert torch_files.setting(content, "opt") is None
    assert torch_files.setting(None, "opt", "pooling") is None


def test_tensors_under_model_dict_are_found():
    assert "question_model.embeddings.position_ids" in torch_files.read_tensors(DPR)


def raw(path: Path, code: bytes) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("archive/data.pkl", code)
    return path


@pytest.mark.parametrize(
    "name",
    [
        "omegaconf.dictconfig\nDictConfigs",
        "omegaconf.dictconfig\nDictConfig.__init__",
        "omegaconf.omegaconf\nOmegaConf",
        "omegaconf._utils\n_get_value",
        "omegaconf\nDictConfig",
        "typing\nget_type_hints",
        "collections\ndeque",
        "_operator\ngetitem",
    ],
)
def test_names_beside_the_admitted_ones_are_refused(tmp_path, name):
    with pytest.raises(InputError, match="it names .*which is not read here"):
        torch_files.read(raw(tmp_path / "bad.cp", b"\x80\x02c" + name.encode() + b"\n."))


def payload(kind: str, witness: Path) -> object:
    """A call that leaves a file, hidden in what a checkpoint carries."""
    call = Call(os.system, f"touch {witness}")
    code = f"__import__('pathlib').Path({str(witness)!r}).touch()"
    if kind == "opt":
        return {"model": {}, "opt": argparse.Namespace(lr=1.0, inner={"deep": [call]})}
    if kind == "optimizer":
        return {"model_dict": {}, "optimizer_dict": {"state": {0: (1, call)}}}
    if kind == "eval":
        return {"opt": argparse.Namespace(x=Call(eval, code))}
    return {"encoder_params": {"encoder": Call(exec, code)}}


@pytest.mark.parametrize("kind", ["opt", "optimizer", "eval", "encoder_params"])
def test_a_call_deep_inside_is_refused_before_anything_runs(tmp_path, kind):
    witness = tmp_path / "witness"
    path = save(tmp_path / "bad.pth", payload(kind, witness))
    with pytest.raises(InputError, match="it names (posix|__builtin__|builtins|nt)\\."):
        torch_files.read(path)
    assert not witness.exists()
    # the same file does run under pickle itself, or the test would show nothing
    with zipfile.ZipFile(path) as archive:
        pickle.loads(archive.read("archive/data.pkl"))
    assert witness.exists()


@pytest.mark.parametrize("module,name", [("argparse", "Namespace"), ("omegaconf.nodes", "AnyNode")])
def test_state_that_would_be_a_method_is_only_state(tmp_path, module, name):
    """BUILD may set attributes: __setstate__ = eval must not be called by a second BUILD."""

    def text(value: str) -> bytes:
        return b"X" + len(value).to_bytes(4, "little") + value.encode()

    witness = tmp_path / "witness"
    made = b"c" + module.encode() + b"\n" + name.encode() + b"\n)\x81"
    harmful = b"}" + text("__setstate__") + b"cbuiltins\neval\nsb" + text(f"open('{witness}','w')")
    with pytest.raises(InputError, match="it names builtins.eval"):
        torch_files.read(raw(tmp_path / "a.pth", b"\x80\x02" + made + harmful + b"b."))
    # with an admitted function in its place: a class of ours keeps no attributes of a file
    admitted = b"}" + text("__setstate__") + b"ctorch\nSize\nsb"
    content = torch_files.read(raw(tmp_path / "b.pth", b"\x80\x02" + made + admitted + b"."))
    if isinstance(content, torch_files.Inert):
        assert not hasattr(content, "__dict__")
        assert set(content.state) == {"__setstate__"}
    assert not witness.exists()


def test_a_default_factory_of_the_files_choice_is_dropped(tmp_path):
    code = b"\x80\x02ccollections\ndefaultdict\nc__builtin__\nlist\n\x85R."
    content = torch_files.read(raw(tmp_path / "a.pth", code))
    assert type(content) is dict and content == {}


def test_settings_that_contain_themselves_are_no_trap(tmp_path):
    node = b"comegaconf.dictconfig\nDictConfig\n)\x81q\x00}X\x08\x00\x00\x00_contenth\x00sb"
    content = torch_files.read(raw(tmp_path / "a.cp", b"\x80\x02" + node + b"."))
    assert torch_files.setting(content, "a", "b") is None
