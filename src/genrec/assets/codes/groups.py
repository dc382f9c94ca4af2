"""Rows of whole numbers that are equal, found by sorting: no Python object for an item."""

from __future__ import annotations

import numpy as np


def row_ids(rows: np.ndarray) -> np.ndarray:
    """A number for every row, int64 [N]: equal ones have the same, and smaller rows (the first column first) a smaller.

    >>> row_ids(np.array([[1, 2], [0, 5], [1, 2]]))
    array([1, 0, 1])

    Args:
        rows: [N, L] of any kind of integer; with no column all rows are equal.
    """
    ids = np.zeros(len(rows), np.int64)
    for column in rows.T.astype(np.int64):
        low = column.min(initial=0)
        # One column at a time: numbers stay below N times the largest, however many columns there are.
        ids = np.unique(ids * (column.max(initial=0) - low + 1) + (column - low), return_inverse=True)[1]
    return ids


def number_equals(rows: np.ndarray) -> np.ndarray:
    """The number 0, 1, 2 .. of every row of [N, L] among the equal ones, in row order: int64 [N].

    Rows that come later change none of the numbers before them.
    """
    return number_in_groups(row_ids(rows))


def number_in_groups(ids: np.ndarray) -> np.ndarray:
    """`number_equals` of rows whose `row_ids` [N] are known."""
    order = np.argsort(ids, kind="stable")
    sizes = np.bincount(ids)
    numbers = np.empty(len(ids), np.int64)
    numbers[order] = np.arange(len(ids)) - np.repeat(sizes.cumsum() - sizes, sizes)
    return numbers


def equal_groups(ids: np.ndarray) -> list[np.ndarray]:
    """The rows of all groups of two or more, the groups of a size together: int64 [groups, size], sizes rising.

    Args:
        ids: from `row_ids`.
    """
    order = np.argsort(ids, kind="stable")
    sizes = np.bincount(ids)
    starts = sizes.cumsum() - sizes
    return [order[starts[sizes == size][:, None] + np.arange(size)] for size in np.unique(sizes[sizes > 1]).tolist()]
