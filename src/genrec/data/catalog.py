"""What is known about the items: one row each, and the row number is the item id."""

from __future__ import annotations

import difflib
import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import chain

import numpy as np
import polars as pl

from genrec.data.texts import Texts
from genrec.errors import GenrecError

KEY, TITLE, BRAND, DESCRIPTION, CATEGORIES = "item", "title", "brand", "description", "categories"
PRICE, TAGS = "price", "tags"
SCHEMA = {
    KEY: pl.String(),
    TITLE: pl.String(),
    BRAND: pl.String(),
    DESCRIPTION: pl.String(),
    CATEGORIES: pl.List(pl.String()),
    PRICE: pl.Float64(),
    TAGS: pl.String(),
}
HALF = re.compile("[\ud800-\udfff]")
"""Half a character, which Python has and no file."""
PART = 2**14
"""Items whose texts are put together at a time."""
NEAR = 3
"""Items that an error offers in place of an unknown one."""
COMPARED = 20_000
"""Keys that are looked at letter by letter for that; of a larger catalogue, those that begin as the unknown one."""


@dataclass(frozen=True, eq=False)
class Catalog:
    """The items of a data set.

    Args:
        items: one row per item. The column ``item`` holds the item's key; ``title``, ``brand``, ``description`` (text)
            ``categories`` (list of text, from the widest to the narrowest), ``price`` (a number) and ``tags`` (text, a
            few words that name the item) may be missing or null. Other columns are dropped, and text of white space
            alone becomes null.

    Raises:
        GenrecError: if there is no item, or a key is missing or given twice.
    """

    items: pl.DataFrame

    def __post_init__(self) -> None:
        items = _conform(self.items)
        if items.is_empty():
            raise GenrecError("the catalogue has no items: give at least one")
        if items[KEY].null_count():
            raise GenrecError(f"row {items[KEY].is_null().arg_max()} of the item table has no key in column `{KEY}`")
        if items[KEY].n_unique() < len(items):
            twice = items[KEY].filter(items[KEY].is_duplicated())[0]
            raise GenrecError(f"the item `{twice}` is in the catalogue twice: every item needs a key of its own")
        object.__setattr__(self, "items", items)

    @classmethod
    def kept(cls, items: pl.DataFrame) -> Catalog:
        """The catalogue whose `items` these are: nothing is looked at, and nothing copied, where they are mapped."""
        catalog = object.__new__(cls)
        object.__setattr__(catalog, "items", items)
        return catalog

    def __len__(self) -> int:
        return len(self.items)

    @property
    def keys(self) -> Texts:
        """The items' keys, by row."""
        return Texts(self.items[KEY])

    @property
    def titles(self) -> Texts:
        """The items' titles, by row; ``""`` where there is none."""
        return Texts(self.items[TITLE].fill_null(""))

    def rows(self, keys: Sequence[str]) -> np.ndarray:
        """The rows of items, int64 [n].

        Args:
            keys: n of them.

        Raises:
            GenrecError: if a key is not in the catalogue; it names similar items.
        """
        half = next((key for key in keys if HALF.search(key)), None)
        if half is not None:
            raise GenrecError(f"there is no item `{half}` in the catalogue: items are given by their keys")
        rows = self.find(keys)
        if (rows < 0).any():
            unknown = keys[int((rows < 0).argmax())]
            raise GenrecError(f"there is no item `{unknown}` in the catalogue{self._similar(unknown)}")
        return rows

    def find(self, keys: Sequence[str]) -> np.ndarray:
        """The rows of items, int64 [n]; -1 for a key that is not in the catalogue."""
        wanted, (ordered, order) = Texts(keys).column, self._in_order
        places = np.minimum(ordered.search_sorted(wanted).to_numpy(), len(ordered) - 1)
        return np.where((ordered.gather(places) == wanted).to_numpy(), order[places], -1)

    @cached_property
    def _in_order(self) -> tuple[pl.Series, np.ndarray]:
        """The keys, sorted, and the row of each: what a key is looked up in, without an object for every item."""
        order = self.items[KEY].arg_sort().cast(pl.Int64)
        return self.items[KEY].gather(order), order.to_numpy()

    def _similar(self, text: str) -> str:
        """Items with the text in their titles, or with similar keys."""
        keys, titles = self.items[KEY], self.titles
        named = titles.column.str.to_lowercase().str.contains(text.lower(), literal=True)
        near = named.arg_true().head(NEAR).to_list() if text else []
        if not near:
            alike = keys if len(keys) <= COMPARED else keys.filter(keys.str.starts_with(text[: len(text) // 2]))
            near = self.rows(difflib.get_close_matches(text, alike.head(COMPARED).to_list(), NEAR)).tolist()
        offered = ", ".join(f"`{keys[row]}` ({titles[row] or 'no title'})" for row in near)
        return f"; did you mean {offered}?" if offered else ": items are given by their keys"

    def texts(self, rows: np.ndarray | None = None) -> list[str]:
        """All text of items: title, description, categories, brand, as SETRec joins them.

        Args:
            rows: int64 [n], which items; None is all.

        Returns:
            One string per item, ``""`` for an item without text.

        Raises:
            GenrecError: if all items are asked for, and none has any text.
        """
        if rows is not None:
            return _texts(self.items[rows]).to_list()
        self.text_lengths()
        return list(chain.from_iterable(_texts(part).to_list() for part in self.items.iter_slices(PART)))

    def fields(self, rows: np.ndarray) -> list[list[str]]:
        """The texts of items [n] one by one, in the order of `texts`; what is missing is left out."""
        parts = self.items[rows].select(pl.concat_list(_fields()).list.drop_nulls())
        return parts.to_series().to_list()

    def field_lengths(self) -> list[np.ndarray]:
        """How many letters each of the `fields` has, int64 [N] for each; 0 where it is missing."""
        lengths = self.items.select(
            field.str.len_chars().fill_null(0).alias(str(n)) for n, field in enumerate(_fields())
        )
        return [column.to_numpy().astype(np.int64) for column in lengths]

    def text_lengths(self) -> np.ndarray:
        """How many letters the text of every item has, int64 [N].

        Raises:
            GenrecError: if no item has any text.
        """
        parts = [_texts(part).str.len_chars().to_numpy() for part in self.items.iter_slices(PART)]
        lengths = np.concatenate(parts).astype(np.int64)
        if not lengths.any():
            raise GenrecError(
                f"none of the {len(self)} items has any text (title, description, categories or brand): give a data "
                "set with item text, or choose a method that does without"
            )
        return lengths

    @cached_property
    def text_hash(self) -> str:
        """A hash of `texts`, in order, of which a part is read at a time.

        Raises:
            GenrecError: if no item has any text.
        """
        self.text_lengths()
        digest = hashlib.sha256()
        for part in self.items.iter_slices(PART):
            texts = _texts(part)
            # Where one text ends and the next begins counts.
            digest.update(texts.str.len_bytes().to_numpy().astype("<u4").data)
            digest.update(texts.str.join("").item().encode())
        return digest.hexdigest()

    def extend(self, items: pl.DataFrame) -> Catalog:
        """The same catalogue with new items behind the old ones, which keep their rows.

        Raises:
            GenrecError: if a new key is already there.
        """
        new = _conform(items)
        there = new[KEY].filter(new[KEY].is_in(self.items[KEY].implode()))
        if len(there):
            raise GenrecError(f"the item `{there[0]}` is in the catalogue already: new items have keys of their own")
        return Catalog(pl.concat([self.items, new]))


def called(items: pl.DataFrame) -> pl.Series:
    """What items are called: their titles, or else brand and categories; null where there is nothing but a key."""
    categories = pl.col(CATEGORIES).list.drop_nulls().list.join(", ")
    other = pl.concat_str([pl.col(BRAND), categories], separator=", ", ignore_nulls=True).replace("", None)
    return items.select(pl.coalesce(TITLE, other).alias(TITLE)).to_series()


def _texts(items: pl.DataFrame) -> pl.Series:
    """What is read of items, ``""`` where there is nothing."""
    return items.select(pl.concat_str(_fields(), separator=". ", ignore_nulls=True)).to_series()


def _fields() -> list[pl.Expr]:
    categories = pl.col(CATEGORIES).list.drop_nulls().list.join(", ")
    return [pl.col(TITLE), pl.col(DESCRIPTION), categories, pl.col(BRAND)]


def _conform(items: pl.DataFrame) -> pl.DataFrame:
    """Exactly the columns of `SCHEMA`; what is missing or blank is null."""
    if KEY not in items.columns:
        raise GenrecError(f"an item table needs the column `{KEY}`; its columns are: {', '.join(items.columns)}")
    columns = []
    for name, dtype in SCHEMA.items():
        column = (pl.col(name) if name in items.columns else pl.lit(None)).cast(dtype)
        if name == CATEGORIES:
            column = pl.when(column.list.len() > 0).then(column)
        elif dtype == pl.String:
            column = column.str.strip_chars()
            column = pl.when(column != "").then(column)
        columns.append(column.alias(name))
    try:
        return items.select(columns)
    except pl.exceptions.PolarsError as error:
        wrong = next(name for name, column in zip(SCHEMA, columns, strict=True) if not _casts(items, column))
        raise GenrecError(
            f"an item table holds text, lists of text as {CATEGORIES} and numbers as {PRICE}; its column `{wrong}` is "
            f"{items.schema[wrong]}, such as {str(items[wrong].drop_nulls().head(1).to_list())[:80]}"
        ) from error


def _casts(items: pl.DataFrame, column: pl.Expr) -> bool:
    try:
        items.select(column)
    except pl.exceptions.PolarsError:
        return False
    return True
