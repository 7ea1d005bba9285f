"""Tables, written once and shown twice: Markdown for files, rich for terminals."""

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass
class Table:
    """A title, a header, rows of cells (first a name, then figures), and a note below."""

    title: str
    header: Sequence[str]
    rows: Sequence[Sequence[str]] = ()
    note: str = ""

    def markdown(self) -> str:
        def line(cells: Sequence[str]) -> str:
            return (
                "| "
                + " | ".join(cell.replace("|", "\\|").replace("\n", " ") for cell in cells)
                + " |"
            )

        rule = "| --- |" + " ---: |" * (len(self.header) - 1)
        note = f"\n{self.note}\n" if self.note else ""
        body = "\n".join([line(self.header), rule, *map(line, self.rows)])
        return f"**{self.title}**\n\n{body}\n{note}"

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
