"""A plain table of (user, item, timestamp), and one of the items."""

from __future__ import annotations

from pathlib import Path

import polars as pl

from genrec.data.build import build
from genrec.data.catalog import CATEGORIES, KEY
from genrec.data.dataset import Dataset, Source
from genrec.data.files import read_table
from genrec.data.interactions import ITEM, ROW, TIME, USER
from genrec.data.splits import QuantileSplit, Split
from genrec.errors import GenrecError


class Table(Source):
    """Interactions from a csv, jsonl or parquet file.

    Files are looked for below the folder of the data (``--data.root``), beside it, then in the working folder.

    Repeated (user, item) pairs count once, at their earliest; users and items with fewer than `k_core` interactions
    are dropped until none is left; then the timelines are cut.

    Args:
        interactions: the file, one interaction a row.
        items: the file of the items, one a row: the column `item` and any of title, brand, description, tags and
            categories (a list; in a csv file separated by ``|``). Without it the items have no text.
        user: the column of the users' keys.
        item: the column of the items' keys, in both files.
        timestamp: the column of the times: numbers, or ISO dates and times (UTC unless they say otherwise), which
            become seconds since 1970.
        k_core: the least number of interactions of a user and of an item.
        split: where the timelines are cut; `QuantileSplit` if None.
    """

    def __init__(
        self,
        interactions: str,
        items: str | None = None,
        user: str = "user",
        item: str = "item",
        timestamp: str = "timestamp",
        k_core: int = 5,
        split: Split | None = None,
    ) -> None:
        self.interactions = interactions
        self.items = items
        self.columns = {user: USER, item: ITEM, timestamp: TIME}
        self.item = item
        self.k_core = k_core
        self.split = split or QuantileSplit()

    def load(self, root: str | Path) -> Dataset:
        """Read, filter and cut.

        Raises:
            GenrecError: if a file or column is missing or broken, an interaction is of an item that the item table
                lacks, or a split is empty.
        """
        interactions = _find(self.interactions, Path(root))
        frame = self._interactions(interactions)
        items = None
        if self.items is not None:
            path = _find(self.items, Path(root))
            items = self._items(path)
            unknown = frame.join(items, left_on=ITEM, right_on=KEY, how="anti")
            if len(unknown):
                raise GenrecError(
                    f"item `{unknown[ITEM][0]}` of `{interactions}` is not in `{path}` "
                    f"({unknown[ITEM].n_unique()} such items in {len(unknown)} interactions)"
                )
        return build(Path(self.interactions).stem, frame, items, self.k_core, self.split)

    def _interactions(self, path: Path) -> pl.DataFrame:
        table = read_table(path)
        _require(table, list(self.columns), path)
        frame = table.select(pl.col(name).alias(column) for name, column in self.columns.items()).with_row_index(ROW)
        frame = frame.with_columns(pl.col(USER, ITEM).cast(pl.String), _seconds(frame[TIME], path).alias(TIME))
        for name, column in self.columns.items():
            if frame[column].null_count():
                raise GenrecError(f"{path}, row {frame[column].is_null().arg_max()}: no value in column `{name}`")
        return frame

    def _items(self, path: Path) -> pl.DataFrame:
        items = read_table(path)
        _require(items, [self.item], path)
        items = items.with_columns(pl.col(self.item).cast(pl.String).alias(KEY))
        if items[KEY].is_duplicated().any():
            raise GenrecError(f"{path}: item `{items[KEY].filter(items[KEY].is_duplicated())[0]}` is there twice")
        if CATEGORIES in items.columns and items[CATEGORIES].dtype == pl.String:
            items = items.with_columns(pl.col(CATEGORIES).str.split("|"))
        return items


def _find(name: str, root: Path) -> Path:
    """A file below the folder of the data, beside it, or else in the working folder.

    Beside ``data`` is the working folder itself, and still is when a run is loaded from another one.

    Raises:
        GenrecError: if none has it.
    """
    for folder in (root, root.parent, Path()):
        if (folder / name).is_file():
            return folder / name
    places = (
        f" in `{root}`, beside it, or in the working folder `{Path.cwd()}`: --data.root names the folder of the data"
    )
    raise GenrecError(f"there is no file `{name}`" + ("" if Path(name).is_absolute() else places))


def _require(table: pl.DataFrame, columns: list[str], path: Path) -> None:
    for column in columns:
        if column not in table.columns:
            raise GenrecError(f"`{path}` has no column `{column}`; its columns are: {', '.join(table.columns)}")


def _seconds(times: pl.Series, path: Path) -> pl.Series:
    """Numbers as they are; dates and times as seconds since 1970."""
    try:
        if times.dtype == pl.String:
            numbers = times.cast(pl.Float64, strict=False)
            if numbers.null_count() == times.null_count():
                return numbers.fill_nan(None)
            times = times.str.to_datetime(time_unit="us", time_zone="UTC")
        if times.dtype.is_temporal():
            return times.cast(pl.Datetime("us")).dt.epoch("us") / 1e6
        return times.cast(pl.Float64).fill_nan(None)
    except pl.exceptions.PolarsError as error:
        raise GenrecError(
            f"the timestamps of `{path}` (such as `{times[0]}`) are not all numbers or ISO dates"
        ) from error
