from tart_jax.data.python_topics import CHUNK_LENGTH, MOST_CHUNKS, installed_topics, read_sections

LONG = "Words that say something about the subject, long enough to be kept as a paragraph. "
TOPIC = f"""The "if" statement
******************

   if_stmt ::= "if" expression ":" suite

{LONG}

str.lower()

   {LONG}
   Second line.

Back at the margin, no longer about that entry; {LONG}

A second heading
================

{LONG * 5}

{LONG * 5}
"""


def test_sections_and_entries_are_found_with_their_paragraphs():
    sections = {section.label: section for section in read_sections({"if": TOPIC})}
    assert list(sections) == ["The if statement", "str.lower", "A second heading"]
    assert sections["The if statement"].chunks == (LONG.strip(),)  # without the grammar rule
    assert sections["str.lower"].chunks == (f"{LONG}Second line.".replace("  ", " "),)
    assert len(sections["A second heading"].chunks) == 2


def test_a_section_repeated_in_a_longer_topic_belongs_to_the_shorter():
    sections = read_sections({"compound": TOPIC + LONG, "if": TOPIC})
    assert {section.topic for section in sections} == {"if"}


def test_the_installed_reference_is_read():
    sections = read_sections(installed_topics())
    assert len(sections) > 150
    assert len({section.label.lower() for section in sections}) == len(sections)
    for section in sections:
        assert 1 <= len(section.chunks) <= MOST_CHUNKS
        assert all(len(chunk) <= CHUNK_LENGTH for chunk in section.chunks)
