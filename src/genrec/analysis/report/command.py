"""``genrec report RUN...``: one table per data set over runs."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import polars as pl
import rich.table

from genrec.analysis.report import paper
from genrec.analysis.report.formats import FORMATS, long_frame, rich_table
from genrec.analysis.report.rows import Row, by_data, names, rows, with_published
from genrec.analysis.report.table import Table, table
from genrec.config.options import Options
from genrec.errors import GenrecError
from genrec.evaluation.ranks import NEW
from genrec.io.console import wide_console
from genrec.io.files import write_new
from genrec.runs.results import Run, load_run

MAIN_SETTINGS = ("all", "warm", "cold")
NEW_SETTINGS = tuple(f"{name}{NEW}" for name in MAIN_SETTINGS)


def usual(results: Iterable[Mapping[str, Any]]) -> tuple[str, ...]:
    """The settings of a table that nobody chose any for: the main ones, and those without own items if measured."""
    measured = {name for result in results for name in result["settings"]}
    return (*MAIN_SETTINGS, *(name for name in NEW_SETTINGS if name in measured))


def results_table(results: Sequence[Mapping[str, Any]]) -> rich.table.Table:
    """A table with a row per setting and run: metrics, users counted, seconds of ranking."""
    made = [Row(result["method"], result.get("backbone"), [result]) for result in results]
    return rich_table(table(made, usual(results)))


def print_table(results: Sequence[Mapping[str, Any]]) -> None:
    """Print `results_table`, wide enough when the output is a file."""
    wide_console().print(results_table(results))


def results_frame(runs: Sequence[str | Path], settings: Sequence[str] = MAIN_SETTINGS) -> pl.DataFrame:
    """The numbers of runs as a frame, with a row per data set, setting, method and metric; seeds are averaged.

    Args:
        runs: folders of runs, as `genrec report` takes them.
        settings: which candidates and users.

    Returns:
        the columns of `genrec.analysis.report.formats.LONG`.

    Raises:
        GenrecError: if a run has no results, or damaged ones, or a setting is in none of them.
    """
    if isinstance(runs, str | Path):
        raise GenrecError(f'give a list of folders of runs: ["{runs}"]')
    found = [load_run(path) for path in runs]
    chosen = _settings(settings, found)
    return long_frame([table(rows(same), chosen) for same in by_data(found)])


def report(arguments: Sequence[str]) -> None:
    """Print or write one table per data set, and draw figures, as the arguments ask.

    Raises:
        GenrecError: if no run is given, one has no results or damaged ones, or an argument is wrong.
    """
    options = _options().parse_args(arguments)
    if not options.runs:
        raise GenrecError(
            "`genrec report` takes the folders of runs: genrec report runs/toys_setrec runs/toys_popularity"
        )
    if options.plot_over and not options.plots:
        raise GenrecError("--plot-over draws a figure: say where with --plots DIR")
    runs = [load_run(path) for path in options.runs]
    named = ",".join(usual(run.results for run in runs)) if options.settings is None else options.settings
    settings = _settings([name for name in named.split(",") if name], runs)
    data = by_data({run.ranks.resolve(): run for run in runs}.values())
    ours = [rows(same) for same in data]
    shown = [with_published(made) if options.paper else made for made in ours]
    tables = [table(made, settings) for made in shown]
    note = paper.note(row.results[0] for made in shown for row in made if row.published) if options.paper else ""
    _show(tables, note, options.format, options.output)
    if options.plots:
        from genrec.analysis.report import plots  # matplotlib takes a second

        for made, same, name in zip(ours, data, names(data), strict=True):
            for path in plots.draw(made, same, settings, options.plot_over, Path(options.plots) / name):
                # Standard output may be a table for another program.
                print(f"wrote {path}", file=sys.stderr)


def _show(tables: Sequence[Table], note: str, form: str, output: str | None) -> None:
    if output:
        text = FORMATS[form](tables, note)
        write_new(Path(output), lambda path: path.write_text(text, encoding="utf-8"))
        print(f"wrote {output}")
    elif form == "terminal":
        console = wide_console()
        for each in tables:
            console.print(rich_table(each))
        console.print(note, end="\n" if note else "", markup=False)
    else:
        print(FORMATS[form](tables, note), end="")


def _options() -> Options:
    options = Options("report", "One table per data set over runs; runs that differ in their seed alone are one row.")
    options.add_argument(
        "runs", nargs="*", metavar="RUN", help="a run, or a folder of runs: the newest counts; or a metrics.1.json"
    )
    options.add_argument("--format", choices=FORMATS, default="terminal", help="csv: long form, unrounded")
    options.add_argument("--output", metavar="FILE", help="write the tables instead of printing them")
    options.add_argument("--settings", help="such as all,warm,cold,all-new,G1 (all,warm,cold, and -new if measured)")
    options.add_argument("--paper", action="store_true", help="the published numbers below ours")
    options.add_argument("--plots", metavar="DIR", help="draw figures, as png and pdf")
    options.add_argument("--plot-over", metavar="KEY", help="draw a metric against this key of the runs' configs")
    return options


def _settings(settings: Sequence[str], runs: Sequence[Run]) -> Sequence[str]:
    known = {name for run in runs for name in run.results["settings"]}
    # A data set may have no cold items; what is named wrongly is in no run and none of the usual ones.
    unknown = [name for name in settings if name not in known and name not in MAIN_SETTINGS]
    if unknown and unknown[0] in NEW_SETTINGS:
        raise GenrecError(
            f"--settings {','.join(settings)}: no run measured `{unknown[0]}`: `genrec test --measure.new true` does"
        )
    if unknown or not settings:
        raise GenrecError(f"--settings {','.join(settings)}: the settings of these runs are {', '.join(sorted(known))}")
    return settings
