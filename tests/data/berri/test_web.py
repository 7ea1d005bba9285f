"""Question answering from the web and from forums: each task from a raw file of its source."""

import gzip
from collections import Counter

import pytest

from tart_jax.data.berri import web
from tart_jax.data.berri.task import Dropped, Instance, Text
from tart_jax.types import InputError

CONVERT = {task.name: task.convert for task in web.TASKS}


def packed(path, text):
    path.write_bytes(gzip.compress(text.encode()))
    return (path,)


def split(made):
    made = list(made)
    kept = [thing for thing in made if not isinstance(thing, Dropped)]
    return kept, Counter(thing.reason for thing in made if isinstance(thing, Dropped))


def test_the_tasks_are_those_of_table_5_and_only_msmarco_has_no_cap():
    assert {task.name: task.number for task in web.TASKS} == {
        "stackexchange_query_answer": 3, "yahoo_answers": 4, "msmarco": 5, "eli5": 6,
        "wikihow": 7, "searchqa": 8, "paq": 15,
    }  # fmt: skip
    assert {task.name for task in web.TASKS if task.cap is None} == {"msmarco"}


def test_stackexchange_titles_ask_for_the_best_voted_answer(tmp_path):
    raw = r"""["Why does my sourdough starter smell?", "It is hungry.\nFeed it twice a day."]
{"texts": ["How do I sharpen a bread knife?", "With a tapered rod."], "tags": ["knives"]}
["A title without an answer"]
["A title", "an answer", "and a third text"]
["A title", ["an answer", "in a list"]]
{"title": "Another layout", "answer": "altogether"}
["Why?", "Short titles are left out later."]
["A title with \u0000 in it", "An answer with \u0000 in it"]
["", "An answer to nothing"]
"""
    name = "cooking.stackexchange.com.jsonl.gz"
    kept, dropped = split(CONVERT["stackexchange_query_answer"](packed(tmp_path / name, raw)))
    assert kept == [
        Instance(
            f"{name}:1",
            "Why does my sourdough starter smell?",
            (Text("It is hungry.\nFeed it twice a day."),),
        ),
        Instance(f"{name}:2", "How do I sharpen a bread knife?", (Text("With a tapered rod."),)),
        Instance(f"{name}:7", "Why?", (Text("Short titles are left out later."),)),
        Instance(f"{name}:8", "A title with \0 in it", (Text("An answer with \0 in it"),)),
    ]
    assert dropped == {
        "1 texts instead of 2": 1, "3 texts instead of 2": 1, "answer is no text": 1,
        "no list": 1, "empty title": 1,
    }  # fmt: skip


PAIRS = r"""["%s", "%s"]
["no document"]
["a document of %s that is a list", ["text", "text"]]
["", "a document without a query"]
["a document that is blank", " \n\t"]
["NUL \u0000 inside", "and \u0000 inside"]
["brief", "Short queries are left out later."]
{"query": "an object", "answer": "where a pair is due"}
"""


@pytest.mark.parametrize(
    ("task", "file", "query", "document"),
    [
        ("yahoo_answers", "yahoo_answers_title_answer.jsonl.gz",
         "What is the best way to get rid of moths?", "Cedar wood, and wash the wool."),
        ("eli5", "eli5_question_answer.jsonl.gz",
         "Why is the sky blue but the sunset red?", "Short waves scatter more."),
        ("wikihow", "wikihow.jsonl.gz",
         "Fold a Fitted Sheet", "A fitted sheet has four pockets. Put your hands in two of them."),
        ("paq", "PAQ_pairs.jsonl.gz",
         "who wrote the overture to candide", "Candide (operetta) Bernstein wrote the overture."),
    ],
)  # fmt: skip
def test_pairs_go_from_the_first_text_to_the_second(tmp_path, task, file, query, document):
    raw = PAIRS % (query, document, task)
    kept, dropped = split(CONVERT[task](packed(tmp_path / file, raw)))
    expected = [
        Instance(f"{file}:1", query, (Text(document),)),
        Instance(f"{file}:6", "NUL \0 inside", (Text("and \0 inside"),)),
        Instance(f"{file}:7", "brief", (Text("Short queries are left out later."),)),
    ]
    assert kept == expected
    assert dropped == {
        "1 texts instead of 2": 1, "document is no text": 1, "empty query": 1,
        "empty document": 1, "no list": 1,
    }  # fmt: skip
    other = PAIRS % (document, query, task)
    assert split(CONVERT[task](packed(tmp_path / file, other)))[0] != expected


