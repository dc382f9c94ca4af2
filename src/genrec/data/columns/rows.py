"""Where the rows of a table are, so that an error can say it."""

from __future__ import annotations

import difflib
from dataclasses import dataclass

import polars as pl

from genrec.errors import GenrecError


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


def require(table: pl.DataFrame, columns: list[str], name: str) -> None:
    """Whether a table has all these columns.

    Raises:
        GenrecError: if it lacks one; it names similar ones.
    """
    for column in columns:
        if column not in table.columns:
            lower = {other.lower(): other for other in table.columns}
            near = [lower[match] for match in difflib.get_close_matches(column.lower(), lower, 1)]
            meant = f" (did you mean `{near[0]}`?)" if near else ""
            names = ", ".join(table.columns)
            shown = names if len(names) <= 300 else names[:300] + " ..."
            raise GenrecError(f"`{name}` has no column `{column}`{meant}; its columns are: {shown}")
