"""Which items a quantiser is fitted to, and in what parts it is applied to all."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

import numpy as np

from genrec.assets.recipe import hash_arrays
from genrec.data import Dataset
from genrec.errors import GenrecError

FitItems = Literal["all", "warm"]
MOST = 2**20
"""Codes of all levels; each becomes a token."""
PART = 2**16
"""Items that are named together."""


def check_grid(who: str, levels: int, size: int, fewest: int) -> None:
    """Whether there are codes, and not so many that writing them down fills the memory.

    Raises:
        GenrecError: if not.
    """
    if levels < fewest or size < 1 or levels * size > MOST:
        raise GenrecError(
            f"{who} needs at least {fewest} levels and 1 code at each, and {MOST:,} codes in all at most, got "
            f"levels={levels}, size={size}"
        )


def fitted_rows(items: FitItems, dataset: Dataset) -> np.ndarray:
    """The rows, rising, that a quantiser may be fitted to."""
    return np.arange(len(dataset.catalog)) if items == "all" else np.flatnonzero(dataset.warm)


def drawn(rows: np.ndarray, most: int, seed: int) -> np.ndarray:
    """At most so many of rows [n], rising, drawn at random."""
    if len(rows) <= most:
        return rows
    return np.sort(np.random.default_rng(seed).choice(rows, most, replace=False))


def hash_fitted(items: FitItems, dataset: Dataset) -> dict[str, object]:
    """What a fingerprint has to hold of them."""
    return {"warm": hash_arrays(dataset.warm)} if items == "warm" else {}


def parts_of(table: np.ndarray) -> Iterator[np.ndarray]:
    """The rows of a table [N, d], so many at a time that what is made of them stays small."""
    for start in range(0, len(table), PART):
        yield table[start : start + PART]


def lost(points: np.ndarray, rest: np.ndarray) -> float:
    """The share of the variance of points [n, d] that is lost where codes leave a rest [n, d] of them unsaid."""
    return float(np.square(rest).sum() / max(np.square(points - points.mean(0)).sum(), 1e-12))
