"""Figures over runs, as png and pdf: rows side by side, popularity groups, accuracy against time, and sweeps."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullLocator, StrMethodFormatter

from genrec.analysis.report.rows import Row, grouped
from genrec.analysis.report.variants import all_seeds_differ, differences, find_key
from genrec.config.settings import flat, show
from genrec.errors import GenrecError
from genrec.evaluation.metrics import MAIN, METRICS, main_of, title
from genrec.io.files import write_new
from genrec.runs.results import Run

GROUPS = ("G1", "G2", "G3", "G4", "G5")
SWEEP = "val_sweep/"
COLOURS = [*colormaps["tab20"].colors[::2], *colormaps["tab20"].colors[1::2]]  # type: ignore[attr-defined]
"""The usual ten, then a light one of each: a main table has fifteen rows."""


def draw(rows: Sequence[Row], runs: Sequence[Run], settings: Sequence[str], over: str | None, to: Path) -> list[Path]:
    """Draw every figure that the runs of one data set have something for.

    Args:
        rows: the table's.
        runs: what they were made of.
        settings: a panel each, of the rows beside each other and of the sweep over `over`.
        over: a key of the runs' configs to draw a metric against; None for no such figure.
        to: the folder, and the data set's name in it: of ``plots/toys``, ``plots/toys_<figure>.png`` and ``.pdf`` are
            written.

    Returns:
        the files.

    Raises:
        GenrecError: if `over` is no key of the configs, or the runs differ in others as well.
    """
    metric = main_of(rows[0].metrics)
    if len({row.backbone for row in rows if row.backbone}) > 1:
        rows = [replace(row, method=_with_backbone(row.method, row.backbone)) for row in rows]
    figures = {
        "settings": _settings(rows, settings, metric),
        "groups": _groups(rows, metric),
        "seconds": _seconds(rows, metric),
        "validation_sweep": _validation_sweep(rows),
    }
    if over:
        key = find_key(runs, over)
        figures[key.rpartition(".")[2]] = _over(runs, key, settings, metric)
    drawn = {Path(f"{to}_{name}{form}"): made for name, made in figures.items() if made for form in (".png", ".pdf")}
    for path, made in drawn.items():
        write_new(path, made.savefig)
    return list(drawn)


def _with_backbone(method: str, backbone: str | None) -> str:
    """A legend has no room for all of a model's sizes."""
    return f"{method}, {backbone.partition(',')[0]}" if backbone else method


def _axes(panels: int = 1) -> tuple[Figure, list[Axes]]:
    """Panels beside each other, without pyplot, whose figures are global and stay in memory."""
    figure = Figure(figsize=(1 + 4 * panels, 3.5), dpi=150, layout="constrained")
    FigureCanvasAgg(figure)
    axes = list(figure.subplots(1, panels, squeeze=False)[0])
    for each in axes:
        each.set_prop_cycle(color=COLOURS)
    return figure, axes


