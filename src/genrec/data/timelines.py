"""Who took what when, user by user: arrays that may be larger than memory."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl

from genrec.data.interactions import ITEM, ROW, SPLIT, TIME, USER
from genrec.data.log import histogram, mapped, slices

KINDS: dict[str, type[np.generic]] = {USER: np.uint32, ITEM: np.uint32, TIME: np.float64, ROW: np.int64, SPLIT: np.int8}


@dataclass(eq=False)
class Timelines:
    """Interactions, user by user, each user's in the order of time.

    Args:
        users: the users' keys.
        items: the items' keys.
        columns: arrays [rows] by the names of `genrec.data.interactions`: the places of users and items among their
            keys, the times, the rows, by which what is of one moment is ordered, and, if they came already cut, the
            splits.
    """

    users: pl.Series
    items: pl.Series
    columns: dict[str, np.ndarray]

    @classmethod
    def of(cls, frame: pl.DataFrame) -> Timelines:
        """Those of a frame of keys with rows; users are numbered in the order of their first row."""
        keys = {
            USER: frame.group_by(USER).agg(pl.col(ROW).min()).sort(ROW)[USER],
            ITEM: frame[ITEM].unique().sort(),
        }
        for name, column in keys.items():
            numbers = pl.DataFrame({name: column, "number": np.arange(len(column), dtype=KINDS[name])})
            frame = frame.join(numbers, on=name, how="left", maintain_order="left")
            frame = frame.with_columns(pl.col("number").alias(name)).drop("number")
        frame = frame.sort(USER, TIME, ROW)
        columns = {name: frame[name].to_numpy().astype(KINDS[name]) for name in KINDS if name in frame.columns}
        return cls(keys[USER], keys[ITEM], columns)

    @classmethod
    def empty(cls, users: pl.Series, items: pl.Series, names: list[str], rows: int, folder: Path) -> Timelines:
        """As many rows as there may be, in files of a folder, to be written to."""
        return cls(users, items, {name: mapped(folder / f"{name}.lines", KINDS[name], rows) for name in names})

    def __len__(self) -> int:
        return len(self.columns[USER])

    def counts(self, name: str, among: np.ndarray | None = None) -> np.ndarray:
        """How many interactions every user or item has, int64; of those that are True in a mask [rows]."""
        most = len(self.users if name == USER else self.items)
        return histogram(self.columns[name], most, among)

    def keep(self, mask: np.ndarray, *others: np.ndarray) -> tuple[np.ndarray, ...]:
        """Forget all rows that are False in a mask [rows], here and in other arrays of rows, which are given back."""
        arrays = [*self.columns.values(), *others]
        end = 0
        for rows in slices(len(mask)):
            kept = mask[rows]
            count = int(kept.sum())
            for array in arrays:
                array[end : end + count] = array[rows][kept]
            end += count
        self.columns = {name: column[:end] for name, column in self.columns.items()}
        return tuple(array[:end] for array in others)

    def first_rows(self) -> np.ndarray:
        """The first row of every item, int64 [items]; the largest number for one that nobody took."""
        found = np.full(len(self.items), np.iinfo(np.int64).max)
        for rows in slices(len(self)):
            np.minimum.at(found, self.columns[ITEM][rows], self.columns[ROW][rows])
        return found

    def core(self, k: int, item_k: int) -> np.ndarray:
        """Which rows stay, bool, when users with fewer than `k` and items with fewer than `item_k` go, till none do."""
        kept = np.ones(len(self), bool)
        before = -1
        while before != (before := int(kept.sum())):
            for name, least in ((USER, k), (ITEM, item_k)):
                enough = self.counts(name, kept) >= least
                for rows in slices(len(self)):
                    kept[rows] &= enough[self.columns[name][rows]]
        return kept

    def tied(self) -> int:
        """How many interactions share their moment with another one of the same user."""
        found, last = 0, len(self)
        for rows in slices(last):
            # One row more on either side, to compare with.
            begin, end = max(rows.start - 1, 0), min(rows.stop + 1, last)
            user, time = self.columns[USER][begin:end], self.columns[TIME][begin:end]
            same = (user[1:] == user[:-1]) & (time[1:] == time[:-1])
            either = np.append(same, False) | np.append(False, same)
            found += int(either[rows.start - begin : rows.stop - begin].sum())
        return found
