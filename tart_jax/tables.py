"""Tables, written once and shown in each form: terminal, Markdown, LaTeX, HTML."""

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from html import escape
from pathlib import Path

_PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>{title}</title>
<style>
body {{ font: 15px/1.45 system-ui, sans-serif; margin: 2rem auto; max-width: 76rem; padding: 0 1rem;
  color: #222; }}
table {{ border-collapse: collapse; margin: 0.5rem 0 1.5rem; }}
th, td {{ border-bottom: 1px solid #ddd; padding: 0.25rem 0.7rem; text-align: right;
  vertical-align: top; }}
th:first-child, td:first-child, td.text {{ text-align: left; }}
td.text {{ overflow-wrap: anywhere; }}
img {{ max-width: 100%; }}
pre {{ white-space: pre-wrap; overflow-wrap: anywhere; background: #f6f6f6; padding: 0.7rem; }}
.scroll {{ overflow-x: auto; }}
</style></head><body>
<h1>{title}</h1>
{body}
</body></html>
"""
LATEX = {c: f"\\{c}" for c in "&%$#_{}"} | {"\\": r"\textbackslash{}", "~": r"\textasciitilde{}",
                                             "^": r"\textasciicircum{}"}  # fmt: skip


@dataclass
class Table:
    """A title, a header, rows of cells (first a name, then figures), and a note below.

    links: (row, column) -> where a cell's figure comes from, for Markdown and HTML.
    """

    title: str
    header: Sequence[str]
    rows: Sequence[Sequence[str]] = ()
    note: str = ""
    links: Mapping[tuple[int, int], str] = field(default_factory=dict)

    def markdown(self) -> str:
        def line(cells: Sequence[str]) -> str:
            return (
                "| "
                + " | ".join(cell.replace("|", "\\|").replace("\n", " ") for cell in cells)
                + " |"
            )

        rule = "| --- |" + " ---: |" * (len(self.header) - 1)
        note = f"\n{self.note}\n" if self.note else ""
        linked = [
            [
                f"[{cell}]({self.links[place, column]})" if (place, column) in self.links else cell
                for column, cell in enumerate(row)
            ]
            for place, row in enumerate(self.rows)
        ]
        body = "\n".join([line(self.header), rule, *map(line, linked)])
        return f"**{self.title}**\n\n{body}\n{note}"

    def latex(self) -> str:
        """A tabular that needs no package, with the title and the note as its caption."""

        def line(cells: Sequence[str]) -> str:
            escaped = ("".join(LATEX.get(char, char) for char in cell) for cell in cells)
            return " & ".join(escaped) + r" \\"

        columns = "l" + "r" * (len(self.header) - 1)
        caption = "".join(LATEX.get(char, char) for char in f"{self.title}. {self.note}".strip())
        rows = [line(self.header), r"\hline", *map(line, self.rows)]
        body = "\n".join([rf"\begin{{tabular}}{{{columns}}}", *rows, r"\end{tabular}"])
        return f"\\begin{{table}}\n{body}\n\\caption{{{caption}}}\n\\end{{table}}\n"

    def html(self) -> str:
        """A part of a page; every text is escaped."""

        def cell(place: int, column: int, text: str) -> str:
            link = self.links.get((place, column))
            shown = escape(text)
            return f'<td><a href="{escape(link)}">{shown}</a></td>' if link else f"<td>{shown}</td>"

        head = "".join(f"<th>{escape(name)}</th>" for name in self.header)
        rows = "\n".join(
            "<tr>" + "".join(cell(place, *pair) for pair in enumerate(row)) + "</tr>"
            for place, row in enumerate(self.rows)
        )
        note = f"<p>{escape(self.note)}</p>" if self.note else ""
        return (
            f'<h2>{escape(self.title)}</h2>\n<div class="scroll"><table><tr>{head}</tr>\n{rows}'
            f"</table></div>{note}"
        )

    def show(self) -> None:
        """Prints to the terminal; plain text where there is none."""
        from rich.console import Console
        from rich.markup import escape
        from rich.table import Table as RichTable

        table = RichTable(title=escape(self.title), title_justify="left",
                          caption=escape(self.note) or None, caption_justify="left")  # fmt: skip
        for index, name in enumerate(self.header):
            table.add_column(escape(name), justify="right" if index else "left")
        for row in self.rows:
            table.add_row(*map(escape, row))
        console = Console()
        # A pipe or a log has no width of its own; 80 columns would fold every cell.
        Console(width=max(console.width, 120) if not console.is_terminal else None).print(table)


def interval(value: float, low: float, high: float, digits: int = 3) -> str:
    """`0.512 [0.480, 0.544]`"""
    return f"{value:.{digits}f} [{low:.{digits}f}, {high:.{digits}f}]"


def html_page(title: str, parts: Sequence[str]) -> str:
    """A page that needs no other file, of parts that are HTML already."""
    return _PAGE.format(title=escape(title), body="\n".join(parts))


def html_picture(path: Path) -> str:
    """A PNG file, in the page itself."""
    data = base64.b64encode(path.read_bytes()).decode("ascii")
    return f'<p><img alt="{escape(path.stem)}" src="data:image/png;base64,{data}"></p>'
