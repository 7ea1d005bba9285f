"""Class towers: the table of classes, stacking and choosing, the folders on disk."""

import numpy as np
import pytest

from tart_jax.models import class_towers, pretrained
from tart_jax.types import InputError

CLASSES = {"qa": ("nq", "triviaqa"), "claims": ("fever",)}


def test_words_name_classes_and_their_tasks():
    assert class_towers.parse(("qa=nq,triviaqa", "claims=fever")) == CLASSES
    assert class_towers.numbers(CLASSES) == {"nq": 0, "triviaqa": 0, "fever": 1}


@pytest.mark.parametrize(
    "words, said",
    [
        (("qa",), "should look like"),
        (("qa=",), "should look like"),
        (("qa=nq", "qa=fever"), "each class once"),
        (("qa=nq", "b=nq"), "'nq' is in two classes"),
    ],
)
def test_other_words_are_told(words, said):
    with pytest.raises(InputError, match=said):
        class_towers.parse(words)


def test_a_class_is_what_was_stacked_at_its_place():
    params = {"document": {"w": np.ones(3)}, "query": {0: {"w": np.arange(3.0)}}}
    stacked = class_towers.stack(params, 2)
    assert stacked["query"][0]["w"].shape == (2, 3)
    stacked["query"][0]["w"][1] += 5
    np.testing.assert_array_equal(class_towers.select(stacked, 1)["query"][0]["w"], [5, 6, 7])
    assert class_towers.select(stacked, 0)["document"] is params["document"]


def test_a_folder_of_classes_gives_a_tasks_model_and_is_not_taken_for_one(tmp_path, tiny_model):
    class_towers.write(tmp_path, CLASSES)
    assert class_towers.folder_of(tmp_path, "fever") == str(tmp_path / "claims")
    assert class_towers.folder_of(tiny_model, "fever") == str(tiny_model)
    with pytest.raises(InputError, match="no tower for the task 'wow'"):
        class_towers.folder_of(tmp_path, "wow")
    with pytest.raises(InputError, match="a model for each class of tasks: qa, claims; name one"):
        pretrained.load(tmp_path)
