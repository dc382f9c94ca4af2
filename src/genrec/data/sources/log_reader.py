"""Interactions from tables of any length: checked and numbered, a batch at a time."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
import polars as pl

from genrec.data.columns import Rows, Times, shortened, shown, written
from genrec.data.files import Findings, Part, Reading, batches
from genrec.data.interactions import ITEM, SPLIT, TIME, USER
from genrec.data.log import Log, Recorder
from genrec.data.splits import WORDS, labelled
from genrec.errors import GenrecError


class Columns(NamedTuple):
    """What a table calls its columns; see `genrec.data.Table`."""

    user: str
    item: str
    timestamp: str | None
    split: str | None
    time_format: str | None
    rating: str
    min_rating: float | None

    def named(self, file: str) -> tuple[list[str], list[str]]:
        """The columns of keys, and the others.

        Raises:
            GenrecError: if one is to be two of them.
        """
        named = [name for name in self[:4] if name is not None]
        twice = next((name for name in named if named.count(name) > 1), None)
        if twice is not None:
            raise GenrecError(f"`{twice}` is to be two columns of {file} ({', '.join(named)}): name each once")
        others = [self.timestamp, None if self.min_rating is None else self.rating, self.split]
        return [self.user, self.item], [name for name in others if name]


class LogReader:
    """Reads the tables of a log.

    Args:
        columns: what of them.
        reading: how text is read.
        scratch: where the log is written.
        findings: where it is said what was found out.
    """

    def __init__(self, columns: Columns, reading: Reading, scratch: Path, findings: Findings) -> None:
        self.columns, self.reading, self.findings = columns, replace(reading, scratch=scratch), findings
        self.recorder = Recorder(scratch)
        self.times = Times(columns.timestamp, columns.time_format) if columns.timestamp else None

    def read(self, parts: list[Part], label: str = "") -> None:
        """The files of a table.

        Args:
            parts: the files.
            label: the split that all of it belongs to; ``""`` if a column says it, or a rule.

        Raises:
            GenrecError: naming file, row and value of what cannot be read.
        """
        keys, others = self.columns.named(parts[0].name)
        for batch in batches(parts, keys, others, self.reading, self.findings):
            frame = self._checked(batch.table, Rows(batch.names, batch.counts, batch.before))
            if label:
                frame = frame.with_columns(pl.lit(WORDS[label], pl.Int8).alias(SPLIT))
            if self.times is None:  # then the order of the rows is that of time
                place = np.arange(self.recorder.rows, self.recorder.rows + len(frame), dtype=np.float64)
                frame = frame.with_columns(pl.Series(TIME, place))
            self.recorder.add(frame)

    def finish(self) -> Log:
        """All that was read.

        Raises:
            GenrecError: if times are of several units.
        """
        second = 1.0 if self.times is None else self.times.second(self.findings)
        names = {USER: self.columns.user, ITEM: self.columns.item}
        return self.recorder.finish(
            second, lambda column, keys, counts: shortened(keys, counts, names[column], self.findings)
        )

    def _checked(self, table: pl.DataFrame, rows: Rows) -> pl.DataFrame:
        """User, item, time and split of a batch."""
        names = self.columns
        frame = pl.DataFrame(
            [
                written(table[name], name, rows, self.findings).rename(ours)
                for name, ours in ((names.user, USER), (names.item, ITEM))
            ]
        )
        if self.times is not None:
            frame = frame.with_columns(self.times.read(table[self.times.name], rows).alias(TIME))
        if names.split:
            words = written(table[names.split], names.split, rows, self.findings)
            labels = labelled(words)
            if labels.null_count():
                row = int(labels.is_null().arg_max() or 0)
                what = f"{rows.at(row)}: `{shown(words[row])}` in column `{names.split}` is no split"
                raise GenrecError(f"{what}: write {', '.join(WORDS)}")
            frame = frame.with_columns(labels.alias(SPLIT))
        if names.min_rating is not None:
            frame = frame.filter(self._liked(table[names.rating], rows, names.min_rating))
        return frame

    def _liked(self, ratings: pl.Series, rows: Rows, least: float) -> pl.Series:
        """What was rated as high as `min_rating`.

        Raises:
            GenrecError: naming a rating that is no number.
        """
        if ratings.dtype.is_nested() or ratings.dtype == pl.Boolean:
            numbers = pl.Series([None] * len(ratings), dtype=pl.Float64)
        else:
            text = ratings.str.strip_chars() if ratings.dtype == pl.String else ratings
            numbers = text.cast(pl.Float64, strict=False)
        wrong = ~numbers.is_finite().fill_null(False)
        if wrong.any():
            row, name = int(wrong.arg_max() or 0), self.columns.rating
            if ratings[row] is None:
                raise GenrecError(f"{rows.at(row)}: no value in column `{name}` (min_rating)")
            raise GenrecError(f"{rows.at(row)}: `{shown(ratings[row])}` in column `{name}` is no rating (min_rating)")
        liked = numbers >= least
        self.findings.count(f"interactions rated below {least:g}, left out", int((~liked).sum()))
        return liked
