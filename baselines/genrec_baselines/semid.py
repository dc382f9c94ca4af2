"""SemID: an item becomes its path in the category tree, a token per category name, and a number among its equals.

Hua et al., "How to Index Item IDs for Recommendation Foundation Models", SIGIR-AP 2023, arXiv 2305.06569 (semantic
indexing). Reference implementation: github.com/Wenyueh/LLM-RecSys-ID, `item_rep_method.py`, `build_category_map` and
`content_based_representation`. Unlike there, numbers begin with 0, names are cleaned, and a catalogue can grow.
"""

from __future__ import annotations

from html import unescape
from typing import Literal

import numpy as np
import polars as pl

from genrec.assets import Frequency, ItemAssets
from genrec.assets.codes.groups import number_in_groups, row_ids
from genrec.data import Catalog, Ragged
from genrec.data.catalog import CATEGORIES, KEY
from genrec.errors import GenrecError
from genrec.identifiers import NewRows, NewToken, Search, TokenSequence
from genrec.types import PAD
from genrec_baselines.numbering import append, digits, width_for

LONGEST = 60
"""A category name with more characters is a sentence that strayed into the list."""
DEPARTMENT = 0.95
"""A first category that so many items share says nothing."""
BASE = 1024
"""How many tokens there are for the numbers of items with the same path; beyond that a number has two."""
SHUFFLE = 0
"""The seed of the numbers' order."""

UNKNOWN = 0
ROW, NAME, FOLDED, PLACE, LEVEL = "row", "name", "folded", "place", "level"
"""The columns of categories by item. A category is known by its level, or 0 for all, and its name in small letters."""


