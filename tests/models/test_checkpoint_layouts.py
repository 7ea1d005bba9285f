"""Every released layout is told by its keys, and a wrong name is answered with what differs."""

import json
from pathlib import Path

import numpy as np
import pytest

from tart_jax.models.checkpoint_layouts import LAYOUTS, NAMES, detect
from tart_jax.types import InputError

# Written by scripts/reference/make_checkpoint_files.py
DATA = Path(__file__).parent / "data" / "checkpoints"
FILES = {
    "tart_dual.pth": "bert",
    "sharded": "bert",
    "moco.pth": "moco",
    "in_batch.pth": "in_batch",
    "bi_encoder.pth": "bi_encoder",
    "dpr_biencoder.3": "dpr",
    "projected.cp": "dpr",
    "bert_classifier.bin": "bert_classifier",
    "enc_t5.bin": "enc_t5",
}


def keys_of(*names: str) -> list[str]:
    with np.load(DATA / "expected.npz") as file:
        return [key for name in names for key in json.loads(str(file[f"{name}/keys"]))]


@pytest.mark.parametrize("name,layout", FILES.items())
def test_a_checkpoint_is_told_by_its_keys(name, layout):
    keys = keys_of(name)
    assert detect(keys, name).name == layout
    assert detect(keys[::-1], name, layout).name == layout


def test_the_rest_of_the_layouts_are_told_too():
    pair = keys_of("question_encoder.bin", "ctx_encoder.bin")
    assert detect(pair, "pair").name == "hf_dpr"
    bert = [f"bert.{key}" for key in keys_of("sharded")]
    assert detect([*bert, "cls.predictions.bias"], "mlm").name == "bert_pretraining"
    t5 = [key for key in keys_of("enc_t5.bin") if not key.startswith("classifier")]
    assert detect(t5, "t5").name == "t5_encoder"
    told = {*FILES.values(), "hf_dpr", "bert_pretraining", "t5_encoder"}
    assert told == set(NAMES)  # a new layout wants its line here


def test_no_checkpoint_fits_two_names_of_towers():
    """What Contriever's loader got wrong: `encoder.` is a prefix in one, a part of BERT in two."""
    for name in FILES:
        keys = keys_of(name)
        layout = detect(keys, name)
        others = [x for x in LAYOUTS if all(any(k.startswith(m) for k in keys) for m in x.marks)]
        # a classifier's encoder could be read alone; nothing else is ambiguous
        assert {x.cross for x in others} <= {True, False} and others[0] is layout
        assert len([x for x in others if x.cross == layout.cross]) == 1


def test_a_wrong_name_is_answered_with_what_differs():
    with pytest.raises(
        InputError,
        match=r"moco.pth is not of layout dpr .*no key begins with question_model\. or ctx_model\.;"
        r" its keys, queue, .*, are of layout moco",
    ):
        detect(["queue", *keys_of("moco.pth")], "moco.pth", "dpr")
    with pytest.raises(InputError, match="are of layout none that is known"):
        detect(["weight"], "x", "bert")
    with pytest.raises(InputError, match="layout 'tart' is not known; there are enc_t5, bert_"):
        detect(["embeddings.a"], "x", "tart")


def test_unknown_keys_are_an_error_that_shows_them_and_what_is_known():
    keys = ["roberta.a", "roberta.b", "roberta.c", "roberta.d"]
    with pytest.raises(InputError, match="roberta.a, roberta.b, roberta.c and 1 more.*dpr .questi"):
        detect(keys, "x.bin")