def _legend(figure: Figure, axes: Axes) -> None:
    """Above the axes, where it hides no point, and in room of its own."""
    handles, labels = axes.get_legend_handles_labels()
    columns = max(2, int(figure.get_figwidth()) // 3)
    figure.set_figheight(3.2 + 0.2 * -(-len(labels) // columns))
    figure.legend(handles, labels, loc="outside upper center", ncols=columns, fontsize="small")


def _settings(rows: Sequence[Row], settings: Sequence[str], metric: str) -> Figure | None:
    """A bar per row, as in Figure 6 of SETRec; a panel per setting, because metrics differ in size between them."""
    names = [name for name in settings if any(len(row.values(name, metric)) for row in rows)]
    if len(rows) < 2 or not names:
        return None
    figure, panels = _axes(len(names))
    for axes, name in zip(panels, names, strict=True):
        for number, row in enumerate(rows):
            values = row.values(name, metric)
            mean = values.mean() if len(values) else np.nan
            axes.bar(number, mean, yerr=_deviations([values]), label=row.method)
        axes.set(title=name, xticks=[], ylabel=title(metric))
    _legend(figure, panels[0])
    return figure


def _groups(rows: Sequence[Row], metric: str) -> Figure | None:
    """Bars by popularity group, as in Figure 7 of SETRec."""
    names = [name for name in GROUPS if any(len(row.values(name, metric)) for row in rows)]
    if not names:
        return None
    figure, (axes,) = _axes()
    width = 0.8 / len(rows)
    for number, row in enumerate(rows):
        values = [row.values(name, metric) for name in names]
        means = [found.mean() if len(found) else np.nan for found in values]
        places = np.arange(len(names)) + (number - (len(rows) - 1) / 2) * width
        axes.bar(places, means, width, yerr=_deviations(values), label=row.method)
    axes.set_xticks(range(len(names)), names)
    axes.set(xlabel="popularity group of the target, G1 the most popular", ylabel=title(metric))
    _legend(figure, axes)
    return figure


def _seconds(rows: Sequence[Row], metric: str) -> Figure:
    """Accuracy over all items against the time that ranking all users took."""
    figure, (axes,) = _axes()
    for row in rows:
        assert row.seconds is not None, "a run of ours has its seconds"
        values = row.values("all", metric)
        axes.errorbar(row.seconds, values.mean(), yerr=_deviations([values]), fmt="o", label=row.method)
    axes.set(xlabel="seconds of ranking", ylabel=title(metric))
    _logarithmic(axes)
    _legend(figure, axes)
    return figure


def _validation_sweep(rows: Sequence[Row]) -> Figure | None:
    """NDCG on validation against the weight that validation chose, of the fits that logged it.

    A panel per method: the one's weight is another than the other's (SETRec's beta, DreamRec's guidance).
    """
    sweeps = [(row, found) for row in rows if (found := [sweep for run in row.runs if (sweep := _sweep(run))])]
    if not sweeps:
        return None
    methods = grouped(sweeps, lambda each: each[0].results[0]["method"])
    figure, panels = _axes(len(methods))
    for axes, same in zip(panels, methods, strict=True):
        for row, found in same:
            values = sorted(set(found[0]).intersection(*found))
            points = [np.array([sweep[value] for sweep in found]) for value in values]
            means = [point.mean() for point in points]
            axes.errorbar(values, means, yerr=_deviations(points), marker="o", label=row.method)
        axes.set(title=same[0][0].results[0]["method"], xlabel="the weight that validation chooses")
        axes.set_ylabel(f"{METRICS[MAIN].title} on validation")
        axes.legend(fontsize="small")
    return figure


def _sweep(run: Run) -> dict[float, float]:
    """The best epoch's NDCG by value; empty where nothing was to be chosen. A resumed fit has several logs."""
    best: dict[float, float] = {}
    for path in sorted(run.folder.glob("logs/*/metrics.csv")):
        try:
            epochs = pl.read_csv(path, infer_schema_length=None).select(pl.col(f"^{SWEEP}.*$")).drop_nulls()
        except pl.exceptions.PolarsError as error:
            raise GenrecError(f"{path} is not a table ({error})") from error
        if epochs.width and not epochs.is_empty():
            values = epochs.row(int(epochs.max_horizontal().arg_max() or 0), named=True)
            found = {float(name.removeprefix(SWEEP)): value for name, value in values.items()}
            best = max(best, found, key=lambda sweep: max(sweep.values(), default=0))
    return best


def _over(runs: Sequence[Run], key: str, settings: Sequence[str], metric: str) -> Figure:
    """A metric against a key of the configs: a panel per setting, a line per method, the mean over seeds."""
    figure, panels = _axes(len(settings))
    having = [run for run in runs if key in flat(run.config)]
    drawn: set[float | str] = set()
    for same in grouped(having, lambda run: (run.results["method"], run.results.get("backbone"))):
        points = _points(same, key)
        drawn |= set(points)
        for axes, setting in zip(panels, settings, strict=True):
            values = [
                Row("", None, [run.results for run in point]).values(setting, metric) for point in points.values()
            ]
            means = [found.mean() if len(found) else np.nan for found in values]
            label = _with_backbone(same[0].results["method"], same[0].results.get("backbone"))
            axes.errorbar(list(points), means, yerr=_deviations(values), marker="o", label=label)
    for axes, setting in zip(panels, settings, strict=True):
        axes.set(title=setting, xlabel=key.rpartition(".")[2], ylabel=title(metric))
        if _is_geometric(drawn):
            _logarithmic(axes)
    _legend(figure, panels[0])
    return figure


def _is_geometric(values: set[float | str]) -> bool:
    """Whether each value is at least twice the one before, as learning rates and widths are chosen."""
    numbers = sorted(value for value in values if not isinstance(value, str))
    doubled = all(0 < 2 * one <= next_ for one, next_ in itertools.pairwise(numbers))
    return len(numbers) == len(values) > 2 and doubled


def _logarithmic(axes: Axes) -> None:
    """A horizontal axis of powers, with numbers that are read at once, however short it is."""
    axes.set_xscale("log")
    low, high = axes.get_xlim()
    axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5) if high < 1000 * low else (1,)))
    axes.xaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
    axes.xaxis.set_minor_locator(NullLocator())


def _points(runs: list[Run], key: str) -> dict[float | str, list[Run]]:
    """The runs of one method by their value of the key, in order; numbers stay numbers if all are."""
    method = runs[0].results["method"]
    others = [other for other in differences(runs) if other != key]
    if others:
        raise GenrecError(
            f"the runs of {method} differ in `{others[0]}` too: a figure over `{key}` takes runs that differ in "
            "nothing else"
        )
    points = grouped(runs, lambda run: show(_value(run, key)))
    if not all(all_seeds_differ(point) for point in points):
        raise GenrecError(f"two runs of {method} have the same `{key}` and the same seed: give one of them")
    by_value = {_value(point[0], key): point for point in points}
    if all(isinstance(value, int | float) for value in by_value):
        return dict(sorted(by_value.items()))
    return {show(value): point for value, point in by_value.items()}


def _value(run: Run, key: str) -> Any:
    """What a run has for the key; of a list of one number, such as the ``betas`` to choose from, the number."""
    value = flat(run.config)[key]
    if isinstance(value, list) and len(value) == 1:
        (value,) = value
    return str(value) if isinstance(value, list | dict) else value


def _deviations(values: Sequence[np.ndarray]) -> list[float]:
    return [float(np.std(found, ddof=1)) if len(found) > 1 else np.nan for found in values]
