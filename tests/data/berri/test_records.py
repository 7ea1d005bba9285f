"""Instances from the documented line forms; every irregular record is dropped and counted."""

import gzip
from collections import Counter

import pytest

from tart_jax.data.berri import records
from tart_jax.data.berri.task import Dropped, Instance, Text
from tart_jax.types import InputError


def packed(path, *lines):
    path.write_bytes(gzip.compress("\n".join(lines).encode() + b"\n"))
    return (path,)


def split(made):
    made = list(made)
    kept = [thing for thing in made if not isinstance(thing, Dropped)]
    return kept, Counter(thing.reason for thing in made if isinstance(thing, Dropped))


IRREGULAR_PAIRS = (
    '["how do I boil an egg?", "In hot water."]',
    '["only one"]',
    '["one", "two", "three"]',
    '[["a list"], "where text is due"]',
    '["text", ["where a list stands"]]',
    '["", "empty query"]',
    '["empty document", "  "]',
    '["null document", null]',
    '{"query": "an object"}',
    '"a text"',
    '["a\\u0000b", "NUL stays: it is stripped later"]',
    '["\\u0000", "nothing but NUL"]',
    '["half a pair \\ud83d", "of surrogates"]',
    '["why?", "Short queries pass: they are left out later."]',
)
PAIR_DROPS = {
    "1 texts instead of 2": 1, "3 texts instead of 2": 1, "query is no text": 1,
    "document is no text": 1, "empty query": 2, "empty document": 1, "missing document": 1,
    "no list": 2, "query is broken Unicode": 1,
}  # fmt: skip


def test_pairs_are_read_in_order_and_irregular_ones_are_counted_by_reason(tmp_path):
    kept, dropped = split(records.pairs(packed(tmp_path / "p.jsonl.gz", *IRREGULAR_PAIRS)))
    assert kept == [
        Instance("p.jsonl.gz:1", "how do I boil an egg?", (Text("In hot water."),)),
        Instance("p.jsonl.gz:11", "a\0b", (Text("NUL stays: it is stripped later"),)),
        Instance("p.jsonl.gz:14", "why?", (Text("Short queries pass: they are left out later."),)),
    ]
    assert dropped == PAIR_DROPS
    assert len(kept) + dropped.total() == len(IRREGULAR_PAIRS)


def test_flipped_pairs_have_the_document_first(tmp_path):
    files = packed(tmp_path / "p.jsonl", '["long document", "short"]', '["x"]')
    kept, dropped = split(records.pairs(files, flipped=True))
    assert kept == [Instance("p.jsonl:1", "short", (Text("long document"),))]
    assert dropped == {"1 texts instead of 2": 1}
    assert split(records.pairs(files))[0] != kept


def test_the_third_text_of_a_triplet_is_a_hard_negative(tmp_path):
    files = packed(tmp_path / "t.jsonl", '["q", "yes", "no"]', '["q", "yes"]', '["q", "yes", 3]')
    kept, dropped = split(records.triplets(files))
    assert kept == [Instance("t.jsonl:1", "q", (Text("yes"),), (Text("no"),))]
    assert dropped == {"2 texts instead of 3": 1, "negative is no text": 1}


def test_the_first_text_of_a_set_asks_for_the_others(tmp_path):
    files = packed(
        tmp_path / "s.jsonl",
        '{"set": ["a", "b", "c"]}', '{"set": ["alone"]}', '{"set": "text"}', '{"sets": []}',
        '{"set": ["a", {"b": 1}]}', '["a", "b"]',
    )  # fmt: skip
    kept, dropped = split(records.sets(files))
    assert kept == [Instance("s.jsonl:1", "a", (Text("b"), Text("c")))]
    assert dropped == {
        "set of fewer than 2": 1, "set is no list": 1, "missing set": 1, "set is no text": 1,
        "no object": 1,
    }  # fmt: skip


def test_query_triplets_may_lack_negatives_but_not_positives(tmp_path):
    files = packed(
        tmp_path / "q.jsonl",
        '{"query": "q", "pos": ["a", "b"], "neg": ["c"]}', '{"query": "q", "pos": ["a"]}',
        '{"query": "q", "pos": []}', '{"query": "q", "neg": ["c"]}', '{"pos": ["a"]}',
        '{"query": "q", "pos": "text"}', '{"query": ["q"], "pos": ["a"]}',
        '{"query": "q", "pos": ["a"], "neg": "c"}', '{"query": "q", "pos": ["a", ""]}',
    )  # fmt: skip
    kept, dropped = split(records.query_triplets(files))
    assert kept == [
        Instance("q.jsonl:1", "q", (Text("a"), Text("b")), (Text("c"),)),
        Instance("q.jsonl:2", "q", (Text("a"),)),
    ]
    assert dropped == {
        "empty pos": 2, "missing pos": 1, "missing query": 1, "pos is no list": 1,
        "query is no text": 1, "neg is no list": 1,
    }  # fmt: skip


