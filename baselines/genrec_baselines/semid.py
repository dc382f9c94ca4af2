"""SemID: an item becomes its path in the category tree, a token per category name, and a number among its equals.

Hua et al., "How to Index Item IDs for Recommendation Foundation Models", SIGIR-AP 2023, arXiv 2305.06569 (semantic
indexing). The authors published no code for it; this follows the paper.
"""

from __future__ import annotations

from collections import Counter
from html import unescape
from typing import Literal

import numpy as np

from genrec.assets import Frequency, ItemAssets
from genrec.data import Catalog, Ragged
from genrec.data.catalog import CATEGORIES
from genrec.errors import GenrecError
from genrec.identifiers import NewToken, Search, TokenSequence
from genrec.types import PAD
from genrec_baselines.numbering import digits, width_for

LONGEST = 60
"""A category name with more characters is a sentence that strayed into the list."""
DEPARTMENT = 0.95
"""A first category that so many items share says nothing."""
BASE = 256
"""How many tokens there are for the numbers of items with the same path; beyond that a number has two."""

Category = tuple[int, str]
"""What a category is known by: its level, or 0 for all levels, and its name in small letters."""
UNKNOWN = 0


class SemID(TokenSequence):
    """Items of the same categories begin with the same tokens: ``<Makeup><Lips><Lip Liners><5>``.

    The numbers follow the order of the items' keys. Items that are added later get the next ones, and a category that
    the data set does not have is left out of their paths.

    Args:
        order: categories are a path, "listed" from the widest to the narrowest, or labels without an order, such as
            genres: the most "frequent" comes first.
        depth: at most so many categories of an item; None takes all.
        by_level: the same name at two levels is two tokens.
        initial: category tokens begin as the mean of their name's "words", or "random".
        warm_first: number the items of the training split before the others.
        search: see `TokenSequence`.
        separator: see `TokenSequence`.

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
    ) -> None:
        super().__init__(search, separator)
        if depth is not None and depth < 1:
            raise GenrecError(f"SemID needs at least one category of an item, got depth={depth}")
        self.order = order
        self.depth = depth
        self.by_level = by_level
        self.initial = initial
        self.warm_first = warm_first

    def new_tokens(self, catalog: Catalog, assets: ItemAssets) -> list[NewToken]:
        """``<unknown>``, a token per category, and those of the numbers.

        Raises:
            GenrecError: if no item has a category that tells it from others.
        """
        lists = clean(catalog)
        self.department = find_department(lists)
        self.frequency = Counter(name.casefold() for names in lists for name in names)
        # Of several spellings the first in the alphabet is shown, whatever the order of the items.
        spelled = dict(sorted((level for names in lists for level in self._levels(names)), reverse=True))
        if not spelled:
            beside = f" beside `{self.department}`" if self.department else ""
            raise GenrecError(
                f"none of the {len(catalog)} items has a category{beside}, and SemID names items by their categories: "
                "give a data set that has them, as those from raw Amazon, MovieLens or Steam files, or take a method "
                "that does without, such as CID, E4SRec or DreamRec"
            )
        self.numbers = {key: number for number, key in enumerate(sorted(spelled), 1)}
        words = self.initial == "words"
        categories = [NewToken(f"<{spelled[key]}>", spelled[key] if words else "") for key in self.numbers]
        return [NewToken("<unknown>"), *categories, *(NewToken(f"<{number}>") for number in range(BASE))]

    def name_items(self, catalog: Catalog, assets: ItemAssets, known: np.ndarray) -> np.ndarray:
        """See `TokenSequence.name_items`."""
        paths = [self._path(names) for names in clean(catalog)]
        taken, coming = Counter(paths[: len(known)]), Counter(paths[len(known) :])
        widths = {path: width_for(taken[path] or count, BASE) for path, count in coming.items()}
        codes: dict[int, list[int]] = {}
        for item in self._order(catalog, assets, len(known)):
            path = paths[item]
            number = digits(taken[path], BASE, widths[path])
            codes[item] = [*path, *(1 + len(self.numbers) + digit for digit in number)]
            taken[path] += 1
        table = Ragged.from_lists(codes[item] for item in sorted(codes)).padded(np.arange(len(codes)))
        return np.where(table == PAD, PAD, table + self.names.words)

    def _order(self, catalog: Catalog, assets: ItemAssets, known: int) -> list[int]:
        """The rows from ``known`` on, in the order in which they are numbered."""
        keys, late = catalog.keys, np.zeros(len(catalog), bool)
        if self.warm_first:
            counts = assets.built(Frequency())["counts"]
            late[:] = True
            late[: len(counts)] = counts == 0
        return sorted(range(known, len(catalog)), key=lambda item: (late[item], keys[item]))

    def _levels(self, names: list[str]) -> list[tuple[Category, str]]:
        """An item's path: what each of its categories is known by, and the name as it is written."""
        names = [name for name in names if name.casefold() != self.department]
        if self.order == "frequent":
            names = sorted(names, key=lambda name: (-self.frequency[name.casefold()], name.casefold()))
        levels = enumerate(names[: self.depth])
        return [((level if self.by_level else 0, name.casefold()), name) for level, name in levels]

    def _path(self, names: list[str]) -> tuple[int, ...]:
        """The numbers of an item's category tokens, that of ``<unknown>`` if it has none."""
        numbers = (self.numbers.get(category) for category, _ in self._levels(names))
        return tuple(number for number in numbers if number is not None) or (UNKNOWN,)


def clean(catalog: Catalog) -> list[list[str]]:
    """The category names of every item, without HTML entities, runs of spaces and what is no name."""
    lists = catalog.items[CATEGORIES].to_list()
    named = ([" ".join(unescape(name).split()) for name in names or [] if name] for names in lists)
    return [[name for name in names if 0 < len(name) <= LONGEST] for names in named]


def find_department(lists: list[list[str]]) -> str:
    """The category, in small letters, that (nearly) all items with categories begin with; ``""`` if there is none."""
    first = Counter(names[0].casefold() for names in lists if names)
    name, count = max(first.items(), key=lambda item: item[1], default=("", 0))
    return name if count >= DEPARTMENT * first.total() else ""