def test_msmarco_negatives_are_hard_negatives(tmp_path):
    raw = r"""{"query": "how long do owls live", "pos": ["50 years.", "80."], "neg": ["Egg"]}
["what is a corporation", "A corporation is a company.", "A cooperative is its members'."]
{"query": "no positive at all", "pos": [], "neg": ["n"]}
{"query": "no positive field", "neg": ["n"]}
{"query": "positive that is a text", "pos": "p", "neg": ["n"]}
{"query": ["a", "list"], "pos": ["p"], "neg": ["n"]}
{"pos": ["p"], "neg": ["n"]}
{"query": "negative that is null", "pos": ["p"], "neg": [null]}
{"query": "", "pos": ["p"], "neg": ["n"]}
{"query": "tides", "pos": ["p\u0000"], "neg": []}
"""
    name = "msmarco-triplets.jsonl.gz"
    kept, dropped = split(CONVERT["msmarco"](packed(tmp_path / name, raw)))
    assert kept == [
        Instance(
            f"{name}:1",
            "how long do owls live",
            (Text("50 years."), Text("80.")),
            (Text("Egg"),),
        ),
        Instance(
            f"{name}:2",
            "what is a corporation",
            (Text("A corporation is a company."),),
            (Text("A cooperative is its members'."),),
        ),
        Instance(f"{name}:10", "tides", (Text("p\0"),)),
    ]
    assert dropped == {
        "empty pos": 1, "missing pos": 1, "pos is no list": 1, "query is no text": 1,
        "missing query": 1, "missing neg": 1, "empty query": 1,
    }  # fmt: skip


def test_each_searchqa_snippet_is_a_document_where_the_source_lists_them(tmp_path):
    raw = r"""{"query": "This planet has the Great Red Spot", "pos": ["Jupiter is", "The spot"]}
["He wrote 'Moby-Dick' in 1851", "Herman Melville ... Moby-Dick ... 1851 ..."]
{"query": "a clue", "pos": [["nested"], "snippet"]}
{"query": "a clue without snippets"}
{"query": "\u0000", "pos": ["snippet"]}
["a clue", ""]
["It's hot", "A short clue is left out later."]
"""
    name = "searchQA_top5_snippets.jsonl.gz"
    kept, dropped = split(CONVERT["searchqa"](packed(tmp_path / name, raw)))
    assert kept == [
        Instance(
            f"{name}:1",
            "This planet has the Great Red Spot",
            (Text("Jupiter is"), Text("The spot")),
        ),
        Instance(
            f"{name}:2",
            "He wrote 'Moby-Dick' in 1851",
            (Text("Herman Melville ... Moby-Dick ... 1851 ..."),),
        ),
        Instance(f"{name}:7", "It's hot", (Text("A short clue is left out later."),)),
    ]
    assert dropped == {
        "pos is no text": 1, "missing pos": 1, "empty query": 1, "empty document": 1,
    }  # fmt: skip


@pytest.mark.parametrize("task", sorted(CONVERT))
def test_a_file_that_is_not_json_is_refused_with_file_and_line(tmp_path, task):
    raw = '["a question", "an answer"]\n["another question", "an answer"]\nquestion\tanswer\n'
    with pytest.raises(InputError, match=r"raw\.jsonl\.gz: line 3 is not JSON"):
        list(CONVERT[task](packed(tmp_path / "raw.jsonl.gz", raw)))
