import gzip
import io
import json
import zipfile

import pytest

from tart_jax.data.berri.task import Dropped, Instance, Text
from tart_jax.data.berri.tasks import TASKS
from tart_jax.types import InputError

# As in `SciTLDR-A/train.jsonl`.
SCITLDR = r"""{"source": ["We study loss functions.", "They have critical points. "], "source_labels": [0, 1], "rouge_scores": [0.3, 0.4], "paper_id": "SysEexbRb", "target": ["Critical points are found.", "A study of losses."], "title": "Critical Points"}
{"source": ["Bees\u0000.", " ", "\n"], "paper_id": "B1", "target": ["On bees."], "title": "Bees"}
{"source": ["A paper that has no id of its own."], "target": ["It is known by its line."]}
{"source": "An abstract that is one text.", "paper_id": "a", "target": ["One text."]}
{"source": ["A target that is one text."], "paper_id": "b", "target": "One text."}
{"source": ["A sentence, then a number.", 7], "paper_id": "c", "target": ["A number."]}
{"source": ["A target that is missing."], "paper_id": "d"}
{"source": ["A target without a text."], "paper_id": "e", "target": []}
{"source": ["A target with an empty text."], "paper_id": "f", "target": [""]}
{"source": [], "paper_id": "g", "target": ["No sentence."]}
{"source": ["\u0000"], "paper_id": "h", "target": ["An empty sentence."]}
{"paper_id": "i", "target": ["No source."]}
["no object"]
"""  # noqa: E501
SCITLDR_INSTANCES = [
    Instance(
        "SysEexbRb",
        "We study loss functions. They have critical points.",
        (Text("Critical points are found."), Text("A study of losses.")),
    ),
    Instance("B1", "Bees\0.", (Text("On bees."),)),
    Instance(
        "train.jsonl:3",
        "A paper that has no id of its own.",
        (Text("It is known by its line."),),
    ),
]


def test_an_abstract_of_scitldr_finds_its_tldrs(converted):
    kept, dropped = converted("scitldr", {"train.jsonl": SCITLDR})
    assert kept == SCITLDR_INSTANCES
    assert dropped == {
        "source is no list of texts": 2,
        "target is no list": 1,
        "missing target": 1,
        "empty target": 2,
        "empty source": 2,
        "missing source": 2,
    }


def test_another_sentence_gives_another_abstract(converted):
    kept, _ = converted("scitldr", {"train.jsonl": SCITLDR.replace("We study", "We know")})
    assert kept != SCITLDR_INSTANCES


@pytest.mark.parametrize(
    "split, papers, summaries", [("train", 1992, 1992), ("dev", 619, 1453), ("test", 618, 1967)]
)
def test_every_real_paper_of_scitldr_is_read(test_data, split, papers, summaries):
    path = test_data / "berri-pieces" / f"scitldr_a.{split}.jsonl.gz"
    made = list(TASKS["scitldr"].convert((path,)))
    with gzip.open(path, "rt", encoding="utf-8") as file:
        lines = [json.loads(line) for line in file]
    assert len(made) == len(lines) == papers
    assert {one.key: [text.text for text in one.positives] for one in made} == {
        line["paper_id"]: line["target"] for line in lines
    }
    assert sum(len(one.positives) for one in made) == summaries
    for one, line in zip(made, lines, strict=True):
        assert one.query.split() == " ".join(line["source"]).split()


