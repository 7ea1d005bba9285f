"""Paraphrases: AltLex, duplicate questions, compressed sentences, each from its raw layout."""

import gzip
import zipfile
from collections import Counter

import pytest

from tart_jax.data.berri import paraphrase
from tart_jax.data.berri.task import Dropped, Instance, Text
from tart_jax.types import InputError

CONVERT = {task.name: task.convert for task in paraphrase.TASKS}

ALTLEX = (
    "0\tThe tower was closed\tbecause\tof the storm .\tThe tower was shut\tdue to\tthe storm .\n"
    "1\t\tAfter\tthe war he moved .\tHe moved\tafter\t\n"
    "0\tonly\tfive\tcolumns\there\n"
    "0\ta\tb\tc\t\t \t\n"
    "1\t\t\x00\t\td\te\tf\n"
    "0\tNUL\x00\tstands\there\tand\tthere\x00\t.\n"
    "0\tShort\tas\tis\tShort\tis\tgood\n"
    "0\tA line that was cut after its second cell\n"
    "0\ta\tb\tc\td\te\tf\tg\n"
)


def split(made):
    made = list(made)
    kept = [thing for thing in made if not isinstance(thing, Dropped)]
    return kept, Counter(thing.reason for thing in made if isinstance(thing, Dropped))


def altlex_instances(file):
    return [
        Instance(
            f"{file}:1",
            "The tower was closed because of the storm .",
            (Text("The tower was shut due to the storm ."),),
        ),
        Instance(f"{file}:2", "After the war he moved .", (Text("He moved after"),)),
        Instance(f"{file}:6", "NUL\0 stands here", (Text("and there\0 ."),)),
        Instance(f"{file}:7", "Short as is", (Text("Short is good"),)),
    ]


ALTLEX_DROPS = {
    "5 columns instead of 7": 1, "empty simple sentence": 1, "empty English sentence": 1,
    "2 columns instead of 7": 1, "8 columns instead of 7": 1,
}  # fmt: skip


@pytest.mark.parametrize("packing", [bytes, gzip.compress])
def test_altlex_joins_the_words_of_each_sentence(tmp_path, packing):
    path = tmp_path / "altlex_train.tsv"
    path.write_bytes(packing(ALTLEX.encode()))
    kept, dropped = split(CONVERT["altlex"]((path,)))
    assert kept == altlex_instances("altlex_train.tsv")
    assert dropped == ALTLEX_DROPS
    path.write_bytes(packing(ALTLEX.replace("due to", "during").encode()))
    assert split(CONVERT["altlex"]((path,)))[0] != kept


def test_altlex_is_read_out_of_its_zip_archive_under_the_same_keys(tmp_path):
    path = tmp_path / "altlex_train.tsv.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("altlex_train.tsv", ALTLEX)
        archive.writestr("__MACOSX/._altlex_train.tsv", "\0\5\x16\7")
    kept, dropped = split(CONVERT["altlex"]((path,)))
    assert kept == altlex_instances("altlex_train.tsv")
    assert dropped == ALTLEX_DROPS


def test_altlex_pairs_as_json_lines_are_read_too(tmp_path):
    path = tmp_path / "altlex.jsonl.gz"
    lines = '["An English sentence .", "A simple sentence ."]\n["alone"]\n["a", ["b"]]\n'
    path.write_bytes(gzip.compress(lines.encode()))
    kept, dropped = split(CONVERT["altlex"]((path,)))
    assert kept == [
        Instance("altlex.jsonl.gz:1", "An English sentence .", (Text("A simple sentence ."),))
    ]
    assert dropped == {"1 texts instead of 2": 1, "simple sentence is no text": 1}


def test_an_altlex_file_of_five_columns_is_refused_with_file_and_line(tmp_path):
    path = tmp_path / "altlex_train.tsv"
    path.write_text("0\ta\tb\tc\td\n" * 5)
    message = r"altlex_train\.tsv: line 1: 5 columns instead of 7; none of the 5 records"
    with pytest.raises(InputError, match=message):
        list(CONVERT["altlex"]((path,)))


@pytest.mark.parametrize(
    ("file", "lines"), [("altlex_train", 43_448), ("altlex_train_bootstrapped", 50_372)]
)
def test_every_real_altlex_record_is_an_instance(test_data, file, lines):
    path = test_data / "berri-pieces" / f"{file}.tsv.gz"
    kept, dropped = split(CONVERT["altlex"]((path,)))
    assert (len(kept), dropped) == (lines, {})
    assert sum(len(instance.query) < 20 for instance in kept) == {43_448: 5, 50_372: 6}[lines]
    same = sum(instance.query == instance.positives[0].text for instance in kept)
    assert same == {43_448: 12_707, 50_372: 14_798}[lines]


def test_the_annotated_altlex_files_of_four_columns_are_refused(test_data):
    path = test_data / "berri-pieces" / "altlex_dev.tsv.gz"
    with pytest.raises(InputError, match=r"line 1: 4 columns instead of 7; none of the 489"):
        list(CONVERT["altlex"]((path,)))


PAIRS = r"""["%s", "%s"]
["no document"]
["a document that is a list", ["text"]]
[7, "a query that is a number"]
["", "a document without a query"]
["NUL \u0000 inside", "and \u0000 inside"]
["brief", "Short queries are left out later."]
"""


@pytest.mark.parametrize(
    ("task", "file", "query", "document"),
    [
        ("stackexchange_title_title", "stackexchange_duplicate_questions_title_title.jsonl.gz",
         "How to exit vim?", "How do I quit the vi editor?"),
        ("stackexchange_body_body",
         "stackexchange_duplicate_questions_title-body_title-body.jsonl.gz",
         "Exit vim I typed q. It did not help.", "Quit vi How does one leave it?"),
        ("sentence_compression", "sentence-compression.jsonl.gz",
         "The mayor, who took office in May, resigned on Friday.", "The mayor resigned."),
    ],
)  # fmt: skip
def test_pairs_go_from_the_first_text_to_the_second(tmp_path, task, file, query, document):
    path = tmp_path / file
    path.write_bytes(gzip.compress((PAIRS % (query, document)).encode()))
    kept, dropped = split(CONVERT[task]((path,)))
    expected = [
        Instance(f"{file}:1", query, (Text(document),)),
        Instance(f"{file}:6", "NUL \0 inside", (Text("and \0 inside"),)),
        Instance(f"{file}:7", "brief", (Text("Short queries are left out later."),)),
    ]
    assert kept == expected
    assert dropped == {
        "1 texts instead of 2": 1, "document is no text": 1, "query is no text": 1,
        "empty query": 1,
    }  # fmt: skip
    path.write_bytes(gzip.compress((PAIRS % (document, query)).encode()))
    assert split(CONVERT[task]((path,)))[0] != expected


def test_the_tasks_are_those_of_table_5_but_for_body_to_body():
    assert {task.name: task.number for task in paraphrase.TASKS} == {
        "altlex": 1, "stackexchange_title_title": 2, "stackexchange_body_body": None,
        "sentence_compression": 16,
    }  # fmt: skip
