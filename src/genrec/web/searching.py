"""Items by what is typed: the words that their titles or keys hold."""

from __future__ import annotations

import numpy as np
import polars as pl

from genrec.data import Catalog


class Finder:
    """The items of a catalogue, to be searched.

    Args:
        catalog: the items.
        taken: int [N], how often each was taken in training.
    """

    def __init__(self, catalog: Catalog, taken: np.ndarray) -> None:
        words = pl.col("title").fill_null("").str.to_lowercase(), pl.col("item").str.to_lowercase().alias("key")
        self._items = catalog.items.select(*words, pl.Series("taken", taken)).with_row_index("row")

    def find(self, asked: str, limit: int) -> tuple[np.ndarray, int]:
        """The items whose title or key holds every word that is asked for; all, if there is none.

        First whose key it is, then whose title begins with it, then whose key does; equals as often as they were
        taken.

        Args:
            asked: any text.
            limit: at most so many.

        Returns:
            their rows, int64 [n], and how many there are in all.
        """
        asked = asked.lower().strip()
        title, key = pl.col("title"), pl.col("key")
        found = self._items
        for word in asked.split():
            found = found.filter(title.str.contains(word, literal=True) | key.str.contains(word, literal=True))
        order = [key != asked, ~title.str.starts_with(asked), ~key.str.starts_with(asked), -pl.col("taken"), "row"]
        best = found.sort(order).head(limit)
        return best["row"].cast(pl.Int64).to_numpy(), len(found)