# As in `ori_pqal.json`.
PUBMEDQA = r"""{
    "21645374": {
        "QUESTION": "Do mitochondria play a role in lace plant leaves?",
        "CONTEXTS": ["Cells die.", "We watched mitochondria."],
        "LABELS": ["BACKGROUND", "RESULTS"],
        "MESHES": ["Plants"],
        "final_decision": "yes",
        "LONG_ANSWER": "They do."
    },
    "2": {"QUESTION": "Is it\u0000?", "CONTEXTS": ["It\u0000 is."], "LABELS": []},
    "3": {"CONTEXTS": ["No question."]},
    "4": {"QUESTION": ["A", "list?"], "CONTEXTS": ["A list of questions."]},
    "5": {"QUESTION": "", "CONTEXTS": ["An empty question."]},
    "6": {"QUESTION": "Is the abstract one text?", "CONTEXTS": "It is one text."},
    "7": {"QUESTION": "Is the abstract empty?", "CONTEXTS": []},
    "8": {"QUESTION": "Is the abstract missing?"},
    "9": {"QUESTION": "Is a part of the abstract empty?", "CONTEXTS": ["Part.", ""]},
    "10": "no object"
}
"""
# The same papers, one a line.
PUBMEDQA_LINES = r"""{"pmid": "21645374", "QUESTION": "Do mitochondria play a role in lace plant leaves?", "CONTEXTS": ["Cells die.", "We watched mitochondria."], "LABELS": ["BACKGROUND", "RESULTS"], "final_decision": "yes"}
{"pmid": 2, "QUESTION": "Is it\u0000?", "CONTEXTS": ["It\u0000 is."], "LABELS": []}
{"pmid": "3", "CONTEXTS": ["No question."]}
{"pmid": "4", "QUESTION": ["A", "list?"], "CONTEXTS": ["A list of questions."]}
{"pmid": "5", "QUESTION": "", "CONTEXTS": ["An empty question."]}
{"pmid": "6", "QUESTION": "Is the abstract one text?", "CONTEXTS": "It is one text."}
{"pmid": "7", "QUESTION": "Is the abstract empty?", "CONTEXTS": []}
{"pmid": "8", "QUESTION": "Is the abstract missing?"}
{"pmid": "9", "QUESTION": "Is a part of the abstract empty?", "CONTEXTS": ["Part.", ""]}
"no object"
"""  # noqa: E501


@pytest.mark.parametrize(
    "content",
    [
        PUBMEDQA,
        PUBMEDQA_LINES,
        gzip.compress(PUBMEDQA.encode(), mtime=0),
        " ".join(PUBMEDQA.split("\n")),
    ],
)
def test_a_question_of_pubmedqa_finds_its_abstract(converted, content):
    kept, dropped = converted("pubmedqa", {"ori_pqal.json": content})
    assert kept == [
        Instance(
            "21645374",
            "Do mitochondria play a role in lace plant leaves?",
            (Text("Cells die. We watched mitochondria."),),
        ),
        Instance("2", "Is it\0?", (Text("It\0 is."),)),
    ]
    assert dropped == {
        "missing QUESTION": 1,
        "QUESTION is no text": 1,
        "empty QUESTION": 1,
        "CONTEXTS is no list": 1,
        "empty CONTEXTS": 2,
        "missing CONTEXTS": 1,
        "no object": 1,
    }


def test_every_real_paper_of_pubmedqa_is_read(test_data):
    path = test_data / "berri-pieces" / "pubmedqa_pqal.jsonl.gz"
    made = list(TASKS["pubmedqa"].convert((path,)))
    with gzip.open(path, "rt", encoding="utf-8") as file:
        lines = [json.loads(line) for line in file]
    assert len(made) == len(lines) == 1000
    assert not any(isinstance(one, Dropped) for one in made)
    assert {one.key: one.query for one in made} == {
        line["pmid"]: line["QUESTION"] for line in lines
    }
    assert [len(one.positives[0].text) for one in made] == [
        sum(map(len, line["CONTEXTS"])) + len(line["CONTEXTS"]) - 1 for line in lines
    ]


@pytest.mark.parametrize(
    "content, said",
    [
        (PUBMEDQA[: PUBMEDQA.index('"4"')], r"pqal\.json: what follows record 2 is not JSON"),
        (PUBMEDQA_LINES.replace('"pmid": 2', '"pmid": '), r"pqal\.json: line 2 is not JSON"),
        (b"\xff" + PUBMEDQA_LINES.encode(), r"pqal\.json: line 1 or later is not UTF-8"),
        (
            gzip.compress(PUBMEDQA.encode(), mtime=0)[:-9],
            r"pqal\.json: what follows record .* ended before",
        ),
        (
            gzip.compress(PUBMEDQA_LINES.encode(), mtime=0)[:-9],
            r"pqal\.json: the gzip stream ends early",
        ),
        (gzip.compress(b"", mtime=0)[:5], r"pqal\.json: the gzip stream ends early"),
        (PUBMEDQA.encode().replace(b"Cells", b"Ce\xff"), r"pqal\.json: what follows record 0 is"),
        ("{}", r"pqal\.json: line 1: missing QUESTION"),
    ],
)
def test_a_broken_pubmedqa_file_is_refused(converted, content, said):
    with pytest.raises(InputError, match=said):
        converted("pubmedqa", {"ori_pqal.json": content})


