"""The key spaces of released checkpoints, and which of them a checkpoint is of."""

import dataclasses
from collections.abc import Iterable, Mapping
from typing import Literal

from tart_jax.types import InputError


@dataclasses.dataclass(frozen=True)
class Layout:
    """One way of naming tensors.

    marks: beginnings of keys; a checkpoint with a key of each is of this layout. towers: what
    stands before the encoder's own names, by our name of the tower. projections: the same of a
    linear layer after pooling, where there may be one. ignored: beginnings of keys that are known
    and not used. complete: whether our params hold all of it, so that it can be written.
    """

    name: str
    title: str
    marks: tuple[str, ...]
    towers: Mapping[str, str]
    projections: Mapping[str, str] = dataclasses.field(default_factory=dict)
    ignored: tuple[str, ...] = ()
    encoder: Literal["bert", "t5"] = "bert"
    cross: bool = False
    complete: bool = True


# In this order: the first whose marks are all there. `encoder.embeddings.` of the in-batch trainer
# must not be taken for `encoder.layer.` of a plain BERT: Contriever's own loader cut every
# "encoder." out of the names, and so loaded random weights without a word.
LAYOUTS = (
    Layout(
        "enc_t5",
        "TART-full: a T5 encoder with a classifier",
        ("encoder.block.", "classifier."),
        {"document": ""},
        encoder="t5",
        cross=True,
    ),
    Layout(
        "bert_classifier",
        "BertForSequenceClassification",
        ("bert.embeddings.", "classifier."),
        {"document": "bert."},
        cross=True,
    ),
    Layout(
        "moco",
        "Contriever's MoCo trainer, of which the query encoder is taken",
        ("encoder_q.", "encoder_k."),
        {"document": "encoder_q."},
        ignored=("encoder_k.", "queue"),
        complete=False,
    ),
    Layout(
        "bi_encoder",
        "TART's trainer with two towers",
        ("q_encoder.", "p_encoder."),
        {"query": "q_encoder.", "document": "p_encoder."},
    ),
    Layout(
        "dpr",
        "DPR's dpr_biencoder or .cp file",
        ("question_model.", "ctx_model."),
        {"query": "question_model.", "document": "ctx_model."},
        {"query": "question_model.encode_proj.", "document": "ctx_model.encode_proj."},
    ),
    Layout(
        "hf_dpr",
        "DPRQuestionEncoder and DPRContextEncoder",
        ("question_encoder.", "ctx_encoder."),
        {"query": "question_encoder.bert_model.", "document": "ctx_encoder.bert_model."},
        {"query": "question_encoder.encode_proj.", "document": "ctx_encoder.encode_proj."},
    ),
    Layout(
        "in_batch",
        "Contriever's in-batch trainer",
        ("encoder.embeddings.",),
        {"document": "encoder."},
    ),
    Layout(
        "t5_encoder",
        "T5EncoderModel, or a whole T5, of which the encoder is taken",
        ("encoder.block.",),
        {"document": ""},
        ignored=("decoder.", "lm_head."),
        encoder="t5",
    ),
    Layout("bert", "BertModel, Contriever or TART-dual", ("embeddings.",), {"document": ""}),
    Layout(
        "bert_pretraining",
        "BertForPreTraining or BertForMaskedLM",
        ("bert.embeddings.",),
        {"document": "bert."},
        ignored=("cls.",),
    ),
)
NAMES = {layout.name: layout for layout in LAYOUTS}


def detect(keys: Iterable[str], where: str, name: str = "") -> Layout:
    """The layout that a checkpoint's keys are of; name: the one that it must be.

    InputError: none fits, or not the one named; the message says what the keys look like.
    """
    keys = list(keys)
    fitting = next((layout for layout in LAYOUTS if not _absent(layout, keys)), None)
    if name and name not in NAMES:
        raise InputError(f"layout {name!r} is not known; there are {', '.join(NAMES)}.")
    if name and _absent(NAMES[name], keys):
        raise InputError(
            f"{where} is not of layout {name} ({NAMES[name].title}): no key begins with "
            f"{' or '.join(_absent(NAMES[name], keys))}; its keys, {_shown(keys)}, are of layout "
            f"{fitting.name if fitting else 'none that is known'}."
        )
    if name:
        return NAMES[name]
    if fitting is None:
        known = "; ".join(f"{x.name} ({' and '.join(x.marks)})" for x in LAYOUTS)
        raise InputError(
            f"{where}: its keys, {_shown(keys)}, are of no layout that is read here; these begin "
            f"with: {known}."
        )
    return fitting


def _absent(layout: Layout, keys: Iterable[str]) -> list[str]:
    return [mark for mark in layout.marks if not any(key.startswith(mark) for key in keys)]


def _shown(keys: list[str]) -> str:
    return ", ".join(keys[:3]) + (f" and {len(keys) - 3} more" if len(keys) > 3 else "")
