"""Where the rows of a table are, and what is in them, so that an error can say it."""

from __future__ import annotations

from dataclasses import dataclass

import polars as pl


@dataclass(frozen=True)
class Rows:
    """The rows of files that were laid end to end.

    Args:
        names: the files.
        counts: how many rows each has.
    """

    names: list[str]
    counts: list[int]

    def at(self, row: int) -> str:
        """The file of a row, and its number there, counted from 1 without the header."""
        for name, count in zip(self.names, self.counts, strict=True):
            if row < count:
                return f"{name}, row {row + 1}"
            row -= count
        raise IndexError(row)


def shown(value: object) -> str:
    """A value in the words of an error: in one line, and not all of a long one."""
    value = value.to_list() if isinstance(value, pl.Series) else value
    return " ".join(str(value).split())[:80]
