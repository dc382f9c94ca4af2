"""Keys of users and items: text without blanks around it, and nothing that only stands for a missing value."""

from __future__ import annotations

import numpy as np
import polars as pl

from genrec.data.columns.rows import Rows, shown
from genrec.data.files import Findings
from genrec.data.raw.text import whole
from genrec.errors import GenrecError

MISSING = (
    *("nan", "NaN", "NAN", "-nan", "-NaN", "NA", "<NA>", "N/A", "n/a", "#N/A", "#NA", "NaT"),
    *("None", "none", "null", "Null", "NULL", "(null)", "\\N", "nil", "undefined"),
)
"""What programs write where a value is missing."""
SPACE = "\t\n\v\f\r\x1a\x1c\x1d\x1e\x1f \x85\xa0\u1680\u2028\u2029\u202f\u205f\u3000" + "".join(
    map(chr, range(0x2000, 0x200B))
)
BLANKS = SPACE + "\u200b\u200e\u200f\u2060\ufeff"
"""What cannot be seen around a text: white space, and marks of breaks, of directions and of the order of bytes."""
WRITTEN = r"""^\[.*['",].*\]$|^\{.*['":].*\}$"""
"""A list or an object, as Python and JSON write them."""
EXACT = 2**53
"""Whole numbers below this one are not rounded by being floats."""


def keys(column: pl.Series, name: str, rows: Rows, findings: Findings) -> pl.Series:
    """A whole column of keys as text: what is `written` in it, `shortened`."""
    text = written(column, name, rows, findings)
    return shortened(text, np.ones(len(text), np.int64), name, findings)


def shortened(keys: pl.Series, counts: np.ndarray, name: str, findings: Findings) -> pl.Series:
    """All keys of a column without the points of whole numbers.

    Numbers with nothing behind the point, such as ``12.0``, were whole numbers before a column with gaps made floats of
    them; where all keys of a column are whole numbers, they become ``12``.

    Args:
        keys: n of them.
        counts: int64 [n], how often each occurs.
        name: what the file calls the column.
        findings: where it is said what was changed.
    """
    short = whole(keys)
    changed = (short != keys).to_numpy()
    findings.count(f"keys in `{name}` such as 12.0 read as 12", int(counts[changed].sum()))
    return short


def written(column: pl.Series, name: str, rows: Rows, findings: Findings) -> pl.Series:
    """A column of keys, or a part of one, as text.

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
            raise GenrecError(f"{rows.at(row)}: `{shown(column[row])}` in column `{name}` {why}")

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
    key = text.str.strip_chars(BLANKS)
    findings.count(f"keys in `{name}` with blanks around them, which were cut off", int((key != text).sum()))
    missing = key.is_null() | (key == "")
    if missing.any():
        raise GenrecError(f"{rows.at(int(missing.arg_max() or 0))}: no value in column `{name}`")
    refuse(key.is_in(MISSING), "is a missing value that was written as text: leave such rows out")
    refuse(
        key.str.contains(r"\p{Cc}"), "is a key with a line break or another control character: is a quote left open?"
    )
    refuse(key.str.contains(WRITTEN), "is a list, written as text: a row has one item; `Sequences` reads lists")
    return key.rename(name)
