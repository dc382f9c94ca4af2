"""A recommender that is served: what it is called, what it has become, and what is looked up in it."""

from __future__ import annotations

from contextlib import suppress
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from genrec.analysis.inspection.overview import Inspection
from genrec.data import Catalog
from genrec.errors import GenrecError
from genrec.io import manifest
from genrec.runs.results import load_run, measured
from genrec.serving.served import Served
from genrec.serving.slots import slot_names
from genrec.web.searching import Finder


class Shown:
    """The items as they are shown, which nothing changes: whoever reads may do so while others are added.

    Args:
        catalog: the items.
        taken: int [n], how often the first of them were taken in training; the others came later.
    """

    def __init__(self, catalog: Catalog, taken: np.ndarray) -> None:
        self.catalog = catalog
        self.taken = np.pad(taken, (0, len(catalog) - len(taken)))

    @cached_property
    def finder(self) -> Finder:
        """What searches them."""
        return Finder(self.catalog, self.taken)

    def found(self, rows: np.ndarray) -> list[dict[str, Any]]:
        """Some of them, as lists show them."""
        items = self.catalog.items.select("item", "title", "categories")[rows].with_columns(
            pl.col("title").fill_null(""),
            pl.col("categories").fill_null([]).list.drop_nulls(),
            pl.Series("warm", self.taken[rows] > 0),
        )
        return items.to_dicts()

    def whole(self, row: int) -> dict[str, Any]:
        """All that is known of one."""
        about = self.catalog.items.row(row, named=True)
        return {**about, **self.found(np.array([row]))[0], "taken": int(self.taken[row])}


class Hosted:
    """A recommender under a name.

    Args:
        name: what requests call it.
        served: ranks.
        folder: what it was loaded from.
        index: the kind of index that it searches; None for none.

    Attributes:
        generation: counts what it has become.
        shown: its items.
    """

    def __init__(self, name: str, served: Served, folder: Path, index: str | None = None) -> None:
        self.name, self.served, self.folder, self.index = name, served, folder, index
        self.generation = 1
        self.metrics = _metrics(folder)
        self.shown = Shown(served.catalog, served.dataset.frequency)
        self._inspection: Inspection | None = None

    def add_items(self, items: pl.DataFrame) -> None:
        """See `Served.add_items`."""
        self.served.add_items(items)
        self.shown = Shown(self.served.catalog, self.served.dataset.frequency)
        self._inspection = None
        self.generation += 1

    def inspection(self) -> Inspection:
        """What tells which items are near each other, made when it is first asked for.

        Raises:
            GenrecError: if the method names no items.
        """
        if self._inspection is None:
            self._inspection = Inspection(self.served, k=1)
        return self._inspection

    def about(self) -> dict[str, Any]:
        """What it is, as `GET /info` tells it."""
        model, items = self.served.model, len(self.shown.catalog)
        return {
            "run": self.name,
            "method": model.method,
            "language_model": model.language_model,
            "dataset": self.served.dataset.name,
            "generation": self.generation,
            "items": items,
            "warm": int((self.shown.taken > 0).sum()),
            "added": items - len(self.served.dataset.catalog),
            "adds_items": model.extends,
            "max_history": self.served.data.max_history,
            "device": str(model.device),
            "index": self.index,
            "slots": slot_names(model),
            "metrics": self.metrics,
        }


def _metrics(folder: Path) -> dict[str, dict[str, float]] | None:
    """What `genrec test` wrote last, by setting; None where nothing was tested, as in a saved folder."""
    if manifest.is_saved(folder):
        return None
    with suppress(GenrecError):
        results = load_run(folder).results
        names = ["users", *measured(results)]
        return {
            setting: {name: values[name] for name in names if name in values}
            for setting, values in results["settings"].items()
        }
    return None
