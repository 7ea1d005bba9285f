"""AG News and NPR: from a headline to its news, from the raw layouts."""

import gzip
from collections import Counter

import pytest

from tart_jax.data.berri import headlines
from tart_jax.data.berri.task import Dropped, Instance, Text
from tart_jax.types import InputError

CONVERT = {task.name: task.convert for task in headlines.TASKS}


def split(made):
    made = list(made)
    kept = [thing for thing in made if not isinstance(thing, Dropped)]
    return kept, Counter(thing.reason for thing in made if isinstance(thing, Dropped))


def test_the_tasks_are_9_and_10_of_table_5():
    assert {task.name: task.number for task in headlines.TASKS} == {"agnews": 9, "npr": 10}


AGNEWS = """"3","Oil hits a ""record"" high, again (Reuters)","Reuters - Prices rose,
traders said on Friday."
"4","Title alone"
"1","","No title"
"2","No description"," "
"2","Cup final","A short title is left out later."
"2","NUL \x00 in the title","NUL \x00 in the text"
"4","One","cell","too many"
"""


@pytest.mark.parametrize("header", ["", "Class Index,Title,Description\n"])
def test_agnews_csv_goes_from_the_title_to_the_description(tmp_path, header):
    path = tmp_path / "ag_news_train.csv"
    path.write_text(header + AGNEWS)
    kept, dropped = split(CONVERT["agnews"]((path,)))
    more = 1 if header else 0
    expected = [
        Instance(
            f"ag_news_train.csv:{2 + more}",
            'Oil hits a "record" high, again (Reuters)',
            (Text("Reuters - Prices rose,\ntraders said on Friday."),),
        ),
        Instance(
            f"ag_news_train.csv:{6 + more}",
            "Cup final",
            (Text("A short title is left out later."),),
        ),
        Instance(
            f"ag_news_train.csv:{7 + more}",
            "NUL \0 in the title",
            (Text("NUL \0 in the text"),),
        ),
    ]
    assert kept == expected
    drops = {
        "2 columns instead of 3": 1, "empty title": 1, "empty description": 1,
        "4 columns instead of 3": 1,
    }  # fmt: skip
    assert dropped == (drops | {"header": 1} if header else drops)
    path.write_text(header + AGNEWS.replace("Friday", "Monday"))
    assert split(CONVERT["agnews"]((path,)))[0] != expected


def test_agnews_objects_and_pairs_are_read_as_json_lines(tmp_path):
    raw = r"""{"label": "3", "title": "Oil hits a record", "description": "Prices rose."}
["Oil falls", "Prices fell."]
{"label": "3", "title": "No description"}
{"label": "3", "title": ["a", "list"], "description": "text"}
{"label": "3", "title": "", "description": "text"}
{"label": "3", "title": "a list of texts", "description": ["one", "two"]}
["a", "b", "c"]
"""
    path = tmp_path / "agnews.jsonl.gz"
    path.write_bytes(gzip.compress(raw.encode()))
    kept, dropped = split(CONVERT["agnews"]((path,)))
    assert kept == [
        Instance("agnews.jsonl.gz:1", "Oil hits a record", (Text("Prices rose."),)),
        Instance("agnews.jsonl.gz:2", "Oil falls", (Text("Prices fell."),)),
    ]
    assert dropped == {
        "missing description": 1, "title is no text": 1, "empty title": 1,
        "description is no text": 1, "3 texts instead of 2": 1,
    }  # fmt: skip


def test_every_real_agnews_record_is_an_instance(test_data):
    path = test_data / "berri-pieces" / "ag_news_test.jsonl.gz"
    kept, dropped = split(CONVERT["agnews"]((path,)))
    assert (len(kept), dropped) == (7600, {})
    assert kept[0] == Instance(
        "ag_news_test.jsonl.gz:1",
        "Fears for T N pension after talks",
        (
            Text(
                "Unions representing workers at Turner   Newall say they are 'disappointed'"
                " after talks with stricken parent firm Federal Mogul."
            ),
        ),
    )


def test_an_agnews_csv_of_two_columns_or_with_an_open_quote_is_refused(tmp_path):
    path = tmp_path / "ag_news_train.csv"
    path.write_text('"3","title"\n"4","title"\n')
    with pytest.raises(InputError, match=r"train\.csv: line 1: 2 columns instead of 3; none of"):
        list(CONVERT["agnews"]((path,)))
    path.write_text('"3","title","text"\n"4","title","text\n')
    with pytest.raises(InputError, match=r"train\.csv: line 2 is not CSV"):
        list(CONVERT["agnews"]((path,)))


def test_npr_goes_from_the_title_to_the_body(tmp_path):
    raw = r"""["Storm Delays a Satellite's Launch", "It was put off.\nA storm was near."]
["Title alone"]
["Title of a list", ["first paragraph", "second paragraph"]]
["", "A body without a title"]
["A title without a body", ""]
["Song of the Day", "A short title is left out later."]
["NUL \u0000 in the title", "NUL \u0000 in the body"]
{"title": "An object", "body": "where a pair is due"}
"""
    path = tmp_path / "npr.jsonl.gz"
    path.write_bytes(gzip.compress(raw.encode()))
    kept, dropped = split(CONVERT["npr"]((path,)))
    assert kept == [
        Instance(
            "npr.jsonl.gz:1",
            "Storm Delays a Satellite's Launch",
            (Text("It was put off.\nA storm was near."),),
        ),
        Instance("npr.jsonl.gz:6", "Song of the Day", (Text("A short title is left out later."),)),
        Instance("npr.jsonl.gz:7", "NUL \0 in the title", (Text("NUL \0 in the body"),)),
    ]
    assert dropped == {
        "1 texts instead of 2": 1, "document is no text": 1, "empty query": 1,
        "empty document": 1, "no list": 1,
    }  # fmt: skip
