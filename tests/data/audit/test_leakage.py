"""Test texts are known again, whole or by a run of words."""

import pytest

from tart_jax.data.audit import texts
from tart_jax.data.audit.leakage import TestTexts
from tart_jax.types import InputError


def known(tests: TestTexts, *found: str) -> list[bool]:
    return tests.same([texts.digest(texts.fold(text)) for text in found])


def test_queries_and_documents_of_files_and_folders_are_known(tmp_path, planted, tiny_corpus):
    path = planted.write(tmp_path / "t.jsonl", [planted.example(1, query="Find [SEP] what is 1")])
    tests = TestTexts([path, tiny_corpus])
    positives = known(
        tests, "what IS 1", "find [SEP] what is 1", planted.text(10), "Where is the oak"
    )
    assert positives == [True] * 4
    assert known(tests, "find", "what is 2", "") == [False] * 3
    assert known(TestTexts(), "what is 1") == [False]


def test_a_shared_run_needs_all_its_words_in_order(tmp_path, planted):
    words = [f"w{n}" for n in range(20)]
    path = planted.write(tmp_path / "t.jsonl", [planted.example(1, query=" ".join(words))])
    tests = TestTexts([path], ngrams=5)

    def shares(*found: str) -> bool:
        return tests.shares_run(texts.fold(" ".join(found)))

    assert shares("other", *words[3:8], "words")
    assert not shares("other", *words[3:7], "words")
    assert not shares(*words[3:8][::-1])
    assert not shares(words[3], words[5], words[4], words[6], words[7])
    assert not shares("")


def test_broken_test_data_and_settings_are_refused(tmp_path, planted):
    path = planted.write(tmp_path / "t.jsonl", ["{no"])
    with pytest.raises(InputError, match="t.jsonl: line 1: not JSON.* mend the test data first"):
        TestTexts([path])
    with pytest.raises(InputError, match="config.ngrams is 99"):
        TestTexts([], ngrams=99)
