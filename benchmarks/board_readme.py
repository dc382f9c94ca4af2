"""The board's block in README.md: the rows of one study, with what is said of them.

Where it is, and of which study, is written there: ``<!-- board: toys, main_toys_small -->`` until ``<!-- /board -->``.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from benchmarks.board_page import METRICS, Entry, about, current, digits, entries_of, reading
from genrec.analysis.report.command import MAIN_SETTINGS
from genrec.errors import GenrecError

BLOCK = re.compile(r"(<!-- board: (\w+), (\w+) -->\n).*?(<!-- /board -->)", re.DOTALL)


def filled(text: str, lines: Sequence[Mapping[str, str]]) -> str:
    """README with the block of these lines.

    Raises:
        GenrecError: if it has no block, or more than one, or one of a study that has no run.
    """
    found = BLOCK.findall(text)
    if len(found) != 1:
        raise GenrecError(
            f"README.md has {len(found)} blocks `<!-- board: DATASET, STUDY -->` ... `<!-- /board -->`, not one"
        )
    ((_, dataset, study, _),) = found
    return BLOCK.sub(lambda place: place[1] + block(lines, dataset, study) + place[4], text)


def block(lines: Sequence[Mapping[str, str]], dataset: str, study: str) -> str:
    """The table of a study and the sentences below it.

    Args:
        lines: of all runs.
        dataset: whose runs are shown.
        study: whose rows are shown.
    """
    shown = [line for line in current(lines).get(study, []) if line["dataset"] == dataset]
    if not shown:
        raise GenrecError(f"README.md shows {study} on {dataset}, of which there is no run in runs.csv")
    rows = entries_of(study, shown)
    return "\n".join([about(study), _table(sorted(rows, key=lambda entry: not entry.free)), "".join(reading(rows))])


def _table(rows: Sequence[Entry]) -> str:
    """A row per entry, a column per setting with all metrics, and how many trainings it is the mean of."""
    users = {setting: int(rows[0].lines[0].get(f"{setting} users") or 0) for setting in MAIN_SETTINGS}
    head = ["", *(f"{setting} ({users[setting]:,})" for setting in MAIN_SETTINGS), "trainings"]
    table = [head, ["---"] * len(head)]
    for entry in rows:
        trainings = "" if entry.free or not entry.lines else str(len(entry.lines))
        table.append([entry.label, *(_cell(entry, setting) for setting in MAIN_SETTINGS), trainings])
    return "".join(f"| {' | '.join(row)} |\n" for row in table)


def _cell(entry: Entry, setting: str) -> str:
    values = [entry.values.get((setting, metric)) for metric in METRICS]
    return " ".join(digits(value.mean) if value else "-" for value in values)
