import gzip
import io
import zipfile

import pytest

from tart_jax.data.berri.task import Instance, Text
from tart_jax.types import InputError

# As in `cnn_dailymail.jsonl.gz` and `xsum.jsonl.gz`: (summary, article); `ccnews_title_text`:
# (title, article).
PAIRS = r"""["The ship left the port on Monday .", "LONDON -- A ship left\nthe port."]
["Short", "Rain\u0000 fell in the north."]
["The article is missing."]
["The article is a list.", ["Rain", "fell."]]
["The article is empty.", ""]
["There are three.", "A second text.", "A third text."]
["", "The summary is empty."]
[null, "The summary is missing."]
{"summary": "This is", "article": "an object."}
"""
REASONS = ("1 texts instead of 2", "3 texts instead of 2", "no list")


@pytest.mark.parametrize("task", ["cnn_dailymail", "ccnews"])
def test_a_summary_or_title_finds_its_article(converted, task):
    kept, dropped = converted(task, {"raw.jsonl.gz": gzip.compress(PAIRS.encode())})
    assert kept == [
        Instance(
            "raw.jsonl.gz:1",
            "The ship left the port on Monday .",
            (Text("LONDON -- A ship left\nthe port."),),
        ),
        Instance("raw.jsonl.gz:2", "Short", (Text("Rain\0 fell in the north."),)),
    ]
    assert dropped == {reason: 1 for reason in REASONS} | {
        "document is no text": 1,
        "empty document": 1,
        "empty query": 1,
        "missing query": 1,
    }


def test_an_xsum_article_finds_its_summary(converted):
    kept, dropped = converted("xsum", {"xsum.jsonl": PAIRS})
    assert kept == [
        Instance(
            "xsum.jsonl:1",
            "LONDON -- A ship left\nthe port.",
            (Text("The ship left the port on Monday ."),),
        ),
        Instance("xsum.jsonl:2", "Rain\0 fell in the north.", (Text("Short"),)),
    ]
    assert dropped == {reason: 1 for reason in REASONS} | {
        "query is no text": 1,
        "empty query": 1,
        "empty document": 1,
        "missing document": 1,
    }


@pytest.mark.parametrize("task", ["cnn_dailymail", "ccnews", "xsum"])
def test_a_broken_line_of_pairs_is_refused(converted, task):
    with pytest.raises(InputError, match=r"raw\.jsonl: line 2 is not JSON"):
        converted(task, {"raw.jsonl": PAIRS.replace('"Short",', '"Short"')})


# As in `org_data/train.src.txt` and `train.tgt.txt` of the Gigaword archive.
SOURCE = (
    "australia 's current account deficit shrunk by a record #.## billion dollars .\n"
    "at least two people were killed in the <unk> .\r\n"
    "rain\0 .\n"
    "\n"
    "no headline follows this line , which is long enough .\n"
    " \0 \n"
)
TARGET = "deficit narrows\ntwo killed\n\0rain\nlost its source\n\nlost as well\n"
GIGAWORD = [
    (
        "australia 's current account deficit shrunk by a record #.## billion dollars .",
        "deficit narrows",
    ),
    ("at least two people were killed in the <unk> .", "two killed"),
    ("rain\0 .", "\0rain"),
]


def gigaword_archive(**members: str) -> bytes:
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as file:
        for name, content in members.items():
            file.writestr(f"org_data/{name.replace('_', '.')}.txt", content)
    return archive.getvalue()


@pytest.mark.parametrize(
    "files",
    [
        {"train.src.txt": SOURCE, "train.tgt.txt": TARGET},
        {"train.tgt.txt": TARGET, "train.src.txt": SOURCE},
        {
            "ggw_data.zip": gigaword_archive(
                dev_src="x\n", dev_tgt="y\n", train_src=SOURCE, train_tgt=TARGET
            )
        },
    ],
)
def test_a_gigaword_line_finds_its_headline_whatever_the_order_of_the_files(converted, files):
    kept, dropped = converted("gigaword", files)
    assert kept == [
        Instance(f"train.src.txt:{number}", source, (Text(target),))
        for number, (source, target) in enumerate(GIGAWORD, start=1)
    ]
    assert dropped == {"empty query": 2, "empty document": 1}


@pytest.mark.parametrize(
    "files, said",
    [
        (
            {"train.src.txt": SOURCE, "train.tgt.txt": "deficit narrows\n"},
            r"train\.tgt\.txt ends after line 1, but .*train\.src\.txt goes on",
        ),
        (
            {"train.src.txt": SOURCE, "train.tgt.txt": TARGET + "one more\n"},
            r"train\.src\.txt ends after line 6, but .*train\.tgt\.txt goes on",
        ),
        ({"train.src.txt": SOURCE}, r"0 of these are named like '\*train\.tgt\.txt\*'"),
        ({"a.txt": SOURCE, "b.txt": TARGET}, r"0 of these are named like '\*train\.src\.txt\*'"),
        ({"ggw_data.zip": gigaword_archive(train_src=SOURCE)}, r"ggw_data\.zip holds no member"),
        (
            {"train.src.txt": SOURCE, "train.tgt.txt": b"\xff\n"},
            r"train\.tgt\.txt: line 1 or later is not UTF-8",
        ),
        ({"train.src.txt": "", "train.tgt.txt": ""}, r"train\.src\.txt holds no record"),
    ],
)
def test_gigaword_files_that_do_not_go_together_are_refused(converted, files, said):
    with pytest.raises(InputError, match=said):
        converted("gigaword", files)


# As in Multi-LexSum's `train.json`, one case a line.
CASES = r"""{"case_id": "EE-MD-0041", "case_documents": ["d1"], "summary/long": "This is a case about pay.\n\nIt was settled.", "summary/short": "A pay case.", "summary/tiny": "EEOC v. Store was settled."}
{"case_id": "b", "summary/long": null, "summary/short": "A short\u0000 one", "summary/tiny": "Pending."}
{"case_id": "c", "summary/long": "A case without a sentence about it.", "summary/short": null, "summary/tiny": null}
{"case_id": "d", "summary/long": "A case without a sentence about it.", "summary/short": "A case."}
{"case_id": "e", "summary/long": "", "summary/short": null, "summary/tiny": "Only a sentence."}
{"case_id": "f", "summary/long": ["a", "list"], "summary/tiny": "A list of paragraphs."}
{"case_id": "g", "summary/long": "A case with a list of sentences.", "summary/tiny": ["a", "list"]}
{"case_id": "h", "summary/long": "A case with an empty sentence.", "summary/tiny": ""}
"""  # noqa: E501


def test_the_summary_of_a_case_finds_the_sentence_about_it(converted):
    kept, dropped = converted("multilexsum", {"train.json": CASES})
    assert kept == [
        Instance(
            "train.json:1",
            "This is a case about pay.\n\nIt was settled.",
            (Text("EEOC v. Store was settled."),),
        ),
        Instance("train.json:2", "A short\0 one", (Text("Pending."),)),
    ]
    assert dropped == {
        "missing summary/tiny": 2,
        "missing long and short summary": 1,
        "summary/long is no text": 1,
        "summary/tiny is no text": 1,
        "empty summary/tiny": 1,
    }


def test_a_broken_case_is_refused(converted):
    with pytest.raises(InputError, match=r"train\.json: line 2 is not JSON"):
        converted("multilexsum", {"train.json": CASES.replace("Pending.", 'Pen"ding')})
