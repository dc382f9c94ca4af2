"""Where the rows of a table are, and what is in them, so that an error can say it."""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import zip_longest

import polars as pl


@dataclass(frozen=True)
class Rows:
    """The rows of files, or of parts of them, that were laid end to end.

    Args:
        names: the files.
        counts: how many rows of each there are.
        before: how many rows of each stand in front of them; none if there are no numbers.
    """

    names: list[str]
    counts: list[int]
    before: list[int] = field(default_factory=list)

    def at(self, row: int) -> str:
        """The file of a row, and its number there, counted from 1 without the header."""
        for name, count, before in zip_longest(self.names, self.counts, self.before, fillvalue=0):
            if row < count:
                return f"{name}, row {before + row + 1}"
            row -= count
        raise IndexError(row)


def shown(value: object) -> str:
    """A value in the words of an error: in one line, and not all of a long one."""
    value = value.to_list() if isinstance(value, pl.Series) else value
    return " ".join(str(value).split())[:80]
