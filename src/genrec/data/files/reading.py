"""Tables of any kind, by the endings of their names."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from genrec.data.files.findings import Findings
from genrec.data.files.header import require
from genrec.data.files.places import Part
from genrec.data.files.records import read_records
from genrec.data.files.separated import read_separated
from genrec.errors import GenrecError

TEXTS = (".csv", ".tsv", ".txt", ".inter", ".item", ".user", ".dat", ".data", ".psv")
RECORDS = (".jsonl", ".json", ".ndjson")
PARQUET = (".parquet", ".pq")
BUFFER = 2**22
"""Bytes of a column that are read together, however large its groups of rows are."""
ROWS_A_BYTE, MANY = 100, 50_000_000
"""More rows than these are in no parquet file of interactions: columns of one value take hardly any bytes."""


@dataclass(frozen=True)
class Reading:
    """How files of text are read.

    Args:
        separator: what stands between the fields of a line; found out if None.
        encoding: of the text; UTF-8, or what the file's first bytes say, if None.
        scratch: a folder for large text that is compressed or in another encoding; if None, it is held in memory.
    """

    separator: str | None = None
    encoding: str | None = None
    scratch: Path | None = None


def read_table(
    place: Path | Part,
    keys: Sequence[str] = (),
    reading: Reading | None = None,
    findings: Findings | None = None,
) -> pl.DataFrame:
    """Read a table from csv and its relatives (``.tsv``, ``.txt``, ``.inter`` ...), JSON or parquet, compressed or not.

    Args:
        place: the file.
        keys: names of columns that hold keys: text or numbers.
        reading: how text is read.
        findings: where it is said what was found out.

    Raises:
        GenrecError: if the file is missing, of another kind, or broken.
    """
    part = Part.local(place) if isinstance(place, Path) else place
    said = Findings() if findings is None else findings
    (table,) = read_parts(part, keys, None, reading or Reading(), said)
    return table


def choose(names: Sequence[str], columns: Sequence[str], file: str, findings: Findings) -> list[str]:
    """The columns of interactions that are read; what else is there is said.

    Raises:
        GenrecError: if one is missing.
    """
    require(names, columns, file)
    unread = [name for name in names if name not in columns]
    if unread:
        findings["columns of the interactions that are not read"] = ", ".join(unread)
    return list(columns)


def read_parts(
    part: Part,
    keys: Sequence[str],
    wanted: Sequence[str] | None,
    reading: Reading,
    findings: Findings,
    rows: int | None = None,
) -> Iterator[pl.DataFrame]:
    """As `read_table`, so many rows at a time that a long table takes no more memory than a short one.

    Args:
        part: the file.
        keys: names of columns that hold keys: text or numbers.
        wanted: names of further columns, where no others are needed; None: all are.
        reading: how text is read.
        findings: where it is said what was found out.
        rows: about so many at a time; None: all at once.

    Raises:
        GenrecError: as `read_table`, when what is wrong is met.
    """
    if part.path is not None and not part.path.is_file():
        raise GenrecError(f"there is no file `{part.name}`")
    if part.ending in TEXTS:
        names = (*keys, *(wanted or ()))
        yield from read_separated(part, names, reading.separator, reading.encoding, findings, rows, reading.scratch)
    elif part.ending in RECORDS:
        yield from read_records(part, keys, reading.encoding, rows)
    elif part.ending in PARQUET:
        yield from _read_parquet(part, None if wanted is None else [*keys, *wanted], findings, rows)
    else:
        raise GenrecError(
            f"`{part.name}` is none of the tables that can be read: {', '.join((*TEXTS, *RECORDS, *PARQUET))}, the "
            "texts among them compressed or not"
        )


def _read_parquet(
    part: Part, columns: list[str] | None, findings: Findings, rows: int | None
) -> Iterator[pl.DataFrame]:
    import pyarrow as pa  # takes longer than most tables
    import pyarrow.parquet as pq

    try:
        with part.open() as file:
            table = pq.ParquetFile(file, buffer_size=BUFFER)
            count = table.metadata.num_rows
            size = file.seek(0, 2)
            if count > max(MANY, ROWS_A_BYTE * size):
                raise GenrecError(f"`{part.name}` has {size:,} bytes for {count:,} rows: that is no table of records")
            if columns is not None:
                columns = choose(table.schema_arrow.names, list(dict.fromkeys(columns)), part.name, findings)
            # By pyarrow: where a file is damaged, polars may panic, which is no exception.
            if rows is None or count <= rows:
                yield _texts(pl.DataFrame(table.read(columns)))
                return
            for batch in table.iter_batches(rows, columns=columns):
                yield _texts(pl.DataFrame(pa.Table.from_batches([batch])))
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
