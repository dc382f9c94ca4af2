"""Tables of any length, so many rows at a time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import polars as pl

from genrec.data.files.findings import Findings
from genrec.data.files.header import require
from genrec.data.files.places import Part
from genrec.data.files.reading import Reading, choose, read_parts
from genrec.errors import GenrecError

BATCH = 1 << 21
"""Rows that are looked at together: all of a small table."""


class Batch(NamedTuple):
    """Rows of a table that follow one another.

    Args:
        table: the rows.
        names: the files that they are from.
        counts: how many of each.
        before: how many of each stand in front of them.
    """

    table: pl.DataFrame
    names: list[str]
    counts: list[int]
    before: list[int]


def batches(
    parts: Sequence[Part], keys: Sequence[str], wanted: Sequence[str] | None, reading: Reading, findings: Findings
) -> Iterator[Batch]:
    """The rows of a table that may be of several files.

    Args:
        parts: the files.
        keys: the columns of keys.
        wanted: further columns, and there are no others in what comes of it; None: all columns, in a single batch.
        reading: how text is read.
        findings: where it is said what was found out.

    Raises:
        GenrecError: if a file is broken, lacks a column, or they are not parts of one table.
    """
    columns = None if wanted is None else list(dict.fromkeys([*keys, *wanted]))
    rows = None if wanted is None else BATCH
    if len(parts) > 1:
        findings["parts of the table"] = ", ".join(f"{Path(part.name).name}" for part in parts[:3]) + (
            f" ... ({len(parts)} files)" if len(parts) > 3 else ""
        )
    together = _Together(parts)
    total = 0
    for part in parts:
        before = 0
        for table in read_parts(part, keys, wanted, reading, findings, rows):
            if columns is None:
                require(table.columns, keys, part.name)
            else:
                table = table.select(choose(table.columns, columns, part.name, findings))
            together.add(table, part.name, before)
            before += len(table)
            if rows and sum(together.counts) >= rows:
                yield together.take()
        total += before
    if not total:
        raise GenrecError(f"`{parts[0].name}` holds no rows")
    if together.counts:
        yield together.take()


class _Together:
    """Tables that are laid end to end."""

    def __init__(self, parts: Sequence[Part]) -> None:
        self.files = f"from `{parts[0].name}` to `{parts[-1].name}`"
        self.kinds: dict[str, set[str]] = {}
        self._clear()

    def _clear(self) -> None:
        self.tables: list[pl.DataFrame] = []
        self.names: list[str] = []
        self.counts: list[int] = []
        self.before: list[int] = []

    def add(self, table: pl.DataFrame, name: str, before: int) -> None:
        """One more."""
        self.tables.append(table)
        self.names.append(name)
        self.counts.append(len(table))
        self.before.append(before)

    def take(self) -> Batch:
        """All of them as one.

        Raises:
            GenrecError: if their columns do not fit together, or not with those of what was taken before.
        """
        for name in {name: None for table in self.tables for name in table.columns}:
            kinds = [table.schema[name] for table in self.tables if table.schema.get(name, pl.Null) != pl.Null]
            if len({kind.is_temporal() for kind in kinds}) > 1:
                self._refuse(name, "dates", next(kind for kind in kinds if not kind.is_temporal()))
        try:
            table = pl.concat(self.tables, how="diagonal_relaxed") if len(self.tables) > 1 else self.tables[0]
        except pl.exceptions.PolarsError as error:
            raise GenrecError(
                f"the files {self.files} are not parts of one table: {' '.join(str(error).split())[:200]}"
            ) from error
        for name, kind in table.schema.items():
            self._compare(name, kind)
        batch = Batch(table, self.names, self.counts, self.before)
        self._clear()
        return batch

    def _compare(self, name: str, kind: pl.DataType) -> None:
        """Dates are read otherwise than anything else, and floats otherwise than text."""
        if kind == pl.Null:
            return
        there = self.kinds.setdefault(name, set())
        there.add("dates" if kind.is_temporal() else "floats" if kind.is_float() else str(kind))
        other = next((each for each in there if each == str(kind) or each != "dates"), "")
        if "dates" in there and len(there) > 1:
            self._refuse(name, "dates", other)
        if {"floats", "String"} <= there:
            self._refuse(name, "floats", "text")

    def _refuse(self, name: str, one: object, other: object) -> None:
        raise GenrecError(
            f"column `{name}` holds {one} in some of the files {self.files}, and {other} in others: write all alike"
        )
