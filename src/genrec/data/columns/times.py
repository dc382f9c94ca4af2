"""Times as seconds since 1970, and never by guessing which number is the month."""

from __future__ import annotations

import polars as pl

from genrec.data.columns.keys import MISSING
from genrec.data.columns.rows import Rows, shown
from genrec.data.files import Findings
from genrec.errors import GenrecError

UNITS = {"seconds": 1.0, "milliseconds": 1e3, "microseconds": 1e6, "nanoseconds": 1e9}
"""Units of times since 1970, and how many make a second."""
NUMBER = "number"
"""The format of times of some other kind, such as places in a list."""
EARLIEST, LATEST = 1e8, 1e11
"""Seconds since 1970 from 1973 to the year 5138; milliseconds of the same dates are larger, numbers of days smaller."""
ISO = r"^(\d{4}-\d{2}-\d{2})(?:[T ](\d{2}:\d{2})(:\d{2}(?:\.\d{1,9})?)?)?\s*(?:Z|UTC|([+-]\d{2}):?(\d{2}))?$"
YEARS = (1900, 2100)
DATES = {8: "%Y%m%d", 10: "%Y%m%d%H", 12: "%Y%m%d%H%M", 14: "%Y%m%d%H%M%S"}
"""Whole numbers of so many digits may be dates such as 20140513 or 20140513103000."""
WITHIN = ((1, 12), (1, 31), (0, 23), (0, 59), (0, 59))
"""Month, day, hour, minute and second of such a date."""


class Times:
    """A column of times as numbers: seconds since 1970, or what they are if they are of another kind.

    It is read a part at a time; what its first part holds, numbers or ISO dates, all others hold.

    Args:
        name: what the file calls the column.
        form: a pattern such as ``%d/%m/%Y``, one of `UNITS`, or `NUMBER`; if None, ISO dates are read, and the unit of
            numbers is told by their size.
    """

    def __init__(self, name: str, form: str | None) -> None:
        self.name, self.form = name, form
        self.iso: bool | None = None
        self.units = Units(name)

    def read(self, times: pl.Series, rows: Rows) -> pl.Series:
        """The next part: numbers that are seconds once they are divided by `second`.

        Args:
            times: as they were read: numbers, text, or dates and times, in UTC unless they say otherwise.
            rows: where the rows are.

        Raises:
            GenrecError: naming the row of what is no time, or could be several.
        """
        name, form = self.name, self.form
        if times.dtype.is_temporal() and times.dtype not in (pl.Time, pl.Duration):
            found = times.cast(pl.Datetime("us", getattr(times.dtype, "time_zone", None))).dt.epoch("us") / 1e6
            return _complete(found, times, name, "is no time", rows)
        if not (times.dtype.is_numeric() or times.dtype == pl.String or times.dtype == pl.Null):
            raise GenrecError(f"{rows.at(0)}: column `{name}` holds {times.dtype}, no times")
        text = times.str.strip_chars() if times.dtype == pl.String else None
        if form and "%" in form:
            pattern = times.cast(pl.String) if text is None else text
            return _complete(_parsed(pattern, form), times, name, f"is not written as {form} (time_format)", rows)
        numbers = (times if text is None else text).cast(pl.Float64, strict=False)
        if self.iso is None:
            self.iso = form is None and text is not None and numbers.null_count() == len(numbers) > 0
        if self.iso and text is not None:
            why = (
                "is neither a number nor an ISO date such as 2014-03-05 or 2014-03-05T10:30:00: time_format says how "
                "times are written, such as %d/%m/%Y"
            )
            return _complete(_iso(text), times, name, why, rows)
        numbers = _complete(numbers, times, name, "is no number, as other times are", rows)
        if form is None:
            self.units.add(numbers, rows)
        elif form != NUMBER and form not in UNITS:
            raise GenrecError(f"time_format is a pattern with %, {', '.join(UNITS)} or {NUMBER}, not `{form}`")
        return numbers

    def second(self, findings: Findings) -> float:
        """What all parts are divided by.

        Args:
            findings: where it is said what was found out.

        Raises:
            GenrecError: if numbers are of several units, or may be dates.
        """
        return UNITS.get(self.form, 1.0) if self.form else self.units.second(findings)


def _complete(found: pl.Series, times: pl.Series, name: str, why: str, rows: Rows) -> pl.Series:
    """All times, each a finite number."""
    bad = ~found.is_finite().fill_null(False)
    if not bad.any():
        return found
    row = int(bad.arg_max() or 0)
    value = shown(times[row])
    if value in ("", *MISSING):
        raise GenrecError(f"{rows.at(row)}: no value in column `{name}`")
    raise GenrecError(f"{rows.at(row)}: `{value}` in column `{name}` {why}")


