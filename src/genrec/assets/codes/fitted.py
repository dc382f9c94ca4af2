"""Which items a quantiser is fitted to, and in what parts it is applied to all; what its recipes share."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Literal

import numpy as np

from genrec.assets.recipe import TEXT, ItemCodes, hash_arrays
from genrec.data import Dataset
from genrec.errors import GenrecError, at_least
from genrec.seeds import number

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


@dataclass(frozen=True, kw_only=True)
class FittedCodes(ItemCodes):
    """Codes of one table of embeddings, by something that is fitted to a draw of its rows.

    Args:
        source: the embeddings that are quantised, by name.
        fit_items: "warm" fits to the items of the training split alone, and names the others as if they were new.
        items: at most so many, drawn at random, are fitted to; all get codes.
        seed: of all that is drawn; None is the run's.
    """

    source: str = TEXT
    fit_items: FitItems = "all"
    items: int = 200_000
    seed: int | None = None

    def __post_init__(self) -> None:
        at_least(1, type(self).__name__, items=self.items)

    @property
    def sources(self) -> Sequence[str]:
        """See `FromEmbeddings.sources`."""
        return (self.source,)

    def fingerprint(self, dataset: Dataset) -> dict[str, object]:
        """See `FromEmbeddings.fingerprint`."""
        return {**asdict(self), **hash_fitted(self.fit_items, dataset)}

    def table(self, dataset: Dataset, embeddings: Mapping[str, np.ndarray]) -> np.ndarray:
        """The rows [n, d] that are fitted to."""
        return embeddings[self.source][drawn(fitted_rows(self.fit_items, dataset), self.items, number(self.seed))]
