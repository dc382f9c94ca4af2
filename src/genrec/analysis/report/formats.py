"""The forms of a table: for the terminal, Markdown, LaTeX, and numbers for other programs."""

from __future__ import annotations

import io
from collections.abc import Sequence

import polars as pl
import rich.table
from rich.console import Console
from rich.markup import escape
from rich.text import Text

from genrec.analysis.report.table import Cell, Line, Table
from genrec.evaluation.metrics import short
from genrec.io.console import WIDTH


def _header(table: Table) -> list[str]:
    backbone = ["backbone"] if table.has_backbones else []
    trained = ["trained"] if table.has_parameters else []
    return ["setting", "method", *backbone, *map(short, table.metrics), "users", "rank s", *trained, *table.computed]


def _number(cell: Cell, plus_minus: str = "±") -> tuple[str, str]:
    """The mean, and what stands behind it."""
    mean = "-" if cell.mean is None else f"{cell.mean:.4f}"
    return mean, "" if cell.std is None else f" {plus_minus} {cell.std:.4f}"


def _rest(table: Table, line: Line, first: bool) -> list[str]:
    """Users, and what is of all settings and stands in the first: seconds of ranking, the training."""
    seconds = f"{line.row.seconds:,.1f}" if first and line.row.seconds is not None else ""
    trained = f"{line.row.trained:,}" if first and line.row.trained is not None else ""
    how = [line.row.computed.get(key, "") if first else "" for key in table.computed]
    users = "" if line.users is None else f"{line.users:,}"
    return [users, seconds, *([trained] if table.has_parameters else []), *how]


def _names(table: Table, line: Line) -> list[str]:
    return [line.row.method, *([line.row.backbone or ""] if table.has_backbones else [])]


def rich_table(table: Table) -> rich.table.Table:
    """For a terminal: the best of every column and setting is bold, the second underlined."""
    style = {"best": "bold", "second": "underline", None: ""}
    made = rich.table.Table(title=escape(table.title))
    for name in _header(table):
        made.add_column(name, justify="left" if name in ("setting", "method", "backbone") else "right")
    for number, (setting, lines) in enumerate(table.blocks.items()):
        for line in lines:
            cells = [Text.assemble(("".join(_number(cell)), style[cell.mark])) for cell in line.cells.values()]
            made.add_row(setting, *map(Text, _names(table, line)), *cells, *_rest(table, line, number == 0))
        made.add_section()
    return made


def terminal(tables: Sequence[Table], note: str) -> str:
    """The tables as a terminal shows them, without colours."""
    console = Console(file=io.StringIO(), width=WIDTH)
    with console.capture() as captured:
        for table in tables:
            console.print(rich_table(table))
        console.print(note, end="\n" if note else "", markup=False)
    return captured.get()


def markdown(tables: Sequence[Table], note: str) -> str:
    """GitHub's tables: ``**best**`` and ``<u>second</u>``."""
    wrap = {"best": "**{}**", "second": "<u>{}</u>", None: "{}"}
    parts = []
    for table in tables:
        header = _header(table)
        names = 3 if table.has_backbones else 2
        rule = [*["---"] * names, *["---:"] * (len(header) - names)]
        lines = [header, rule]
        for number, (setting, block) in enumerate(table.blocks.items()):
            for line in block:
                cells = [
                    wrap[cell.mark].format(mean) + std for cell in line.cells.values() for mean, std in [_number(cell)]
                ]
                names_ = [name.replace("|", "\\|") for name in _names(table, line)]
                lines.append([setting, *names_, *cells, *_rest(table, line, number == 0)])
        parts.append(f"**{table.title}**\n\n" + "".join(f"| {' | '.join(line)} |\n" for line in lines))
    return "\n".join([*parts, *([f"{note}\n"] if note else [])])


_LATEX = {"\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}"}
_LATEX |= {character: f"\\{character}" for character in "&%$#_{}"}


def _escape(text: str) -> str:
    return "".join(_LATEX.get(character, character) for character in text)


def _labels(tables: Sequence[Table]) -> list[str]:
    """``tab:toys``; the second one of that name is ``tab:toys-2``."""
    names = ["".join(part if part.isalnum() else "-" for part in table.dataset) for table in tables]
    seen = [names[: number + 1].count(name) for number, name in enumerate(names)]
    return [f"tab:{name}" if count == 1 else f"tab:{name}-{count}" for name, count in zip(names, seen, strict=True)]


def latex(tables: Sequence[Table], note: str) -> str:
    r"""Tables in the style of booktabs: ``\textbf{best}`` and ``\underline{second}``."""
    wrap = {"best": r"\textbf{%s}", "second": r"\underline{%s}", None: "%s"}
    parts = ["% \\usepackage{booktabs}\n" + (f"% {note}\n" if note else "")]
    for label, table in zip(_labels(tables), tables, strict=True):
        header = _header(table)
        columns = ("lll" if table.has_backbones else "ll").ljust(len(header), "r")
        caption = f"  \\caption{{{_escape(table.title)}}}\\label{{{label}}}"
        lines = [r"\begin{table}", r"  \centering", caption]
        lines += [f"  \\begin{{tabular}}{{{columns}}}", r"    \toprule", f"    {' & '.join(header)} \\\\"]
        for number, (setting, block) in enumerate(table.blocks.items()):
            lines.append(r"    \midrule")
            for line in block:
                cells = [
                    wrap[cell.mark] % mean + std
                    for cell in line.cells.values()
                    for mean, std in [_number(cell, r"$\pm$")]
                ]
                names = [setting if line is block[0] else "", *map(_escape, _names(table, line))]
                lines.append(f"    {' & '.join([*names, *cells, *_rest(table, line, number == 0)])} \\\\")
        lines += [r"    \bottomrule", r"  \end{tabular}", r"\end{table}"]
        parts.append("\n".join(lines) + "\n")
    return "\n".join(parts)


LONG = {
    "dataset": pl.String,
    "split": pl.String,
    "setting": pl.String,
    "method": pl.String,
    "backbone": pl.String,
    "source": pl.String,
    "runs": pl.Int64,
    "users": pl.Int64,
    "metric": pl.String,
    "mean": pl.Float64,
    "std": pl.Float64,
}
"""The columns of `long_frame`."""


def long_frame(tables: Sequence[Table]) -> pl.DataFrame:
    """A row per number, unrounded; ``rank_seconds`` and ``parameters_trained`` belong to no setting."""
    found: list[tuple[object, ...]] = []
    for table in tables:
        for number, (setting, block) in enumerate(table.blocks.items()):
            for line in block:
                row = line.row
                about = (row.method, row.backbone, "published" if row.published else "ours", len(row.results))
                for metric, cell in line.cells.items():
                    if cell.mean is not None:
                        values = (line.users, metric, cell.mean, cell.std)
                        found.append((table.dataset, table.split, setting, *about, *values))
                for name, value in (("rank_seconds", row.seconds), ("parameters_trained", row.trained)):
                    if number == 0 and value is not None:
                        found.append((table.dataset, table.split, None, *about, line.users, name, float(value), None))
    return pl.DataFrame(found, LONG, orient="row")


def long_csv(tables: Sequence[Table], note: str) -> str:
    """`long_frame` for other programs."""
    return long_frame(tables).write_csv()


FORMATS = {"terminal": terminal, "markdown": markdown, "latex": latex, "csv": long_csv}
