"""What counts as the same text, and what as odd."""

import pytest

from tart_jax.data.audit import texts


def found(text: str) -> list[str]:
    return texts.oddities(text, texts.fold(text))


@pytest.mark.parametrize(
    "one,other",
    [
        ("A  Text\n", "a text"),
        ("Ünïcode  Text", "ünïcode text"),
        ("STRASSE ü", "straße ü"),
        ("no\x00break", "nobreak"),
        ("a\x0cpage", "a page"),
        ("half \ud83d é", "half é"),
        ("c1 \x9d é", "c1 é"),
    ],
)
def test_case_spaces_and_control_characters_do_not_count(one, other):
    assert texts.fold(one) == texts.fold(other)


@pytest.mark.parametrize("one,other", [("a text", "atext"), ("a text", "a text."), ("é", "e")])
def test_letters_words_and_accents_count(one, other):
    assert texts.fold(one) != texts.fold(other)


@pytest.mark.parametrize("text", ["", "  ", "\n\t", "\x00", "\x0c \x07", "\ud800"])
def test_a_text_of_nothing_folds_to_nothing(text):
    assert texts.fold(text) == b""


def test_the_fold_of_a_cleaned_text_is_the_same():
    for text in ("a\x00b", "a\x1fb\x85c", "é\x00b \x9f", "half \ud83d here", "plain"):
        assert texts.fold(texts.clean(text)) == texts.fold(text)
        texts.clean(text).encode("utf-8")


@pytest.mark.parametrize(
    "text,name",
    [
        ("a\x00b", "control_character"),
        ("ä\x07b", "control_character"),
        ("del\x7f", "control_character"),
        ("lone \udc00 half", "lone_surrogate"),
        ("lost \ufffd", "replacement_character"),
        ("cafÃ©", "mojibake"),
        ("doesnâ€™t", "mojibake"),
        ("10Â°", "mojibake"),
        ("ðŸ˜€", "mojibake"),
        ("a " * 60 + "b" * 100, "long_word"),
        ("все семьи похожи", "mostly_non_latin"),
        ("検索", "mostly_non_latin"),
    ],
)
def test_each_oddity_is_found_and_alone(text, name):
    assert found(text) == [name]


@pytest.mark.parametrize(
    "text",
    [
        "plain text\nof two lines\tand a tab",
        "café, naïve, Ångström, NÃO, Âge, São Paulo",
        "a quote: “so” – and 10 °C",
        "a 😀 that is whole",
        "β-carotene is a word with one Greek letter",
        "b" * 99,
        "see https://example.org/" + "path/" * 40,
        "長" * 300 + " latin letters " * 60,
    ],
)
def test_ordinary_texts_are_not_odd(text):
    assert found(text) == []


def test_latin_1_with_control_characters_becomes_the_character_it_was():
    for text in ("three — times “so”", "Ängste", "a 😀"):
        assert texts.clean(text.encode().decode("latin-1")) == text
    assert texts.clean("no UTF-8: \xe2\x80x é") == "no UTF-8: \xe2x é"
    assert texts.clean("cafÃ© stays") == "cafÃ© stays"


def test_separators_are_judged_by_where_they_stand():
    judged = texts.separator_oddities
    assert judged("find it [SEP] what", None) == []
    assert judged("Nan Goldin photographs", None) == []
    assert judged("head [SEP] relation", "Find it.") == []
    assert judged("NaN </s> what", None) == ["nan_instruction"]
    assert judged("what", " NaN ") == ["nan_instruction"]
    assert judged("</s> what", None) == ["leading_separator"]
    assert judged("find it [sep] what", None) == ["lowered_separator"]
    assert judged("Find it. [SEP] what", "Find it.") == ["instruction_twice"]
    assert judged("a [SEP][SEP] b", None) == ["repeated_separator"]


def test_prefixes_are_taken_off():
    assert texts.without_nan("nan [SEP] what [SEP] is") == "what [SEP] is"
    assert texts.without_nan("nanometres [SEP] of what") == "nanometres [SEP] of what"
    assert texts.without_leading_separator("[SEP] </s> what") == "what"
    assert texts.bare_query("find [SEP] what [SEP] is") == "what [SEP] is"
    assert texts.bare_query("what") is None
