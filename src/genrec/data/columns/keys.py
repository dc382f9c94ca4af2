"""Keys of users and items: text without blanks around it, and nothing that only stands for a missing value."""

from __future__ import annotations

import polars as pl

from genrec.data.columns.rows import Rows
from genrec.data.files import Findings
from genrec.data.raw.text import whole
from genrec.errors import GenrecError

MISSING = ("nan", "NaN", "NAN", "None", "none", "null", "NULL", "<NA>", "NaT", "#N/A")
"""What programs write where a value is missing."""
EXACT = 2**53
"""Whole numbers below this one are not rounded by being floats."""


def keys(column: pl.Series, name: str, rows: Rows, findings: Findings) -> pl.Series:
    """A column of keys as text.

    Numbers with nothing behind the point, such as ``12.0``, were whole numbers before a column with gaps made floats of
    them; where all keys of a column are so, they become ``12``.

    Args:
        column: as it was read.
        name: what its file calls it.
        rows: where its rows are.
        findings: where it is said what was changed.

    Raises:
        GenrecError: naming the row that has no key, or one that cannot be trusted.
    """

    def refuse(bad: pl.Series, why: str) -> None:
        if bad.fill_null(False).any():
            row = int(bad.fill_null(False).arg_max() or 0)
            raise GenrecError(f"{rows.at(row)}: `{str(column[row])[:80]}` in column `{name}` {why}")

    kind = column.dtype
    if kind.is_nested() or kind in (pl.Binary, pl.Object, pl.Boolean, pl.Duration, pl.Time):
        refuse(column.is_not_null(), f"is a key of the kind {kind}: keys are text or whole numbers")
    if kind.is_float():
        refuse(~column.is_finite(), "is no key")
        refuse(column.floor() != column, "is a number with a fraction: keys are text or whole numbers")
        refuse(column.abs() >= EXACT, "is a float too large to be exact: write keys as text or whole numbers")
        findings.count(f"keys in `{name}` such as 12.0 read as 12", int(column.is_not_null().sum()))
        column = column.cast(pl.Int64)
    text = column.cast(pl.String)
    key = text.str.strip_chars()
    findings.count(f"keys in `{name}` with blanks around them, which were cut off", int((key != text).sum()))
    missing = key.is_null() | (key == "")
    if missing.any():
        raise GenrecError(f"{rows.at(int(missing.arg_max() or 0))}: no value in column `{name}`")
    refuse(key.is_in(MISSING), "is a missing value that was written as text: leave such rows out")
    short = whole(key)
    findings.count(f"keys in `{name}` such as 12.0 read as 12", int((short != key).sum()))
    return short.rename(name)