class SemID(TokenSequence):
    """Items of the same categories begin with the same tokens: ``<Makeup><Lips><Lip Liners><5>``.

    The numbers of a path are shuffled: in the order of the keys they would tell, where keys are chronological, which
    items are new. An item without a category is a token of its own. Items that are added later get the next numbers of
    their paths, that of ``<unknown>`` among them, and a category that the data set does not have is left out.

    Args:
        order: categories are a path, "listed" from the widest to the narrowest, or labels without an order, such as
            genres: the most "frequent" comes first.
        depth: at most so many categories of an item; None takes all.
        by_level: the same name at two levels is two tokens.
        initial: category tokens begin as the mean of their name's "words", or "random".
        warm_first: number the items of the training split before the others.
        search: see `TokenSequence`.
        separator: see `TokenSequence`.
        new_rows: see `TokenSequence`.

    Raises:
        GenrecError: if ``depth`` is below 1.
    """

    def __init__(
        self,
        order: Literal["listed", "frequent"] = "listed",
        depth: int | None = None,
        by_level: bool = False,
        initial: Literal["words", "random"] = "words",
        warm_first: bool = False,
        search: Search | None = None,
        separator: str = " ",
        new_rows: NewRows = "matched",
    ) -> None:
        super().__init__(search, separator, new_rows=new_rows)
        if depth is not None and depth < 1:
            raise GenrecError(f"SemID needs at least one category of an item, got depth={depth}")
        self.order = order
        self.depth = depth
        self.by_level = by_level
        self.initial = initial
        self.warm_first = warm_first

    def new_tokens(self, catalog: Catalog, assets: ItemAssets) -> list[NewToken]:
        """``<unknown>``, a token per category, those of the numbers, and one per item without a category.

        Raises:
            GenrecError: if no item has a category that tells it from others.
        """
        named = clean(catalog)
        self.department = find_department(named)
        self.frequency = named.group_by(FOLDED).agg(count=pl.len())
        # Of several spellings the first in the alphabet is shown, whatever the order of the items.
        levels = self._levels(named)
        spelled = levels.group_by(LEVEL, FOLDED).agg(pl.col(NAME).min()).sort(LEVEL, FOLDED)
        if spelled.is_empty():
            beside = f" beside `{self.department}`" if self.department else ""
            raise GenrecError(
                f"none of the {len(catalog)} items has a category{beside}, and SemID names items by their categories: "
                "give a data set that has them, as those from raw Amazon, MovieLens or Steam files, or take a method "
                "that does without, such as CID, E4SRec or DreamRec"
            )
        self.numbers = spelled.select(LEVEL, FOLDED, number=pl.int_range(1, pl.len() + 1))
        words = self.initial == "words"
        categories = [NewToken(f"<{name}>", name if words else "") for name in spelled[NAME]]
        listed = catalog.items.select(pl.col(KEY), pl.int_range(pl.len()).alias(ROW))
        without = listed.filter(~pl.col(ROW).is_in(levels[ROW].unique().implode())).sort(KEY)
        self.nameless = without[ROW].to_numpy()
        own = (NewToken(f"<{key}>") for key in without[KEY])
        return [NewToken("<unknown>"), *categories, *(NewToken(f"<{number}>") for number in range(BASE)), *own]

    def name_items(self, catalog: Catalog, assets: ItemAssets, known: np.ndarray) -> np.ndarray:
        """See `TokenSequence.name_items`."""
        paths = self._paths(catalog)
        ids, new = row_ids(paths), slice(len(known), None)
        there = np.bincount(ids[: len(known)], minlength=ids.max() + 1)
        coming = np.bincount(ids[new], minlength=len(there))
        widths = width_for(np.where(there > 0, there, coming), BASE)[ids[new]]
        order = self._order(catalog, assets, len(known))
        numbers = np.empty(len(order), np.int64)
        numbers[order] = number_in_groups(ids[new][order])
        codes = digits(numbers + there[ids[new]], BASE, widths)
        codes = append(paths[new], np.where(codes == PAD, PAD, codes + 1 + len(self.numbers)))
        if not len(known):
            codes[self.nameless] = PAD
            codes[self.nameless, 0] = 1 + len(self.numbers) + BASE + np.arange(len(self.nameless))
        return np.where(codes == PAD, PAD, codes + self.names.words)

    def _order(self, catalog: Catalog, assets: ItemAssets, known: int) -> np.ndarray:
        """The items from row ``known`` on, counted from there, in the order in which they are numbered."""
        late = np.zeros(len(catalog), bool)
        if self.warm_first:
            counts = assets.built(Frequency())["counts"]
            late[:] = True
            late[: len(counts)] = counts == 0
        by_key = catalog.items[KEY][known:].arg_sort().to_numpy().astype(np.int64)
        shuffled = by_key[np.random.default_rng(SHUFFLE).permutation(len(by_key))]
        return shuffled[np.argsort(late[known:][shuffled], kind="stable")]

    def _levels(self, named: pl.DataFrame) -> pl.DataFrame:
        """The items' paths: the rows of `clean` that count, in order, and the level that each is known by."""
        if self.order == "listed" and self.department:
            named = named.filter(pl.int_range(pl.len()).over(ROW) > 0)
        if self.order == "frequent":
            named = named.filter(pl.col(FOLDED) != self.department)
            counted = named.join(self.frequency, on=FOLDED, how="left", maintain_order="left")
            named = counted.sort(ROW, -pl.col("count").cast(pl.Int64).fill_null(0), FOLDED, maintain_order=True)
        place = pl.int_range(pl.len()).over(ROW)
        named = named.with_columns(place.alias(PLACE), (place if self.by_level else pl.lit(0, pl.Int64)).alias(LEVEL))
        return named if self.depth is None else named.filter(pl.col(PLACE) < self.depth)

    def _paths(self, catalog: Catalog) -> np.ndarray:
        """The numbers of the items' category tokens, that of ``<unknown>`` where there is none, int64 [N, L]."""
        levels = self._levels(clean(catalog)).join(self.numbers, on=[LEVEL, FOLDED], how="inner", maintain_order="left")
        paths = Ragged.from_rows(levels[ROW].to_numpy(), levels["number"].to_numpy(), len(catalog))
        table = paths.padded(np.arange(len(catalog)))
        table = table if table.shape[1] else np.full((len(catalog), 1), PAD)
        table[table[:, 0] == PAD, 0] = UNKNOWN
        return table


def clean(catalog: Catalog) -> pl.DataFrame:
    """The category names of the items, without HTML entities, runs of spaces and what is no name.

    Returns:
        A row per item and name, in order: ``row``, ``name``, and ``folded``, the name in small letters.
    """
    listed = catalog.items.select(pl.int_range(pl.len()).alias(ROW), pl.col(CATEGORIES).alias(NAME))
    listed = listed.explode(NAME).drop_nulls()
    written = listed[NAME].unique().to_list()
    names = [" ".join(unescape(name).split()) for name in written]
    table = pl.DataFrame(
        {"written": written, NAME: names, FOLDED: [name.casefold() for name in names]},
        schema=dict.fromkeys(("written", NAME, FOLDED), pl.String),
    )
    table = table.filter(pl.col(NAME).str.len_chars().is_between(1, LONGEST))
    return (
        listed.rename({NAME: "written"}).join(table, on="written", how="inner", maintain_order="left").drop("written")
    )


def find_department(named: pl.DataFrame) -> str:
    """The category, in small letters, that (nearly) all items with categories begin with; ``""`` if there is none.

    Args:
        named: as from `clean`.
    """
    first = named.unique(ROW, keep="first", maintain_order=True)[FOLDED]
    found = first.value_counts().filter(pl.col("count") >= DEPARTMENT * len(first))
    return found[FOLDED][0] if len(found) else ""
