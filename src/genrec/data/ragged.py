"""One list of item rows per user, without a Python object per user."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from mmap import mmap
from typing import Any, NamedTuple

import numpy as np

from genrec.types import PAD


class Lists(ABC):
    """A list of item rows for every user."""

    @abstractmethod
    def __len__(self) -> int:
        """How many users there are."""

    @abstractmethod
    def sizes(self, users: np.ndarray) -> np.ndarray:
        """How long the lists of users [B] are, int64 [B]."""

    @abstractmethod
    def look(self, users: np.ndarray, places: np.ndarray) -> np.ndarray:
        """The items at places of users' lists.

        Args:
            users: int64 [B], which lists.
            places: int64 [B, T], counted from each list's beginning.

        Returns:
            int64 [B, T], `PAD` where a list has no such place.
        """

    def windows(self, users: np.ndarray, stops: np.ndarray, width: int | np.ndarray) -> np.ndarray:
        """The items just before a position of each user's list, most recent last.

        Args:
            users: int64 [B], which lists.
            stops: int64 [B], the position in the list that the window ends before.
            width: at most so many items, for all or for each, [B].

        Returns:
            int64 [B, T], padded on the left with `PAD`; T is the longest window of this call, and at least 1.
        """
        return self.look(users, before(stops, np.minimum(stops, width)))

    def padded(self, users: np.ndarray) -> np.ndarray:
        """Whole lists, int64 [len(users), M], padded on the right with `PAD`; M is the longest of this call."""
        longest = self.sizes(users).max(initial=0)
        return self.look(users, np.broadcast_to(np.arange(longest), (len(users), longest)))


def before(stops: np.ndarray, widths: np.ndarray) -> np.ndarray:
    """The places [B, T] of the last ``widths`` [B] items before ``stops`` [B]; `PAD` on the left, and T at least 1."""
    back = np.arange(max(1, widths.max(initial=0)), 0, -1)
    return np.where(back <= widths[:, None], stops[:, None] - back, PAD)


@dataclass(frozen=True, eq=False)
class Ragged(Lists):
    """Lists of different lengths, laid end to end.

    The lists ``[[7, 8], [], [9]]`` are ``values = [7, 8, 9]`` and ``offsets = [0, 2, 2, 3]``.

    Args:
        values: int32 or int64 [total], the lists one after another.
        offsets: int64 [users + 1], where each list begins; the last entry is ``total``.
    """

    values: np.ndarray
    offsets: np.ndarray

    def __post_init__(self) -> None:
        assert self.offsets[0] == 0, "Ragged: the first list begins at 0"
        assert self.offsets[-1] == len(self.values), "Ragged: the last list ends with the values"

    @classmethod
    def from_lists(cls, lists: Iterable[Sequence[int]]) -> Ragged:
        """Lay lists of whole numbers end to end."""
        lists = list(lists)
        values = np.fromiter(chain.from_iterable(lists), np.int64)
        return cls(values, ends(np.fromiter(map(len, lists), np.int64, len(lists))))

    @classmethod
    def from_rows(cls, rows: np.ndarray, values: np.ndarray, users: int) -> Ragged:
        """Group `values` by the list each belongs to.

        Args:
            rows: int64 [total], the list of every value; the order within a list is kept.
            values: int64 [total].
            users: the number of lists, empty ones included.
        """
        return cls(values[np.argsort(rows, kind="stable")], ends(np.bincount(rows, minlength=users)))

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def __getitem__(self, user: int) -> np.ndarray:
        if not -len(self) <= user < len(self):
            raise IndexError(f"list {user} of {len(self)}")
        user %= len(self)
        return self.values[self.offsets[user] : self.offsets[user + 1]]

    def __iter__(self) -> Iterator[np.ndarray]:
        return (self[user] for user in range(len(self)))

    @property
    def lengths(self) -> np.ndarray:
        """int64 [users]."""
        return np.diff(self.offsets)

    @property
    def rows(self) -> np.ndarray:
        """int64 [total], the list that every value belongs to."""
        return np.repeat(np.arange(len(self)), self.lengths)

    def join(self, other: Ragged) -> Ragged:
        """User by user: this list, then the other's."""
        assert len(self) == len(other), "Ragged.join: both sides have the same users"
        rows = np.concatenate([self.rows, other.rows])
        return Ragged.from_rows(rows, np.concatenate([self.values, other.values]), len(self))

    def unique(self) -> Ragged:
        """Every list without its repetitions: the first occurrence stays where it is."""
        rows = self.rows
        pairs = rows * (self.values.max(initial=0) + 1) + self.values
        first = np.sort(np.unique(pairs, return_index=True)[1])
        return Ragged.from_rows(rows[first], self.values[first], len(self))

    def sizes(self, users: np.ndarray) -> np.ndarray:
        """How long the lists of users [B] are, int64 [B]."""
        return self.offsets[users + 1] - self.offsets[users]

    def look(self, users: np.ndarray, places: np.ndarray) -> np.ndarray:
        """The items at places of users' lists, as `Lists.look`."""
        real = (places >= 0) & (places < self.sizes(users)[:, None])
        found = np.full(places.shape, PAD, np.int64)
        found[real] = self.values[(self.offsets[users][:, None] + places)[real]]
        return found

    def take(self, users: np.ndarray) -> Ragged:
        """The lists of users [B], in memory."""
        sizes = self.sizes(users)
        offsets = ends(sizes)
        places = np.repeat(self.offsets[users] - offsets[:-1], sizes) + np.arange(offsets[-1])
        return Ragged(self.values[places], offsets)

    def __getstate__(self) -> dict[str, Any]:
        """Another process maps what this one has mapped, instead of being sent it."""
        return {name: _File.of(array) or array for name, array in vars(self).items()}

    def __setstate__(self, state: dict[str, Any]) -> None:
        opened = {name: kept.map() if isinstance(kept, _File) else kept for name, kept in state.items()}
        self.__dict__.update(opened)


@dataclass(frozen=True, eq=False)
class Joined(Lists):
    """User by user: the lists of each part, one after another. They stay where they are.

    Args:
        parts: with the same users.
    """

    parts: Sequence[Lists]

    def __len__(self) -> int:
        return len(self.parts[0])

    def sizes(self, users: np.ndarray) -> np.ndarray:
        """How long the lists of users [B] are, int64 [B]."""
        return np.sum([part.sizes(users) for part in self.parts], axis=0)

    def look(self, users: np.ndarray, places: np.ndarray) -> np.ndarray:
        """The items at places of users' lists, as `Lists.look`."""
        found = np.full(places.shape, PAD, np.int64)
        for part in self.parts:
            found = np.maximum(found, part.look(users, places))  # `PAD` is less than any item
            places = places - part.sizes(users)[:, None]
        return found


class _File(NamedTuple):
    """Where a mapped array lies."""

    path: str
    dtype: np.dtype[Any]
    offset: int
    shape: tuple[int, ...]

    @classmethod
    def of(cls, array: np.ndarray) -> _File | None:
        """That of a whole file's map; None if it is not one."""
        if not isinstance(array, np.memmap) or not isinstance(array.base, mmap) or array.mode != "r":
            return None
        return cls(str(array.filename), array.dtype, array.offset, array.shape)

    def map(self) -> np.ndarray:
        return np.memmap(self.path, self.dtype, "r", self.offset, self.shape)


def ends(lengths: np.ndarray) -> np.ndarray:
    """Where lists [n] laid end to end begin, and where the last one ends: int64 [n + 1]."""
    found = np.zeros(len(lengths) + 1, np.int64)
    np.cumsum(lengths, out=found[1:])
    return found
