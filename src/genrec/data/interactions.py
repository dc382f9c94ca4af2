"""Who took what when: pure functions on a frame with one interaction a row."""

from __future__ import annotations

import polars as pl

USER, ITEM, TIME, ROW = "user", "item", "time", "row"
"""The columns: keys of user and item (text), the time (a number), and the row of the file it came from."""


def deduplicate(frame: pl.DataFrame) -> pl.DataFrame:
    """Keep the earliest interaction of every (user, item) pair; of equally early ones the first row."""
    return chronological(frame).unique([USER, ITEM], keep="first", maintain_order=True)


def chronological(frame: pl.DataFrame) -> pl.DataFrame:
    """Sort by time; the row number breaks ties, so the order of the input's rows does not matter."""
    return frame.sort(TIME, ROW)


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