def _parsed(text: pl.Series, form: str) -> pl.Series:
    if "%H" in form and "%M" not in form:
        text, form = text + ":00", f"{form}:%M"  # which polars does not do without
    hours = any(mark in form for mark in ("%H", "%I", "%T", "%s", "%R", "%r", "%c", "%X"))
    try:
        if hours:
            moments = text.str.to_datetime(form, time_unit="us", strict=False, ambiguous="earliest")
        else:
            moments = text.str.to_date(form, strict=False).cast(pl.Datetime("us"))
    except pl.exceptions.PolarsError as error:
        raise GenrecError(
            f"time_format `{form}` is no pattern of dates ({str(error).splitlines()[0][:100]})"
        ) from error
    return moments.dt.epoch("us") / 1e6


def _iso(text: pl.Series) -> pl.Series:
    """ISO dates and times; null for anything else."""
    parts = pl.DataFrame({"text": text}).select(
        **{
            part: pl.col("text").str.extract(ISO, group)
            for group, part in enumerate(("day", "minute", "second", "hours", "minutes"), 1)
        }
    )
    written = pl.concat_str(
        pl.col("day"), pl.lit("T"), pl.col("minute").fill_null("00:00"), pl.col("second").fill_null(":00")
    )
    local = written.str.to_datetime("%Y-%m-%dT%H:%M:%S%.f", time_unit="us", strict=False).dt.epoch("us") / 1e6
    sign = pl.when(pl.col("hours").str.starts_with("-")).then(-1).otherwise(1)
    ahead = pl.col("hours").cast(pl.Float64) * 3600 + sign * pl.col("minutes").cast(pl.Float64) * 60
    return parts.select((local - ahead.fill_null(0)).alias("time")).to_series()


class Units:
    """The unit of numbers that may be times since 1970, a part at a time.

    Args:
        name: what the file calls their column.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self.total = self.early = 0
        self.largest, self.where = 0.0, ""
        self.dates = dict.fromkeys(DATES, 0)
        self.first: dict[int, tuple[int, float, str]] = {}
        """By the number of digits of a date, or minus the number of a unit: which was the first such, and where."""

    def add(self, numbers: pl.Series, rows: Rows) -> None:
        """Look at the next part."""

        def note(kind: int, mask: pl.Series) -> None:
            if kind not in self.first and mask.any():
                row = int(mask.arg_max() or 0)
                self.first[kind] = self.total + row, numbers[row], rows.at(row)

        size = numbers.abs()
        row = int(size.arg_max() or 0)
        if size[row] > self.largest:
            self.largest, self.where = size[row], f"{rows.at(row)}: `{numbers[row]:g}`"
        for digits in DATES:
            dates = _dates(numbers, digits)
            self.dates[digits] += int(dates.sum())
            note(digits, dates)
        # Powers of a thousand that separate the units: 1e8 .. 1e11 seconds, 1e11 .. 1e14 milliseconds ...
        power = ((size.clip(lower_bound=EARLIEST) / EARLIEST).log(10) / 3 + 1e-9).floor().clip(0, 3).cast(pl.Int8)
        dated = size >= EARLIEST
        self.early += int((~dated).sum())
        for unit in range(len(UNITS)):
            note(-unit, dated & (power == unit))
        self.total += len(numbers)

    def second(self, findings: Findings) -> float:
        """How many of the unit make a second; see `Times.second`."""
        for digits, form in DATES.items():
            if 2 * self.dates[digits] > self.total:
                _, number, where = self.first[digits]
                raise GenrecError(
                    f"{where}: `{number:.0f}` in column `{self.name}` may be a date or a number: set time_format to "
                    f"{form} or {NUMBER}"
                )
        if self.largest < EARLIEST:
            return 1.0
        if self.largest >= LATEST * UNITS["nanoseconds"]:
            raise GenrecError(
                f"{self.where} in column `{self.name}` is no time since 1970 in any unit: set time_format to {NUMBER} "
                "if it is to stay what it is"
            )
        units = list(UNITS)
        unit, *others = sorted((-kind for kind in self.first if kind <= 0), reverse=True)
        if others:
            other = min(others, key=lambda unit: self.first[-unit])
            (_, example, there), (_, number, where) = self.first[-unit], self.first[-other]
            raise GenrecError(
                f"{where}: `{number:.0f}` in column `{self.name}` is a time in {units[other]}, but `{example:.0f}` "
                f"({there}) one in {units[unit]}: write all in one unit"
            )
        findings.count(f"times in `{self.name}` before 1973, such as 0", self.early)
        if unit:
            findings[f"times in `{self.name}`"] = f"{units[unit]}, read as seconds"
        return UNITS[units[unit]]


def _dates(numbers: pl.Series, digits: int) -> pl.Series:
    """Which numbers are dates, written with so many digits and nothing between them."""
    first, last = (year * 10 ** (digits - 4) for year in YEARS)
    dates = numbers.is_between(first, last) & (numbers == numbers.floor())
    whole = numbers.clip(0, 1e15).cast(pl.Int64)
    for place, (least, most) in zip(range(digits - 6, -1, -2), WITHIN, strict=False):
        dates &= (whole // 10**place % 100).is_between(least, most)
    return dates
