"""Histories as they are asked for: lists of keys that a caller gives, a window of users at a time."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import chain, islice
from typing import Any

import numpy as np

from genrec.data import Catalog, Ragged
from genrec.data.catalog import HALF
from genrec.errors import GenrecError


def list_of(values: Any) -> list[Any]:
    """Lists of keys as they are, of whatever kind of list.

    Raises:
        GenrecError: if it is something else.
    """
    return list(iterable(values))


def iterable(values: Any) -> Iterable[Any]:
    """The same, but not looked into yet: it may be read once, and be long.

    Raises:
        GenrecError: if it is something else.
    """
    if isinstance(values, str | bytes | Mapping) or not isinstance(values, Iterable):
        raise GenrecError(
            'give a list of histories, each a list of item keys, which are texts: [["m1", "m7"]]; and the items '
            'that are allowed as one such list: ["m1", "m7"]'
        )
    return values


def texts(keys: Any) -> list[str]:
    """A list of keys.

    Raises:
        GenrecError: if it is something else.
    """
    values = list_of(keys)
    return values if all(isinstance(key, str) for key in values) else list_of(None)


def windows(histories: Iterable[Any], size: int) -> Iterator[list[list[str]]]:
    """All histories, so many at a time.

    Raises:
        GenrecError: if one is no list of texts.
    """
    rest = iter(histories)
    while window := [texts(history) for history in islice(rest, size)]:
        yield window


def rows(catalog: Catalog, histories: Sequence[Sequence[str]]) -> Ragged:
    """The items of histories, all looked up together.

    Raises:
        GenrecError: as `Catalog.rows`.
    """
    found = catalog.rows(list(chain.from_iterable(histories)))
    return Ragged(found, np.concatenate([[0], np.cumsum([len(history) for history in histories])]).astype(np.int64))


class Known:
    """Histories without the keys of items that are not in the catalogue, and what was left out.

    Args:
        catalog: the items.
    """

    def __init__(self, catalog: Catalog) -> None:
        self._catalog = catalog
        self._keys = self._users = self._all = 0
        self._first = ""

    def of(self, histories: Sequence[Sequence[str]]) -> list[list[str]]:
        """These histories without them."""
        keys = [key for key in set(chain.from_iterable(histories)) if not HALF.search(key)]
        there = {key for key, row in zip(keys, self._catalog.find(keys), strict=True) if row >= 0}
        kept = [[key for key in history if key in there] for history in histories]
        for old, new in zip(histories, kept, strict=True):
            if len(new) < len(old):
                self._first = self._first or next(key for key in old if key not in there)
                self._keys += len(old) - len(new)
                self._users += 1
        self._all += len(histories)
        return kept

    def tell(self) -> None:
        """Say on standard error what was left out of all of them."""
        if self._keys:
            first = self._first.encode(errors="backslashreplace").decode()
            print(
                f"left out {self._keys:,} unknown items of {self._users:,} of {self._all:,} histories, such as "
                f"`{first}`",
                file=sys.stderr,
            )
