"""What an audit found, as tables and as one page of HTML that needs no other file."""

from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any

from tart_jax import plots
from tart_jax.data.audit.records import KINDS
from tart_jax.tables import Table, html_page, html_picture


def tables(result: Mapping[str, Any]) -> list[Table]:
    """The tables of an audit: tasks, lengths, faults, kinds of document, what was repaired."""
    shown = [_tasks(result), _lengths(result), _faults(result)]
    if any(result["shares"][name] for name in ("domain", "unit")):
        shown.append(_shares(result))
    if result["kinds"]:
        shown.append(_kinds(result))
    if result["repaired"] is not None:
        shown.append(_repaired(result["repaired"]))
    return shown


def _tasks(result: Mapping[str, Any]) -> Table:
    header = ["task", "records", "examples", "queries", "own instruction", *_names()]
    rows = []
    for name, counts in [*result["tasks"].items(), ("all", result["total"])]:
        keys = ("records", "examples", "queries", "own_instructions", *KINDS)
        rows.append([name, *(f"{counts[key]:,}" for key in keys)])
    return Table("What there is", header, rows)


def _names() -> list[str]:
    return [kind.replace("_", " ") for kind in KINDS]


def _lengths(result: Mapping[str, Any]) -> Table:
    header = ["task, part", "characters mean", "5%", "median", "95%", "longest",
              "tokens mean", "5%", "median", "95%", "longest", "not Latin"]  # fmt: skip
    rows = []
    for name, counts in [*result["tasks"].items(), ("all", result["total"])]:
        for part in ("query", "document"):
            if not counts["characters"][part]["count"]:
                continue
            row = [f"{name}, {part}"]
            for unit in ("characters", "tokens"):
                found = counts[unit][part]
                keys = ("mean", "p5", "p50", "p95", "longest")
                row += [f"{found[key]:,}" if found["count"] else "-" for key in keys]
            share = counts["tokens"][part].get("not_latin")
            rows.append([*row, "-" if share is None else f"{share:.1%}"])
    note = (
        "Quantiles of characters are within 9%. Tokens are counted by"
        f" {result['settings']['tokenizer'] or 'words'} on up to"
        f" {result['settings']['token_sample']:,} different texts per task and part;"
        " 'not Latin' is their letters outside the Latin script."
    )
    return Table("Lengths", header, rows, note)


def _faults(result: Mapping[str, Any]) -> Table:
    rows = []
    for fault in result["faults"]:
        if fault["count"]:
            first = fault["first"][0] if fault["first"] else {"where": "", "excerpt": ""}
            name = fault["what"] + (" (oddity)" if fault["oddity"] else "")
            rows.append([name, f"{fault['count']:,}", f"{fault['share']:.2%} of {fault['of']}",
                         _short(first["where"], result), first["excerpt"][:60]])  # fmt: skip
    clean = sum(not fault["count"] for fault in result["faults"])
    note = f"{clean} of {len(result['faults'])} kinds of fault were not found."
    if result["not_checked"]:
        note += f" Not checked: {'; '.join(result['not_checked'])}."
    return Table("Faults", ["fault", "count", "share", "first at", "there"], rows, note)


def _shares(result: Mapping[str, Any]) -> Table:
    rows = []
    for name in ("domain", "unit"):
        parts = result["shares"][name]
        whole = sum(parts.values())
        rows += [
            [f"{name}: {part}", f"{count:,}", f"{count / whole:.1%}"]
            for part, count in parts.items()
        ]
    return Table("Shares of the examples", ["group", "examples", "share"], rows)


def _short(where: str, result: Mapping[str, Any]) -> str:
    """A place without the path that was audited."""
    return where.removeprefix(f"{result['path']}: ").removeprefix(f"{result['path']}/")


def _kinds(result: Mapping[str, Any]) -> Table:
    rows = [
        [name, *(f"{kind[key]:,}" for key in ("texts", "positives", "negatives")),
         "never a positive" if kind["shunned"] else ""]
        for name, kind in result["kinds"].items()
    ]  # fmt: skip
    bad = [name for name, kind in result["kinds"].items() if kind["shunned"]]
    note = "Distinct texts of each kind; a kind is the unit of the instruction table, or a task."
    if bad:
        note += (
            f" WARNING: never anybody's positive: {', '.join(bad)}; a model trained so shuns that"
            " kind whatever the instruction says. Add a task that wants it, or leave it out."
        )
    return Table("Kinds of document", ["kind", "texts", "positives", "negatives", ""], rows, note)


def _repaired(repaired: Mapping[str, Any]) -> Table:
    rows = [[name, f"{count:,}"] for name, count in repaired["changes"].items()]
    note = (
        f"{repaired['path']}: {repaired['examples']:,} examples of {repaired['of']:,} records."
        " last_positive: examples removed because no positive was left."
    )
    if repaired["left_out"]:
        note += f" Not training files, so not in it: {', '.join(repaired['left_out'])}."
    return Table("Repaired", ["on account of", "changed or removed"], rows, note)


def figures(
    result: Mapping[str, Any], tokens: Mapping[str, Sequence[int]], folder: Path
) -> list[Path]:
    """Draws shares, kinds of document and tokens; the files, in order."""
    paths = []
    shares = {name: parts for name, parts in result["shares"].items() if sum(parts.values())}
    if shares:
        paths.append(folder / "shares.png")
        plots.shares(paths[-1], shares, title="Shares of the examples")
    kinds = {
        name: {kind.replace("_", " "): counts[kind] for kind in KINDS}
        for name, counts in result["tasks"].items()
        if any(counts[kind] for kind in KINDS)
    }
    if kinds:
        paths.append(folder / "kinds.png")
        plots.shares(paths[-1], kinds, title="Documents by kind", same_parts=True)
    drawn = {name: values for name, values in tokens.items() if len(values)}
    if drawn:
        paths.append(folder / "tokens.png")
        unit = "tokens" if result["settings"]["tokenizer"] else "words"
        plots.histogram(paths[-1], drawn, title="Lengths", label=unit)
    return paths


def html(result: Mapping[str, Any], pictures: Sequence[Path], instances: Sequence[str]) -> str:
    """The page; every text of the data is escaped."""
    parts = [f"<p>{escape(', '.join(source['path'] for source in result['sources']))}</p>"]
    parts += [table.html() for table in tables(result)]
    parts += [html_picture(picture) for picture in pictures]
    parts += [_places(fault) for fault in result["faults"] if fault["first"]]
    if instances:
        parts.append("<h2>Instances</h2>")
        parts += [f"<pre>{escape(text)}</pre>" for text in instances]
    return html_page(f"Audit of {result['path']}", parts)


def _places(fault: Mapping[str, Any]) -> str:
    rows = "\n".join(
        f'<tr><td class="text">{escape(place["where"])}</td>'
        f'<td class="text">{escape(place["excerpt"])}</td></tr>'
        for place in fault["first"]
    )
    by_task = ", ".join(f"{task} {count:,}" for task, count in fault["tasks"].items())
    return (
        f"<h3>{escape(fault['what'])}: {fault['count']:,}</h3>\n<p>{escape(by_task)}."
        f" Repair: {escape(fault['repair'] or 'none, left as it is')}.</p>\n<table>{rows}</table>"
    )
