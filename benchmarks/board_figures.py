"""The figures of the board: a table's NDCG with its intervals."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from benchmarks.board_page import METRICS, Entry, current, entries_of, figure_name
from genrec.analysis.report.command import MAIN_SETTINGS
from genrec.analysis.report.rows import grouped
from genrec.evaluation.metrics import short
from genrec.io.files import write_over


def draw(lines: Sequence[Mapping[str, str]], folder: Path) -> None:
    """A figure for every study and data set that has runs."""
    for study, own in current(lines).items():
        for same in grouped(own, lambda line: line["dataset"]):
            write_over(
                folder / figure_name(study, same), partial(_figure(entries_of(study, same)).savefig, format="png")
            )


def _figure(entries: Sequence[Entry]) -> Figure:
    """Intervals below each other, a panel per setting; open circles were trained on nothing, crosses published."""
    figure = Figure(figsize=(11, 1 + 0.25 * len(entries)), dpi=100, layout="constrained")
    FigureCanvasAgg(figure)
    panels = figure.subplots(1, len(MAIN_SETTINGS), sharey=True)
    for axes, setting in zip(panels, MAIN_SETTINGS, strict=True):
        for place, entry in enumerate(entries):
            if (value := entry.values.get((setting, METRICS[1]))) is None:
                continue
            known = not np.isnan(value.low)
            ends = [[max(0.0, value.mean - value.low)], [max(0.0, value.high - value.mean)]] if known else None
            colour = "tab:gray" if entry.free or not entry.lines else "tab:blue"
            face = "white" if entry.free else colour
            axes.errorbar(value.mean, place, xerr=ends, fmt="o" if entry.lines else "x", color=colour, mfc=face)
        axes.set(title=setting, xlabel=short(METRICS[1]), xlim=(0, None))
        axes.grid(axis="x", alpha=0.3)
        axes.locator_params(axis="x", nbins=4)
    panels[0].set_yticks(range(len(entries)), [entry.label.strip("*") for entry in entries])
    panels[0].invert_yaxis()
    return figure
