"""The board: every run as a line of data, and a page that is made of these lines alone.

::

    python -m benchmarks.board add studies/successors_toys_causal_small runs/toys_setrec_small
    python -m benchmarks.board write

``add`` reads the runs of a study, or those of a config, into ``docs/results/runs.csv``. A line is known by data set,
study, row, a hash of the settings that decide the result, and seed: a rerun takes the place of the older line. What a
hash stands for is in ``settings.jsonl``.
Beside every metric that follows from ranks stand the ends of its 95 % interval, by the bootstrap over the test users.
``write`` makes ``docs/results/board.md``, its figures, and the block of README.md.
"""

from __future__ import annotations

import argparse
import csv
import io
import json
import sys
from collections.abc import Iterator, Sequence
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import board_figures, board_page, board_readme
from benchmarks.board_settings import SEED, Settings
from genrec.analysis.compare import FEWEST, paired_bootstrap, ranks_of
from genrec.config.settings import changes
from genrec.errors import GenrecError
from genrec.evaluation.metrics import of_ranks
from genrec.evaluation.ranks import user_metrics
from genrec.io.files import write_text
from genrec.runs.layout import FIT, METRICS
from genrec.runs.results import Run, load_run, measured
from genrec.study.cells import Job, make_jobs
from genrec.study.plan import load_plan
from genrec.study.settings import Resolve, full_config

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "docs" / "results"
README = ROOT / "README.md"
RUNS = "runs.csv"
SETTINGS = "settings.jsonl"
PAGE = "board.md"
SAMPLES = 10_000

KEY = ("dataset", "study", "row", "hash", "seed")
ABOUT = (
    "started",
    "commit",
    "method",
    "backbone",
    "users",
    "items",
    "trained",
    "epochs",
    "fit_seconds",
    "rank_seconds",
)
SAME = ("dataset", "hash", "seed", "started")
"""What a run is known by, whatever study it is in."""

WHERE = ("cpu", "cores", "threads", "gpus", "torch")


def read(path: Path) -> list[dict[str, str]]:
    """The lines of runs; none where there is no file yet."""
    return list(csv.DictReader(path.read_text(encoding="utf-8").splitlines())) if path.is_file() else []


def save(path: Path, lines: Sequence[dict[str, str]]) -> None:
    """Write lines in the order of their keys; what a run did not measure is empty."""
    first = (*KEY, *ABOUT, *WHERE)
    others = sorted({name for line in lines for name in line} - set(first))
    text = io.StringIO()
    table = csv.DictWriter(text, [*first, *others], restval="", lineterminator="\n")
    table.writeheader()
    table.writerows(sorted(lines, key=lambda line: [line[name] for name in KEY]))
    write_text(path, text.getvalue())


def add(folders: Sequence[Path], path: Path, commit: str = "", resolve: Resolve = full_config) -> None:
    """Take runs into the file, each in the place of an older one of its key.

    Args:
        folders: of studies, or of the runs of a config.
        path: the file.
        commit: of the code, for runs that do not say.
        resolve: makes a whole config of arguments.

    Raises:
        GenrecError: if a folder has no run, or a cell of the study none with its settings, or a run is of other users
            than those of its data set that are there already.
    """
    lines = {tuple(line[name] for name in KEY): line for line in read(path)}
    settings = Settings(path.with_name(SETTINGS))
    for folder in folders:
        for study, row, run in _found(folder, resolve):
            try:
                line = describe(study, row, run, settings)
            except (KeyError, json.JSONDecodeError) as error:
                raise GenrecError(f"{run.folder} is damaged, or of another version of genrec ({error!r})") from error
            # The same run may stand in two studies, and be added again.
            told = [each["commit"] for each in lines.values() if all(each[name] == line[name] for name in SAME)]
            line["commit"] = line["commit"] or next(filter(None, told), commit)
            other = next((each for each in lines.values() if each["dataset"] == line["dataset"]), line)
            if (other["users"], other["items"]) != (line["users"], line["items"]):
                raise GenrecError(
                    f"{run.folder}: `{line['dataset']}` has {line['users']} users and {line['items']} items there, and "
                    f"{other['users']} and {other['items']} in {path}: these are different cuts of the data"
                )
            key = tuple(line[name] for name in KEY)
            if key not in lines or lines[key]["started"] <= line["started"]:
                lines[key] = line
    settings.save({line["hash"] for line in lines.values()})
    save(path, list(lines.values()))
    print(f"{len(lines)} runs in {path}")


def _found(folder: Path, resolve: Resolve) -> Iterator[tuple[str, str, Run]]:
    """The tested runs below a folder, with the study and the row that they belong to; a run of no study with none."""
    found = sorted(folder.rglob(METRICS))
    if not found:
        raise GenrecError(f"no {METRICS} in or below {folder}: give the folder of a study, or of runs that were tested")
    study, jobs = _planned(folder, resolve)
    for cell, group in groupby(found, lambda metrics: metrics.parents[1]):
        runs = [load_run(metrics.parent) for metrics in group]
        place = cell.relative_to(folder).as_posix() if cell.is_relative_to(folder) else ""
        if place in jobs:
            # A run that was moved here counts by its place, as it does for `genrec study`.
            yield from ((study, jobs[place].cell.row, run) for run in _of_cell(runs, jobs[place]))
        elif (cell / f"{cell.name}.yaml").is_file():
            print(f"left out {cell}: no cell of {study or load_plan(f'{folder.resolve().name}.yaml').name}")
        else:
            yield from (("", cell.resolve().name, run) for run in runs)


