"""Hugging Face data sets, where the package is installed; the message where it is not."""

import importlib.util

import pytest

from tart_jax.data.exchange import hf
from tart_jax.types import InputError


def test_without_the_package_one_sentence_says_how_to_get_it(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "datasets", None)  # import then fails
    with pytest.raises(InputError, match="someone/pairs: .* pip install datasets"):
        list(hf.read("someone/pairs", task="t"))


if importlib.util.find_spec("datasets"):

    def test_a_folder_of_save_to_disk_is_read(tmp_path):
        import datasets

        datasets.Dataset.from_dict({"q": ["oak"], "p": ["a tree"]}).save_to_disk(tmp_path / "d")
        (item,) = hf.read(tmp_path / "d", task="t")
        assert (item.example.query, item.example.positives[0].text) == ("oak", "a tree")
