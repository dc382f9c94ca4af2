"""One list of item rows per user, without a Python object per user."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain

import numpy as np

from genrec.types import PAD


@dataclass(frozen=True, eq=False)
class Ragged:
    """Lists of different lengths, laid end to end.

    The lists ``[[7, 8], [], [9]]`` are ``values = [7, 8, 9]`` and ``offsets = [0, 2, 2, 3]``.

    Args:
        values: int64 [total], the lists one after another.
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
        return cls(values, _offsets(np.fromiter(map(len, lists), np.int64, len(lists))))

    @classmethod
    def from_rows(cls, rows: np.ndarray, values: np.ndarray, users: int) -> Ragged:
        """Group `values` by the list each belongs to.

        Args:
            rows: int64 [total], the list of every value; the order within a list is kept.
            values: int64 [total].
            users: the number of lists, empty ones included.
        """
        return cls(values[np.argsort(rows, kind="stable")], _offsets(np.bincount(rows, minlength=users)))

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

    def windows(self, users: np.ndarray, stops: np.ndarray, width: int | np.ndarray) -> np.ndarray:
        """The items just before a position of each user's list, most recent last.

        Args:
            users: int64 [B], which lists.
            stops: int64 [B], the position in the list that the window ends before.
            width: at most so many items, for all or for each, [B].

        Returns:
            int64 [B, T], padded on the left with `PAD`; T is the longest window of this call, and at least 1.
        """
        lengths = np.minimum(stops, width)
        back = np.arange(max(1, lengths.max(initial=0)), 0, -1)  # how far a column lies before the stop
        real = back <= lengths[:, None]
        windows = np.full(real.shape, PAD, np.int64)
        windows[real] = self.values[((self.offsets[users] + stops)[:, None] - back)[real]]
        return windows

    def padded(self, users: np.ndarray) -> np.ndarray:
        """Whole lists, int64 [len(users), M], padded on the right with `PAD`; M is the longest of this call."""
        lengths = self.lengths[users]
        columns = np.arange(lengths.max(initial=0))
        real = columns < lengths[:, None]
        padded = np.full(real.shape, PAD, np.int64)
        padded[real] = self.values[(self.offsets[users][:, None] + columns)[real]]
        return padded


def _offsets(lengths: np.ndarray) -> np.ndarray:
    return np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
