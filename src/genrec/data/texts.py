"""Many texts, such as keys and titles, without a Python object for each."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from operator import eq
from typing import Any, overload

import numpy as np
import polars as pl


class Texts(Sequence[str]):
    """Texts that are used as a list is, and kept as a column.

    Args:
        texts: any number of them.

    Attributes:
        column: all of them, for whoever wants many at once.
    """

    def __init__(self, texts: Iterable[str] | pl.Series = ()) -> None:
        column = texts.column if isinstance(texts, Texts) else texts
        self.column: pl.Series = column if isinstance(column, pl.Series) else pl.Series(list(column), dtype=pl.String)

    def __len__(self) -> int:
        return len(self.column)

    @overload
    def __getitem__(self, index: int) -> str: ...
    @overload
    def __getitem__(self, index: slice) -> Texts: ...
    def __getitem__(self, index: int | slice) -> str | Texts:
        if isinstance(index, slice):
            return Texts(self.column[index])
        return self.column[int(index)]

    def __iter__(self) -> Iterator[str]:
        return iter(self.column)

    def __contains__(self, text: object) -> bool:
        return isinstance(text, str) and text in self.column

    def __eq__(self, other: Any) -> bool:
        if isinstance(other, Texts):
            return self.column.equals(other.column)
        return isinstance(other, Sequence) and len(self) == len(other) and all(map(eq, self, other))

    def __repr__(self) -> str:
        return f"<{len(self):,} texts: {', '.join(map(repr, self[:3]))}{', ...' if len(self) > 3 else ''}>"

    def at(self, rows: np.ndarray) -> pl.Series:
        """Those of some rows, [n], in a column."""
        return self.column.gather(rows)
