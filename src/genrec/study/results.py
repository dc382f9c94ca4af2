"""What a study found: its table, ``results.md``, ``results.csv`` and figures, written anew every time."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path

from genrec.analysis.report.command import usual
from genrec.analysis.report.formats import long_csv, markdown, rich_table
from genrec.analysis.report.rows import Row, by_data, computed_alike, grouped, names, rows
from genrec.analysis.report.table import table
from genrec.io.console import wide_console
from genrec.io.files import write_text
from genrec.runs.results import Run, load_run
from genrec.study.cells import DONE, Job, state
from genrec.study.plan import Plan

FIGURES = "figures"


def show_results(plan: Plan, jobs: Sequence[Job], folder: Path) -> None:
    """Print the table of the cells that are done, and write it into the folder of the study."""
    states = [state(job) for job in jobs]
    # One that is to be tested again has its older results.
    tested = ((job, now) for job, now in zip(jobs, states, strict=True) if now.step == DONE or now.missing)
    done = [(job, load_run(now.run)) for job, now in tested if now.run]
    if not done:
        print("no cell is done: there is nothing to show yet")
        return
    count = sum(now.step == DONE for now in states)
    whole = count == len(jobs)
    note = "" if whole else f"{count} of {len(jobs)} cells are done."
    data = by_data(run for _, run in done)
    made = [_rows(done, same) for same in data]
    settings = usual(run.results for _, run in done)
    tables = [table(each, settings) for each in made]
    for shown in tables:
        wide_console().print(rich_table(shown))
    write_text(folder / "results.md", f"# {plan.name}\n\n{markdown(tables, note)}")
    write_text(folder / "results.csv", long_csv(tables, note))
    swept = [_draw(plan, done, each, folder, name, settings) for each, name in zip(made, names(data), strict=True)]
    if plan.over and len(data) > 1 and not any(swept):
        print(f"no figure over `{plan.over}`: with every value the data are others")
    told = f"all {len(jobs)} cells are done" if whole else note.rstrip(".")
    print(f"{told}; wrote results.md, results.csv and {FIGURES}/ in {folder}")


def _rows(done: Sequence[tuple[Job, Run]], same: Sequence[Run]) -> list[Row]:
    """A row per config and variant of the runs of one data set, called as the study calls them."""
    labels = {run.folder: (job.cell.config, job.cell.label) for job, run in done}
    if not any(label for _, label in labels.values()):
        return rows(same)
    several = len({config for config, _ in labels.values()}) > 1
    made = []
    for same_cell in grouped(same, lambda run: labels[run.folder]):
        config, label = labels[same_cell[0].folder]
        name = f"{config.stem}, {label}" if several else label
        for repeated, how in computed_alike(same_cell):
            notes = [*([how] if how else []), *([f"{len(repeated)} seeds"] if len(repeated) > 1 else [])]
            results = [run.results for run in repeated]
            full = f"{name} ({'; '.join(notes)})" if notes else name
            made.append(Row(full, results[0].get("backbone"), results, repeated))
    return made


def _draw(
    plan: Plan,
    done: Sequence[tuple[Job, Run]],
    made: Sequence[Row],
    folder: Path,
    name: str,
    settings: Sequence[str],
) -> bool:
    """The figures of `genrec report --plots`; those of an earlier time are replaced. Whether a sweep is among them."""
    from genrec.analysis.report import plots  # matplotlib takes a second

    shown = {run.folder for row in made for run in row.runs}
    swept = [run for job, run in done if job.cell.swept is not None and run.folder in shown]
    points = {str(job.cell.swept) for job, run in done if run in swept}
    over = plan.over if len(points) > 1 else None
    (folder / FIGURES).mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder, prefix=".figures") as new:
        for path in plots.draw(made, swept, settings, over, Path(new) / name):
            path.replace(folder / FIGURES / path.name)
    return over is not None