def test_documented_forms_may_be_mixed_in_one_file(tmp_path):
    files = packed(
        tmp_path / "d.jsonl",
        '["q", "a"]', '["q", "a", "n"]', '{"set": ["q", "a"]}', '{"query": "q", "pos": ["a"]}',
        '["q", "a", "n", "m"]', "3",
    )  # fmt: skip
    kept, dropped = split(records.documented(files))
    assert [instance.key for instance in kept] == [f"d.jsonl:{n}" for n in (1, 2, 3, 4)]
    assert {(i.query, i.positives) for i in kept} == {("q", (Text("a"),))}
    assert [len(instance.hard_negatives) for instance in kept] == [0, 1, 0, 0]
    assert dropped == {"4 texts instead of 2": 1, "no list": 1}


def test_objects_are_read_by_field_with_their_own_ids_and_titles(tmp_path):
    files = packed(
        tmp_path / "o.jsonl",
        '{"id": 7, "q": "first", "d": "text", "t": "title"}', '{"q": "second", "d": "text"}',
        '{"id": true, "q": "third", "d": "text", "t": null}', '{"id": "x", "q": "fourth"}',
        '{"id": "y", "q": "fifth", "d": "text", "t": 5}',
    )  # fmt: skip
    made = records.objects(files, query="q", document="d", title="t", key="id")
    kept, dropped = split(made)
    assert kept == [
        Instance("7", "first", (Text("text", "title"),)),
        Instance("o.jsonl:2", "second", (Text("text"),)),
        Instance("o.jsonl:3", "third", (Text("text"),)),
    ]
    assert dropped == {"missing d": 1, "t is no text": 1}


def test_a_record_may_give_several_things_before_it_breaks(tmp_path):
    def make(key, record):
        for index, value in enumerate(record):
            yield Text(records.as_text(value, f"text {index}"))

    files = packed(tmp_path / "m.jsonl", '["a", "b"]', '["c", 4, "d"]')
    made = list(records.convert(files, records.json_lines, make))
    assert made == [Text("a"), Text("b"), Text("c"), Dropped("m.jsonl:2", "text 1 is no text")]


def test_files_are_read_one_after_the_other_under_their_own_names(tmp_path):
    (one,) = packed(tmp_path / "one.jsonl", '["q", "a"]')
    (two,) = packed(tmp_path / "two.jsonl", '["q", "a"]')
    assert [made.key for made in records.pairs((one, two))] == ["one.jsonl:1", "two.jsonl:1"]


def test_a_line_that_is_not_json_is_refused_after_the_good_ones(tmp_path):
    files = packed(tmp_path / "b.jsonl.gz", '["q", "a"]', '["r", "b"]', "['s', 'c']")
    made = records.pairs(files)
    assert [next(made).query, next(made).query] == ["q", "r"]
    with pytest.raises(InputError, match=r"b\.jsonl\.gz: line 3 is not JSON"):
        next(made)


def test_a_file_of_another_form_is_refused_with_its_first_line(tmp_path):
    files = packed(tmp_path / "w.jsonl", "", '{"query": "q", "pos": ["a"]}', '{"query": "r"}')
    with pytest.raises(InputError, match=r"w\.jsonl: line 2: no list; none of the 2 records"):
        list(records.pairs(files))


def test_a_file_of_another_form_is_given_up_after_a_thousand_records(tmp_path):
    files = packed(tmp_path / "w.jsonl", *['{"query": "q"}'] * 3000, "not JSON")
    with pytest.raises(InputError, match=r"none of the 1000 records up to line 1000 can be read"):
        list(records.pairs(files))


def test_one_good_record_makes_any_number_of_bad_ones_mere_drops(tmp_path):
    files = packed(tmp_path / "w.jsonl", '["q", "a"]', *['["q"]'] * 1500)
    kept, dropped = split(records.pairs(files))
    assert len(kept) == 1 and dropped == {"1 texts instead of 2": 1500}


def test_an_empty_file_is_refused(tmp_path):
    with pytest.raises(InputError, match=r"e\.jsonl holds no record"):
        list(records.pairs(packed(tmp_path / "e.jsonl", "")))


def test_a_missing_file_and_a_cut_one_are_refused(tmp_path):
    with pytest.raises(InputError, match="does not exist"):
        list(records.pairs((tmp_path / "none.jsonl",)))
    (path,) = packed(tmp_path / "cut.jsonl.gz", *[f'["q{n}", "a"]' for n in range(5000)])
    path.write_bytes(path.read_bytes()[:-50])
    with pytest.raises(InputError, match=r"cut\.jsonl\.gz: the gzip stream ends early"):
        list(records.pairs((path,)))