def _planned(folder: Path, resolve: Resolve) -> tuple[str, dict[str, Job]]:
    """The name of a folder's study, and its cells by their names; nothing where there is no such study."""
    try:
        plan = load_plan(f"{folder.resolve().name}.yaml")
    except GenrecError:
        return "", {}
    return plan.name, {job.cell.name: job for job in make_jobs(plan, folder.parent, [], resolve)}


def _of_cell(runs: Sequence[Run], job: Job) -> list[Run]:
    """Those with the settings of the cell, which keeps runs of older settings beside them.

    Raises:
        GenrecError: if there are none.
    """
    differ = {run.folder: changes(run.config, job.settings) if run.config else [] for run in runs}
    told = {folder: f"it has not the settings of its cell ({each[0]})" for folder, each in differ.items() if each}
    if len(told) == len(runs):
        raise GenrecError(f"{runs[-1].folder}: {told[runs[-1].folder]}")
    for folder, reason in told.items():
        print(f"left out {folder}: {reason}")
    return [run for run in runs if run.folder not in told]


def describe(study: str, row: str, run: Run, settings: Settings) -> dict[str, str]:
    """The line of a run, whose settings are then known.

    Raises:
        GenrecError: if it did not rank all test users, or has no config, or damaged ranks.
    """
    results = run.results
    if not run.config:
        raise GenrecError(f"{run.folder} has no config.yaml: its settings are not known")
    if results["split"] != "test" or results["settings"]["all"]["users"] < results["users"]:
        raise GenrecError(f"{run.folder} did not rank all test users: run `genrec test` on all of them")
    fit = json.loads((run.folder / FIT).read_text(encoding="utf-8")) if (run.folder / FIT).is_file() else {}
    known = {
        "dataset": results["dataset"],
        "study": study,
        "row": row,
        "hash": settings.hash_of(run.config, results.get("overrides", [])),
        "seed": run.config.get(SEED),
        "started": run.folder.resolve().name,
        "commit": fit.get("commit") or results["versions"].get("commit"),
        **{name: results.get(name) for name in ("method", "backbone", "users", "items")},
        "trained": results["parameters"]["trained"],
        "epochs": fit.get("epochs"),
        **{f"{name}_seconds": results["seconds"][name] for name in ("fit", "rank")},
        **{name: results["hardware"][name] for name in ("cpu", "cores", "threads")},
        "gpus": ", ".join(results["hardware"]["gpus"]),
        "torch": results["versions"]["torch"],
        **_metrics(run),
    }
    return {name: _text(value) for name, value in known.items()}


def _metrics(run: Run) -> dict[str, Any]:
    """Every metric of every setting; of those that follow from ranks the ends of the interval of the mean."""
    names = of_ranks(measured(run.results))
    ranks = ranks_of(run, names)
    found: dict[str, Any] = {}
    for setting, values in run.results["settings"].items():
        found |= {f"{setting} {name}": value for name, value in values.items()}
        if values["users"] >= FEWEST:
            of_users = user_metrics(ranks, setting, names)
            low, high, _ = paired_bootstrap(of_users, SAMPLES, np.random.default_rng(0))
            for number, name in enumerate(names):
                found |= {f"{setting} {name} low": low[number], f"{setting} {name} high": high[number]}
    return found


def _text(value: Any) -> str:
    """A number with digits to spare for tables of fewer, which are rounded again; nothing for none."""
    if value is None or value != value:
        return ""
    return f"{value:.9f}" if isinstance(value, float) else str(value)


def main(arguments: Sequence[str] | None = None, results: Path = RESULTS, resolve: Resolve = full_config) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    adding = commands.add_parser("add", help="take runs into the file")
    adding.add_argument("folders", nargs="+", type=Path, metavar="FOLDER", help="studies/NAME, or runs/NAME")
    adding.add_argument("--commit", default="", help="of the code, for runs that do not say")
    commands.add_parser("write", help="make the page, its figures, and the block of README.md")
    chosen = parser.parse_args(arguments)
    try:
        if chosen.command == "add":
            add(chosen.folders, results / RUNS, chosen.commit, resolve)
        else:
            lines = read(results / RUNS)
            readme = board_readme.filled(README.read_text(encoding="utf-8"), lines)
            board_figures.draw(lines, results / "figures")
            write_text(results / PAGE, board_page.page(lines))
            write_text(README, readme)
            print(f"wrote {results / PAGE} and {README}")
    except GenrecError as error:
        print(error, file=sys.stderr)
        sys.exit(2)


if __name__ == "__main__":
    main()
