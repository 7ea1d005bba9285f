"""tart_jax.json there and back."""

import dataclasses
import json

import pytest

from tart_jax.models.format import FILE, Card, Format
from tart_jax.types import InputError

CARD = Card(Format("query_first", " | ", 32, 200), "cls", True, 64, False)


def test_written_and_read_it_is_the_same(tmp_path):
    CARD.write(tmp_path)
    assert Card.read(tmp_path) == CARD


def test_a_directory_without_it_has_none(tmp_path):
    assert Card.read(tmp_path) is None


def test_another_version_is_refused(tmp_path):
    CARD.write(tmp_path)
    record = json.loads((tmp_path / FILE).read_text())
    (tmp_path / FILE).write_text(json.dumps(record | {"version": 2}))
    with pytest.raises(InputError, match="not of version 1"):
        Card.read(tmp_path)


@pytest.mark.parametrize("change", [{"extra": 1}, {"format": {"separator": None}}, {"format": 3}])
def test_other_keys_are_refused_with_both_lists(tmp_path, change):
    CARD.write(tmp_path)
    record = json.loads((tmp_path / FILE).read_text())
    (tmp_path / FILE).write_text(json.dumps(record | change))
    with pytest.raises(InputError, match="should have the keys"):
        Card.read(tmp_path)


@pytest.mark.parametrize(
    "change,named",
    [
        ({"instruction_order": "last"}, "'last' is not one of instruction_first, query_first"),
        ({"query_length": 2}, "query_length 2"),
        ({"document_length": 0}, "document_length 0"),
    ],
)
def test_impossible_formats_are_refused(change, named):
    unchecked = object.__new__(Format)  # around the type checks that only tests have
    vars(unchecked).update(dataclasses.asdict(Format()) | change)
    with pytest.raises(InputError, match=named):
        unchecked.__post_init__()
