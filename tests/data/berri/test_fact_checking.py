import io
import zipfile

import pytest

from tart_jax.data.berri.task import Instance, Text
from tart_jax.types import InputError

# As in SuperGLUE's `ReCoRD/train.jsonl`; FEVER has the layout tested in test_question_answering.
RECORD = r"""
{"source": "Daily mail", "passage": {"text": "The harrowing stories of women in Darfur.\n@highlight\nTara Newell visited Darfur\n@highlight\nShe is back", "entities": [{"start": 45, "end": 55}]}, "qas": [{"query": "The baby she gave birth to in @placeholder is her husband's.", "answers": [{"start": 34, "end": 39, "text": "Darfur"}, {"start": 90, "end": 95, "text": "Sudan"}], "idx": 0}, {"query": "@placeholder met @placeholder.", "answers": [{"text": "Tara"}], "idx": 1}, {"query": "No gap is in this statement.", "answers": [{"text": "Darfur"}], "idx": 2}, {"query": "Nobody knows @placeholder in tests.", "idx": 3}, {"query": "An answer like @placeholder is no text.", "answers": [{"text": ["Darfur"]}], "idx": 4}, {"query": "An answer like @placeholder is empty.", "answers": [{"text": ""}], "idx": 5}, {"answers": [{"text": "Darfur"}], "idx": 6}, {"query": "", "answers": [{"text": "Darfur"}], "idx": 7}], "idx": 0}
{"passage": {"text": "Rain\u0000 fell."}, "qas": [{"query": "It fell in @placeholder.", "answers": [{"text": "Ox\u0000ford"}]}], "idx": 1}
{"passage": {"text": ["Rain", "fell."]}, "qas": [{"query": "It fell in @placeholder.", "answers": [{"text": "York"}]}]}
{"passage": {"entities": []}, "qas": []}
{"qas": []}
{"passage": {"text": "No question is asked."}}
["no object"]
"""  # noqa: E501
NEWS = Text("The harrowing stories of women in Darfur.\nTara Newell visited Darfur\nShe is back")
INSTANCES = [
    Instance("train.jsonl:2.1", "The baby she gave birth to in Darfur is her husband's.", (NEWS,)),
    Instance("train.jsonl:2.2", "Tara met Tara.", (NEWS,)),
    Instance("train.jsonl:3.1", "It fell in Ox\0ford.", (Text("Rain\0 fell."),)),
]
DROPS = {
    "no @placeholder in query": 1,
    "no answers": 1,
    "answer is no text": 1,
    "empty answer": 1,
    "missing query": 1,
    "empty query": 1,
    "passage text is no text": 1,
    "missing passage text": 1,
    "missing passage": 2,
    "qas is no list": 1,
}


def zipped(**members: str) -> bytes:
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as file:
        for name, content in members.items():
            # At a set time: these bytes are a test's name, the same in every process that collects.
            file.writestr(zipfile.ZipInfo(f"ReCoRD/{name}.jsonl"), content)
    return archive.getvalue()


def test_record_statements_have_their_answer_put_in_and_find_the_news(converted):
    assert converted("record", {"train.jsonl": RECORD}) == (INSTANCES, DROPS)


def test_of_the_record_archive_only_the_training_file_is_read(converted):
    archive = zipped(train=RECORD, val=RECORD, test='{"passage": 1}\n')
    assert converted("record", {"ReCoRD.zip": archive}) == (INSTANCES, DROPS)


def test_another_answer_gives_another_statement(converted):
    kept, _ = converted("record", {"train.jsonl": RECORD.replace('"Tara"', '"Anna"')})
    assert [made != expected for made, expected in zip(kept, INSTANCES, strict=True)] == [
        False,
        True,
        False,
    ]


@pytest.mark.parametrize(
    "file, content, said",
    [
        ("train.jsonl", RECORD[: RECORD.index(" fell.")], r"train\.jsonl: line 3 is not JSON"),
        ("train.jsonl", b"\xff", r"train\.jsonl: line 1 or later is not UTF-8"),
        ("train.jsonl", "", r"train\.jsonl holds no record"),
        ("train.jsonl", '{"query": "q"}', r"train\.jsonl: line 1: missing passage"),
        ("ReCoRD.zip", zipped(val=RECORD), r"ReCoRD\.zip holds no member like"),
        ("ReCoRD.zip", zipped(train=RECORD)[:-40], r"ReCoRD\.zip is a broken zip archive"),
    ],
)
def test_a_broken_record_file_is_refused(converted, file, content, said):
    with pytest.raises(InputError, match=said):
        converted("record", {file: content})
