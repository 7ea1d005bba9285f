"""The table of formats and their options."""

import re
from pathlib import Path

import pytest

from tart_jax import config
from tart_jax.data.exchange import formats
from tart_jax.types import InputError

ROOT = Path(__file__).parents[3]


def test_an_unknown_format_is_answered_with_the_list():
    with pytest.raises(InputError, match="'drp' is not one of tart_dual, tart_full, berri_folder"):
        formats.reader("drp")
    with pytest.raises(InputError, match="'msmarco' is not one of .*kilt_predictions"):
        formats.writer("msmarco")


def test_an_option_of_another_format_is_an_error():
    assert formats.options(formats.reader("beir"), {"split": "dev", "order": None}, "beir") == {
        "split": "dev"
    }
    with pytest.raises(
        InputError, match="options.order means nothing to the format beir; it takes"
    ):
        formats.options(formats.reader("beir"), {"order": "query_first"}, "beir")
    with pytest.raises(InputError, match="it takes no options"):
        formats.options(formats.reader("dpr"), {"split": "dev"}, "dpr")


@pytest.mark.parametrize(
    "name,option,said",
    [
        ("tart_dual", {"nan": "drop"}, "options.nan=drop is not one of repair, keep, reject"),
        ("tart_dual", {"order": "first"}, "is not one of instruction_first, query_first"),
        ("kilt", {"positives": "all"}, "is not one of provenance, answers"),
        ("trec_run", {"depth": -1}, "options.depth=-1 is negative"),
    ],
)
def test_a_value_that_the_format_does_not_know_is_an_error(name, option, said):
    with pytest.raises(InputError, match=said):
        formats.options(formats.reader(name), option, name)


@pytest.mark.parametrize("stage,face", [("import", "read"), ("export", "write")])
def test_every_option_of_every_format_is_a_key_of_the_config_and_the_reverse(stage, face):
    settings = config.load(str(ROOT / "configs" / stage / "default.py"))
    functions = [getattr(format, face) for format in formats.FORMATS.values()]
    taken = set()
    for function in filter(None, functions):
        with pytest.raises(InputError) as error:
            formats.options(function, {"no_such_option": 1}, "x")
        taken |= set(re.sub(r".*it takes", "", str(error.value)).rstrip(".").split(", "))
    taken = {name.strip() for name in taken} - {"no options"}
    assert taken == set(settings.options)


@pytest.mark.parametrize("stage", ["import", "export"])
def test_the_config_names_every_format(stage):
    text = (ROOT / "configs" / stage / "default.py").read_text()
    face = "read" if stage == "import" else "write"
    for name, format in formats.FORMATS.items():
        assert getattr(format, face) is None or name in text
