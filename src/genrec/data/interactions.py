"""Who took what when: pure functions on a frame with one interaction a row."""

from __future__ import annotations

import zlib

import numpy as np
import polars as pl

from genrec.data.numbers import mixed

USER, ITEM, TIME, ROW = "user", "item", "time", "row"
"""The columns: keys of user and item (text), the time (a number), and a number that orders what is of one moment."""


def deduplicate(frame: pl.DataFrame) -> pl.DataFrame:
    """Keep the earliest interaction of every (user, item) pair; of equally early ones the first row."""
    return chronological(frame).unique([USER, ITEM], keep="first", maintain_order=True)


def chronological(frame: pl.DataFrame) -> pl.DataFrame:
    """Sort by time; the row number breaks ties, so the order of the input's rows does not matter."""
    return frame.sort(TIME, ROW)


def draw_ties(frame: pl.DataFrame) -> pl.DataFrame:
    """Number the rows anew, so that nothing is left of the order they came in.

    Files are often sorted by item. If what a user took in one moment kept that order, a model could learn it. So the
    order of ties is drawn: from a hash of user and item, so that the same interactions are always the same data set,
    however their rows are sorted, and another interaction in the file changes nothing for the others.

    Args:
        frame: interactions. The keys become `polars.Enum`, numbers that are compared faster than text and sorted as it.
    """
    draw, columns = np.zeros(len(frame), np.uint64), []
    for column in (USER, ITEM):
        keys = frame[column].unique().sort()
        coded = frame[column].cast(pl.Enum(keys))
        hashes = np.fromiter((zlib.crc32(key.encode()) for key in keys), np.uint64, len(keys))
        draw = (draw << np.uint64(32)) | hashes[coded.to_physical().to_numpy()]
        columns.append(coded)
    frame = frame.with_columns(*columns, pl.Series("draw", mixed(draw)))
    return frame.sort(USER, "draw", ITEM, TIME).drop(ROW, "draw").with_row_index(ROW)


def tied(frame: pl.DataFrame) -> int:
    """How many interactions share their moment with another one of the same user."""
    return int(frame.group_by(USER, TIME).len().filter(pl.col("len") > 1)["len"].sum())


def k_core(frame: pl.DataFrame, k: int, item_k: int | None = None) -> pl.DataFrame:
    """Drop users with fewer than `k` interactions and items with fewer than `item_k`, until nothing changes.

    Args:
        frame: interactions.
        k: for users, and for items unless ``item_k`` is given.
        item_k: for items.
    """
    while True:
        kept = frame
        for column, least in ((USER, k), (ITEM, k if item_k is None else item_k)):
            kept = kept.filter(pl.len().over(column) >= least)
        if len(kept) == len(frame):
            return kept
        frame = kept
