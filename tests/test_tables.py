"""Tables in Markdown and in the terminal."""

from tart_jax.tables import Table, interval

TABLE = Table("Scores", ["system", "nDCG"], [["a|b", "0.5"], ["[c]\nd", "0.6"]], "A note.")


def test_markdown_escapes_what_would_break_a_row():
    lines = TABLE.markdown().splitlines()
    assert "| a\\|b | 0.5 |" in lines and "| [c] d | 0.6 |" in lines
    assert lines[0] == "**Scores**" and "A note." in lines


def test_the_terminal_shows_text_in_brackets_as_it_is(capsys):
    TABLE.show()
    shown = capsys.readouterr().out
    assert "[c]" in shown and "Scores" in shown and "A note." in shown


def test_an_interval_shows_its_ends():
    assert interval(0.5, 0.25, 0.75) == "0.500 [0.250, 0.750]"