# As in MedMCQA's `train.json`.
MEDMCQA = r"""{"question": "Chronic urethral obstruction can lead to which change in kidney?", "exp": "It leads to hydronephrosis.", "cop": 3, "opa": "Hyperplasia", "opb": "Hypertrophy", "opc": "Atrophy", "opd": "Dysplasia", "subject_name": "Anatomy", "topic_name": "Tract", "id": "e9ad821a", "choice_type": "single"}
{"question": "Vitamin?", "exp": "B\u000012", "cop": 1, "id": "b"}
{"question": "Which question has no explanation?", "exp": null, "cop": 1, "id": "c"}
{"question": "Which question has no explanation field?", "cop": 1, "id": "d"}
{"question": "Which question has an empty explanation?", "exp": "", "cop": 1, "id": "e"}
{"question": "Which explanation is a list?", "exp": ["a", "list"], "cop": 1, "id": "f"}
{"question": ["Which", "list?"], "exp": "A list of questions.", "cop": 1, "id": "g"}
{"exp": "No question.", "cop": 1, "id": "h"}
"""  # noqa: E501
MEDMCQA_FOUND = (
    [
        Instance(
            "e9ad821a",
            "Chronic urethral obstruction can lead to which change in kidney?",
            (Text("It leads to hydronephrosis."),),
        ),
        Instance("b", "Vitamin?", (Text("B\x0012"),)),
    ],
    {
        "missing exp": 2,
        "empty exp": 1,
        "exp is no text": 1,
        "question is no text": 1,
        "missing question": 1,
    },
)


def test_an_exam_question_of_medmcqa_finds_the_explanation(converted):
    assert converted("medmcqa", {"data.zip": MEDMCQA}) == MEDMCQA_FOUND


def test_of_the_medmcqa_archive_only_the_training_file_is_read(converted):
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as file:
        file.writestr("data/test.json", '{"question": "Hidden?"}\n')
        file.writestr("data/train.json", MEDMCQA)
        file.writestr("data/dev.json", MEDMCQA.replace("kidney", "liver"))
    assert converted("medmcqa", {"data.zip": archive.getvalue()}) == MEDMCQA_FOUND


def test_a_broken_line_of_medmcqa_is_refused(converted):
    with pytest.raises(InputError, match=r"train\.json: line 2 is not JSON"):
        converted("medmcqa", {"train.json": MEDMCQA.replace('"Vitamin?"', "Vitamin?")})


# As in `data-1024/train.source` and `train.target`.
COMPLEX = "We included 11 randomised trials of antibiotics.\nTrials\0.\n\nNo target.\n"
SIMPLE = "Eleven studies looked at antibiotics.\nStudies.\nNo source.\n \n"


def test_a_medical_text_finds_its_simple_words(converted):
    kept, dropped = converted(
        "medical_simplification", {"train.source": COMPLEX, "train.target": SIMPLE}
    )
    assert kept == [
        Instance(
            "train.source:1",
            "We included 11 randomised trials of antibiotics.",
            (Text("Eleven studies looked at antibiotics."),),
        ),
        Instance("train.source:2", "Trials\0.", (Text("Studies."),)),
    ]
    assert dropped == {"empty query": 1, "empty document": 1}


def test_medical_files_of_different_length_are_refused(converted):
    with pytest.raises(InputError, match=r"train\.target ends after line 1, but .*train\.source"):
        converted("medical_simplification", {"train.source": COMPLEX, "train.target": "Eleven.\n"})
