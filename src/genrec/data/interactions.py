"""Who took what when: pure functions on a frame with one interaction a row."""

from __future__ import annotations

import zlib

import numpy as np
import polars as pl

from genrec.data.numbers import mixed

USER, ITEM, TIME, ROW = "user", "item", "time", "row"
"""The columns: user and item (keys, or their numbers), the time, and a number that orders what is of one moment."""
SPLIT = "split"
"""A column more where interactions come already cut: 0 for training, 1 for validation, 2 for test."""


def deduplicate(frame: pl.DataFrame) -> pl.DataFrame:
    """Keep the earliest interaction of every (user, item) pair; of equally early ones the first row."""
    return chronological(frame).unique([USER, ITEM], keep="first", maintain_order=True)


def chronological(frame: pl.DataFrame) -> pl.DataFrame:
    """Sort by time; the row number breaks ties, so the order of the input's rows does not matter."""
    return frame.sort(TIME, ROW)


def checksums(keys: pl.Series) -> np.ndarray:
    """A number for every key, uint64 below 2 ** 32, from which the order of ties is drawn."""
    return np.fromiter((zlib.crc32(key.encode()) for key in keys), np.uint64, len(keys))


def draw_ties(frame: pl.DataFrame, users: np.ndarray, items: np.ndarray) -> pl.DataFrame:
    """Number the rows, so that nothing is left of the order they came in.

    Files are often sorted by item. If what a user took in one moment kept that order, a model could learn it. So the
    order of ties is drawn: from a hash of user and item, so that the same interactions are always the same data set,
    however their rows are sorted, and another interaction in the file changes nothing for the others.

    Args:
        frame: interactions; users and items are numbers in the order of their keys.
        users: the `checksums` of all users' keys.
        items: the `checksums` of all items' keys.
    """
    draw = mixed((users[frame[USER].to_numpy()] << np.uint64(32)) | items[frame[ITEM].to_numpy()])
    others = [name for name in frame.columns if name not in (USER, ITEM, TIME)]
    frame = frame.with_columns(pl.Series("draw", draw)).sort(USER, "draw", ITEM, TIME, *others)
    return frame.drop("draw").with_row_index(ROW)
