"""A table of results before it has a form: means, deviations, and which are the best."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from genrec.analysis.report.rows import Row
from genrec.evaluation.metrics import parse

Mark = Literal["best", "second"]


@dataclass(frozen=True)
class Cell:
    """A metric of one row in one setting.

    Args:
        mean: over the runs of the row; None where there is none.
        std: their sample standard deviation; None for a single run.
        mark: whether it is the best of its column and setting, or the second.
    """

    mean: float | None
    std: float | None
    mark: Mark | None


@dataclass(frozen=True)
class Line:
    """One row in one setting.

    Args:
        row: the method.
        cells: by metric.
        users: how many are counted; None where the paper does not say.
    """

    row: Row
    cells: dict[str, Cell]
    users: int | None


@dataclass(frozen=True)
class Table:
    """The results of one data set.

    Args:
        dataset: its name.
        split: which of its splits is ranked.
        title: one line about it.
        metrics: the columns.
        blocks: the lines by setting.
    """

    dataset: str
    split: str
    title: str
    metrics: Sequence[str]
    blocks: dict[str, list[Line]]

    @property
    def has_backbones(self) -> bool:
        """Whether there are several language models to be told apart."""
        return len({row.backbone for row in self._rows() if row.backbone}) > 1

    @property
    def has_parameters(self) -> bool:
        """Whether the runs say how many parameters they trained."""
        return any(row.trained is not None for row in self._rows())

    @property
    def computed(self) -> list[str]:
        """What is to be shown of how rows were computed: the batch where it differs, and what is not the usual."""
        found = [row.computed for row in self._rows() if row.computed]
        values = {key: {each[key] for each in found if each[key]} for key in ("batch", "processes", "precision")}
        batch = ["batch"] if len(values["batch"]) > 1 else []
        usual = {"processes": "1", "precision": "32-true"}
        return batch + [key for key in usual if values[key] - {usual[key]}]

    def _rows(self) -> list[Row]:
        return [line.row for block in self.blocks.values() for line in block]


def table(rows: Sequence[Row], settings: Sequence[str]) -> Table:
    """Aggregate rows of one data set, of which the first is of a run of ours."""
    first = rows[0].results[0]
    metrics = dict.fromkeys(name for row in rows if not row.published for name in row.metrics)
    return Table(
        first["dataset"],
        first["split"],
        f"{first['dataset']}: {first['users']:,} {first['split']} users, {first['items']:,} items",
        list(metrics),
        {setting: block for setting in settings if (block := _block(rows, setting, list(metrics)))},
    )


def _block(rows: Sequence[Row], setting: str, metrics: Sequence[str]) -> list[Line]:
    rows = [row for row in rows if any(setting in result["settings"] for result in row.results)]
    columns = {metric: _column(rows, setting, metric) for metric in metrics}
    lines = []
    for number, row in enumerate(rows):
        users = row.values(setting, "users")
        cells = {metric: columns[metric][number] for metric in metrics}
        lines.append(Line(row, cells, int(users[0]) if len(users) else None))
    return lines


def _column(rows: Sequence[Row], setting: str, metric: str) -> list[Cell]:
    values = [row.values(setting, metric) for row in rows]
    means = [float(found.mean()) if len(found) else None for found in values]
    # The paper's experiment was another one: ours are compared with ours. A single row is the best of nothing, and
    # where nobody hits anything nobody is the best.
    ours = [mean for mean, row in zip(means, rows, strict=True) if mean is not None and not row.published]
    high = parse(metric)[0].best == "high"
    order = sorted(set(ours) - ({0.0} if high else set()), reverse=high) if len(ours) > 1 else []
    marks: dict[float, Mark] = dict(zip(order, ("best", "second"), strict=False))
    return [
        Cell(
            mean,
            float(np.std(found, ddof=1)) if len(found) > 1 else None,
            None if mean is None or row.published else marks.get(mean),
        )
        for mean, found, row in zip(means, values, rows, strict=True)
    ]
