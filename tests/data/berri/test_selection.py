"""Which instances stay."""

import random

import pytest

from tart_jax.data.berri import rules
from tart_jax.data.berri.selection import Selection
from tart_jax.data.examples import TrainingExample
from tart_jax.types import Document, InputError


def example(key, query, *answers):
    return TrainingExample("t", key, query, tuple(Document(a, a) for a in answers))


def chosen(examples, cap):
    selection = Selection()
    for one in examples:
        selection.add(one)
    selection.choose(cap)
    return selection, [one.query_id for one in examples if selection.keeps(one)]


def test_a_cap_keeps_the_smallest_hashes_in_any_order():
    examples = [example(str(i), f"q{i}", "a") for i in range(500)]
    expected = sorted((str(i) for i in range(500)), key=rules.key_hash)[:100]
    for seed in range(3):
        random.Random(seed).shuffle(examples)
        selection, kept = chosen(examples, 100)
        assert sorted(kept) == sorted(expected)
        assert (selection.found, selection.distinct, selection.kept) == (500, 500, 100)


def test_without_a_cap_or_under_it_all_stay():
    examples = [example(str(i), f"q{i}", "a") for i in range(9)]
    for cap in (None, 9, 10):
        assert len(chosen(examples, cap)[1]) == 9


def test_equal_queries_with_equal_positives_are_one_before_the_cap():
    examples = [example(f"{i}", f"q {i % 5}", "a", "b") for i in range(20)]
    examples += [example("other", "q 0", "a"), example("turned", "q  0", "b", "a")]
    selection, kept = chosen(examples, None)
    assert (selection.found, selection.distinct, selection.kept) == (22, 6, 6)
    groups = [[f"{i + 5 * j}" for j in range(4)] for i in range(5)]
    groups[0].append("turned")
    smallest = [min(group, key=rules.key_hash) for group in groups]
    assert sorted(kept) == sorted([*smallest, "other"])
    assert len(chosen(examples, 3)[1]) == 3


def test_one_key_for_two_instances_is_refused_by_name():
    with pytest.raises(InputError, match="two different instances have the key 'k'"):
        chosen([example("k", "q1", "a"), example("l", "q", "a"), example("k", "q2", "a")], None)


def test_an_instance_given_twice_with_its_key_is_a_duplicate():
    selection, kept = chosen([example("k", "q", "a"), example("k", "q", "a")], None)
    assert (selection.distinct, kept) == (1, ["k", "k"])  # the sorting on disk makes them one


def test_different_keys_of_one_hash_both_stay(monkeypatch):
    monkeypatch.setattr(rules, "key_hash", lambda key: 5)
    assert chosen([example("k", "q1", "a"), example("l", "q2", "a")], None)[1] == ["k", "l"]
