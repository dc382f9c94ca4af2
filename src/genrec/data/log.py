"""A log of any length as numbers, in files that are mapped: what memory it takes is decided by its keys."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import IO, Literal

import numpy as np
import polars as pl

from genrec.data.interactions import ITEM, SPLIT, TIME, USER

PART = 1 << 22
"""Rows that are looked at together."""
KINDS: dict[str, type[np.generic]] = {USER: np.uint32, ITEM: np.uint32, TIME: np.float64, SPLIT: np.int8}
Changed = Callable[[str, pl.Series, np.ndarray], pl.Series]
"""Other keys for the keys of a column, which occur so often."""


@dataclass(frozen=True, eq=False)
class Log:
    """Interactions in the order in which they were read.

    Args:
        users: their keys, sorted.
        items: their keys, sorted.
        columns: arrays [rows]: the places of users and items among their keys, the times, and, if the log came already
            cut, the number of the part (`genrec.data.interactions.SPLIT`).
    """

    users: pl.Series
    items: pl.Series
    columns: dict[str, np.ndarray]

    def __len__(self) -> int:
        return len(self.columns[USER])

    def by_users(self, scratch: Path) -> Iterator[pl.DataFrame]:
        """The rows of some users at a time, in the order of their keys: all of theirs, as they were read.

        The log is used up: no more of it stays mapped than the rows that are looked at.

        Args:
            scratch: where the log is written again, the users of a frame together.
        """
        counts = histogram(self.columns[USER], len(self.users))
        frame_of = (np.cumsum(counts) - counts) // PART
        if not frame_of.any():
            yield pl.DataFrame(self.columns)
            return
        starts = np.concatenate([[0], np.cumsum(np.bincount(frame_of, counts).astype(np.int64))])
        together = {name: mapped(scratch / f"{name}.users", KINDS[name], len(self)) for name in self.columns}
        free = starts.copy()
        for rows in slices(len(self)):
            frames = frame_of[self.columns[USER][rows]]
            order = np.argsort(frames, kind="stable")
            ends = np.cumsum(np.bincount(frames, minlength=len(starts) - 1))
            for name, column in self.columns.items():
                values = column[rows][order]
                for frame in np.flatnonzero(np.diff(ends, prepend=0)):
                    part = values[ends[frame - 1] if frame else 0 : ends[frame]]
                    together[name][free[frame] : free[frame] + len(part)] = part
            free[:-1] += np.diff(ends, prepend=0)
        names = list(together)
        together.clear()
        self.columns.clear()
        for start, end in pairwise(starts.tolist()):
            if start < end:
                files = {name: mapped(scratch / f"{name}.users", KINDS[name], end - start, start) for name in names}
                yield pl.DataFrame(files)


class Recorder:
    """Writes a log, batch by batch.

    Args:
        folder: where its files are made; they are mapped as long as the log is in use.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.rows = 0
        self._files: dict[str, IO[bytes]] = {}
        # Polars numbers the keys; it forgets them when no column of this kind is left.
        self._keys = {
            name: pl.Series(name, [], pl.Categorical(pl.Categories.random(name, pl.UInt32))) for name in (USER, ITEM)
        }

    def add(self, frame: pl.DataFrame) -> None:
        """The next interactions: the columns user and item (text), time, and split if they are cut."""
        for name in KINDS:
            if name in frame.columns:
                column = frame[name]
                if name in self._keys:
                    column = column.cast(self._keys[name].dtype).to_physical()
                if name not in self._files:
                    self._files[name] = (self.folder / f"{name}.read").open("wb")
                column.to_numpy().astype(KINDS[name], copy=False).tofile(self._files[name])
        self.rows += len(frame)

    def finish(self, second: float = 1.0, changed: Changed = lambda name, keys, counts: keys) -> Log:
        """The log.

        Args:
            second: times are divided by it.
            changed: keys that were written otherwise may become the same.
        """
        columns: dict[str, np.ndarray] = {}
        for name, file in self._files.items():
            file.close()
            columns[name] = mapped(self.folder / f"{name}.read", KINDS[name], self.rows)
        keys = {}
        for name, column in self._keys.items():
            found: pl.Series = column.dtype.categories.to_series()  # type: ignore[attr-defined]
            written = changed(name, found, histogram(columns[name], len(found)))
            keys[name] = written.unique().sort().rename(name)
            place = keys[name].search_sorted(written).to_numpy()
            for rows in slices(self.rows):
                columns[name][rows] = place[columns[name][rows]]
        for rows in slices(self.rows) if second != 1 else ():
            columns[TIME][rows] /= second
        return Log(keys[USER], keys[ITEM], columns)


def record(frame: pl.DataFrame, folder: Path) -> Log:
    """The log of a frame that is in memory."""
    recorder = Recorder(folder)
    recorder.add(frame)
    return recorder.finish()


def slices(rows: int) -> Iterator[slice]:
    """All rows, so many at a time that what is made of them is small."""
    return (slice(start, min(start + PART, rows)) for start in range(0, rows, PART))


def lists_of(offsets: np.ndarray) -> Iterator[slice]:
    """All lists that begin at offsets, so many at a time that together they have few items; one may have many."""
    starts = np.searchsorted(offsets, np.arange(0, offsets[-1], PART))
    return (slice(begin, end) for begin, end in pairwise(np.unique(np.append(starts, len(offsets) - 1)).tolist()))


def histogram(numbers: np.ndarray, most: int, among: np.ndarray | None = None) -> np.ndarray:
    """How often each of the numbers below ``most`` occurs, int64; where a mask is True, if there is one."""
    found = np.zeros(most, np.int64)
    for rows in slices(len(numbers)):
        part = numbers[rows] if among is None else numbers[rows][among[rows]]
        found += np.bincount(part, minlength=most)
    return found


def mapped(path: Path, kind: type[np.generic], rows: int, start: int = 0) -> np.ndarray:
    """Rows of a file from one on, as an array that can be written to; it is made if there is none."""
    if not rows:  # nothing can be mapped of an empty file
        return np.empty(0, kind)
    mode: Literal["r+", "w+"] = "r+" if path.exists() else "w+"
    return np.asarray(np.memmap(path, kind, mode, start * np.dtype(kind).itemsize, (rows,)))
