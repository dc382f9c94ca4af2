"""The names of a table's columns."""

from __future__ import annotations

import difflib
import re
from collections.abc import Sequence

from genrec.errors import GenrecError

DATA = re.compile(r"\s*[-+]?\d[\d.:, TZe+-]*")
"""What is no name of a column, but a number or a date."""
SHOWN = 300
"""Letters of a long list of names."""


def require(names: Sequence[str], columns: Sequence[str], file: str) -> None:
    """Whether a table has all these columns.

    Args:
        names: of its columns.
        columns: those that it must have.
        file: what it is called.

    Raises:
        GenrecError: if it lacks one; it names similar ones, and says so where the names look like data.
    """
    for column in columns:
        if column in names:
            continue
        lower = {other.lower(): other for other in names}
        near = [lower[match] for match in difflib.get_close_matches(column.lower(), lower, 1)]
        hint = f" (did you mean `{near[0]}`?)" if near else ""
        there = ", ".join(names)
        there = there if len(there) <= SHOWN else there[:SHOWN] + " ..."
        data = any(DATA.fullmatch(name) for name in names)
        remedy = ": its first line must name them, so write one in front of it" if data else ""
        raise GenrecError(f"`{file}` has no column `{column}`{hint}; its columns are: {there}{remedy}")
