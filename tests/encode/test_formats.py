"""Which format is read, and when another is refused."""

from dataclasses import replace

import pytest

from tart_jax.encode.formats import checked_format
from tart_jax.models import pretrained
from tart_jax.types import InputError


@pytest.fixture(scope="module")
def model(tiny_model):
    return pretrained.load(tiny_model)


def test_the_checkpoints_format_is_the_default(model):
    format = checked_format(model)
    assert format.instruction_order == "instruction_first"
    assert format.separator == "[SEP]"  # the tokenizer's own
    assert (format.query_length, format.document_length) == (32, 48)


def test_the_same_choice_is_no_other_format(model):
    asked = checked_format(model, order="instruction_first", separator="[SEP]")
    assert asked == checked_format(model)


@pytest.mark.parametrize("other", [{"order": "query_first"}, {"separator": "</s>"}])
def test_another_format_is_an_error_unless_forced(model, other):
    with pytest.raises(InputError, match="was trained to read instruction_first .*force_format"):
        checked_format(model, **other)
    forced = checked_format(model, **other, force=True)
    assert forced != checked_format(model)


def test_where_no_format_is_known_any_is_taken(model):
    unknown = replace(model, format_known=False)
    assert checked_format(unknown, order="query_first").instruction_order == "query_first"
