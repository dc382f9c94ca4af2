"""Tables of any kind, by the endings of their names."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from genrec.data.files.findings import Findings
from genrec.data.files.places import Part
from genrec.data.files.records import read_records
from genrec.data.files.separated import read_separated
from genrec.errors import GenrecError

TEXTS = (".csv", ".tsv", ".txt", ".inter", ".item", ".user", ".dat", ".data", ".psv")
RECORDS = (".jsonl", ".json", ".ndjson")
PARQUET = (".parquet", ".pq")
ROWS_A_BYTE, MANY = 100, 50_000_000
"""More rows than these are in no parquet file of interactions: columns of one value take hardly any bytes."""


@dataclass(frozen=True)
class Reading:
    """How files of text are read.

    Args:
        separator: what stands between the fields of a line; found out if None.
        encoding: of the text; UTF-8, or what the file's first bytes say, if None.
    """

    separator: str | None = None
    encoding: str | None = None


def read_table(
    place: Path | Part,
    keys: Sequence[str] = (),
    wanted: Sequence[str] = (),
    reading: Reading | None = None,
    findings: Findings | None = None,
) -> pl.DataFrame:
    """Read a table from csv and its relatives (``.tsv``, ``.txt``, ``.inter`` ...), JSON or parquet, compressed or not.

    Args:
        place: the file.
        keys: names of columns that hold keys: text or numbers.
        wanted: names of further columns that are expected.
        reading: how text is read.
        findings: where it is said what was found out.

    Raises:
        GenrecError: if the file is missing, of another kind, or broken.
    """
    part = Part.local(place) if isinstance(place, Path) else place
    reading = reading or Reading()
    if part.path is not None and not part.path.is_file():
        raise GenrecError(f"there is no file `{part.name}`")
    if part.ending in TEXTS:
        names, said = (*keys, *wanted), Findings() if findings is None else findings
        return read_separated(part, names, reading.separator, reading.encoding, said)
    if part.ending in RECORDS:
        return read_records(part, keys, reading.encoding)
    if part.ending in PARQUET:
        return _read_parquet(part)
    raise GenrecError(
        f"`{part.name}` is none of the tables that can be read: {', '.join((*TEXTS, *RECORDS, *PARQUET))}, the texts "
        "among them compressed or not"
    )


def _read_parquet(part: Part) -> pl.DataFrame:
    import pyarrow.parquet as pq  # takes longer than most tables

    try:
        with part.open() as file:
            table = pq.ParquetFile(file)
            rows = table.metadata.num_rows
            size = file.seek(0, 2)
            if rows > max(MANY, ROWS_A_BYTE * size):
                raise GenrecError(f"`{part.name}` has {size:,} bytes for {rows:,} rows: that is no table of records")
            # By pyarrow: where a file is damaged, polars may panic, which is no exception.
            return _texts(pl.DataFrame(table.read()))
    except GenrecError:
        raise
    except Exception as error:  # of many kinds
        raise GenrecError(f"cannot read `{part.name}`: {' '.join(str(error).split())[:200]}") from error


def _texts(frame: pl.DataFrame) -> pl.DataFrame:
    """Text as such where it is kept in another way: as numbers of texts, or as bytes of which nothing is said."""
    frame = frame.with_columns(pl.col(pl.Categorical, pl.Enum).cast(pl.String))
    return frame.with_columns(map(_decoded, frame.select(pl.col(pl.Binary))))


def _decoded(column: pl.Series) -> pl.Series:
    try:
        return column.cast(pl.String)
    except pl.exceptions.PolarsError:  # pictures and the like
        return column
