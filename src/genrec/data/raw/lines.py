"""Files of one record a line, plain or gzipped, of any size: read in blocks, and every bad line is counted."""

from __future__ import annotations

import ast
import codecs
import json
import warnings
import zlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl

from genrec.data.files.compressed import opened
from genrec.data.interactions import ROW
from genrec.errors import GenrecError

BLOCK = 1 << 24
"""Bytes of text that are read at a time; the memory needed is a small multiple of them, and the result."""

NEWLINE = b"\n"
LONGEST = 1 << 26
"""No line is longer."""

TOLERATED = 0.01
"""The share of bad lines above which a file is taken for another kind of file, or for a broken one."""

PARSED = "_parsed"
"""The column that says whether a line could be read at all."""

EVERY = pl.lit(True)
Schema = Mapping[str, pl.DataType]
_UNREADABLE = (ValueError, SyntaxError, TypeError, RecursionError, MemoryError)
"""What parsing and rewriting a hostile or broken line can raise."""


@dataclass(frozen=True)
class BadLines:
    """How many lines of a file could not be used.

    Args:
        path: the file.
        count: its bad lines.
        total: its lines, empty ones and the header aside.
        first: the numbers of the first three bad lines, counted from 1.
    """

    path: Path
    count: int
    total: int
    first: tuple[int, ...]

    def __str__(self) -> str:
        if not self.count:
            return f"`{self.path}`: all {self.total} lines were read"
        numbers = ", ".join(map(str, self.first)) + (", ..." if self.count > len(self.first) else "")
        return f"`{self.path}`: {self.count} of {self.total} lines cannot be read (line {numbers})"


def read_json_lines(
    path: Path, schema: Schema, valid: pl.Expr = EVERY, keep: pl.Expr = EVERY
) -> tuple[pl.DataFrame, BadLines]:
    """Read a file of one JSON object a line.

    Args:
        path: the file.
        schema: the fields to read. A missing field, and a value that does not fit, is null; numbers, lists and objects
            become text (as JSON) where the schema says text.
        valid: false or null for a bad line.
        keep: false or null for a good line that is not wanted, so that it takes no memory.

    Returns:
        The columns of `schema` and ``row``, the line's index in the file from 0, in the file's order; and what was
        left out because it was bad.

    Raises:
        GenrecError: if the file is missing, cut short or empty, or more than 1 % of its lines are bad.
    """

    def read(block: bytes, start: int) -> pl.DataFrame:
        frame = _fast_json(block, start, schema)
        return _by_line(block, start, schema, _json) if frame is None else frame

    return gather(path, read, valid, keep)


def read_literal_lines(
    path: Path, schema: Schema, valid: pl.Expr = EVERY, keep: pl.Expr = EVERY
) -> tuple[pl.DataFrame, BadLines]:
    """Read a file of one JSON object or Python dictionary a line, without running anything in it.

    Args:
        path: the file.
        schema: as of `read_json_lines`, and so is all the rest.
        valid: false or null for a bad line.
        keep: false or null for a good line that is not wanted.

    Raises:
        GenrecError: if the file is missing, cut short or empty, or more than 1 % of its lines are bad.
    """

    def read(block: bytes, start: int) -> pl.DataFrame:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the compiler's, about backslashes in the text of bad lines
            return _by_line(block, start, schema, _literal)

    return gather(path, read, valid, keep)


def gather(
    path: Path, read: Callable[[bytes, int], pl.DataFrame], valid: pl.Expr, keep: pl.Expr
) -> tuple[pl.DataFrame, BadLines]:
    """Read block after block; `read` gives a row for every line that is not empty."""
    frames: list[pl.DataFrame] = []
    first: list[int] = []
    count = total = 0
    for start, block in blocks(path):
        frame = read(block, start).with_columns((pl.col(PARSED) & valid).fill_null(False))
        bad = frame.filter(~pl.col(PARSED))[ROW]
        first = (first + [row + 1 for row in bad.head(3)])[:3]
        count, total = count + len(bad), total + len(frame)
        frames.append(_compact(frame.filter(pl.col(PARSED), keep).drop(PARSED)))
    if not total:
        raise GenrecError(f"`{path}` holds no lines: get the file again")
    report = BadLines(path, count, total, tuple(first))
    if count > TOLERATED * total:
        raise GenrecError(f"{report}: check that it is the right file, and get it again if it is")
    return pl.concat(frames), report


def _compact(frame: pl.DataFrame) -> pl.DataFrame:
    """The same frame by itself: after a filter, its text keeps that of the whole block in memory."""
    return pl.DataFrame(frame.to_arrow(compat_level=pl.CompatLevel.oldest()))


def blocks(path: Path) -> Iterator[tuple[int, bytes]]:
    """Whole lines, and the index of the first of them."""
    row = 0
    try:
        with path.open("rb") as packed, opened(packed, str(path)) as file:
            while block := file.read(BLOCK):
                if not block.endswith(b"\n"):
                    block += file.readline(LONGEST)
                    if len(block) > LONGEST and not block.endswith(b"\n"):
                        raise GenrecError(f"{path}: the line after {row + block.count(NEWLINE):,} others has no end")
                yield row, block if row else block.removeprefix(codecs.BOM_UTF8)
                row += block.count(NEWLINE)
    except FileNotFoundError as error:
        raise GenrecError(f"there is no file `{path}`") from error
    except (OSError, EOFError, zlib.error) as error:
        reason = " ".join(str(error).split())
        raise GenrecError(f"cannot read `{path}` to its end ({reason}): get the file again") from error


def is_utf8(path: Path) -> bool:
    """Whether all of a file is text in UTF-8."""
    try:
        return all(block.decode() is not None for _, block in blocks(path))
    except UnicodeDecodeError:
        return False


def _fast_json(block: bytes, start: int, schema: Schema) -> pl.DataFrame | None:
    """The block as polars reads it, None if that cannot be trusted: some lines may be bad, polars does not say which.

    Polars skips empty lines, takes ``null``, ``5`` and ``[1]`` for objects without any field, and unpacks what begins
    as compressed data does.
    """
    if not block.startswith(b"{"):
        return None
    try:
        frame = pl.read_ndjson(block, schema=schema, ignore_errors=True)
    except pl.exceptions.PolarsError:
        return None
    lines = block.count(b"\n") + (not block.endswith(b"\n"))
    if len(frame) != lines or frame.select(pl.all_horizontal(pl.all().is_null()).any()).item():
        return None
    return frame.with_row_index(ROW, start).with_columns(pl.lit(True).alias(PARSED))


def _by_line(block: bytes, start: int, schema: Schema, parse: Callable[[str], dict[str, Any]]) -> pl.DataFrame:
    """The block line by line: what is wanted of a record is written as JSON, which polars turns into columns."""
    lines = [(row, line) for row, line in enumerate(block.split(b"\n"), start) if line.strip()]
    records = [_wanted(line, schema, parse) for _, line in lines]
    try:
        frame = _frame(records, schema)
    except pl.exceptions.PolarsError:  # a number too large for it, or lists too deep: now find out where
        records = [record if record and _fits(record, schema) else None for record in records]
        frame = _frame(records, schema)
    row = pl.Series(ROW, [row for row, _ in lines], pl.UInt32)
    parsed = pl.Series(PARSED, [record is not None for record in records], pl.Boolean)
    return frame.with_columns(row, parsed).select(ROW, *schema, PARSED)


def _wanted(line: bytes, schema: Schema, parse: Callable[[str], dict[str, Any]]) -> str | None:
    """A line's fields as JSON, None if it is bad."""
    try:
        record = parse(line.decode().strip())
        return json.dumps({name: record.get(name) for name in schema}, allow_nan=False, default=str)
    except _UNREADABLE:
        return None


def _frame(records: list[str | None], schema: Schema) -> pl.DataFrame:
    return pl.read_ndjson("\n".join(record or "{}" for record in records).encode(), schema=schema, ignore_errors=True)


def _fits(record: str, schema: Schema) -> bool:
    try:
        _frame([record], schema)
    except pl.exceptions.PolarsError:
        return False
    return True


def _json(text: str) -> dict[str, Any]:
    return _dictionary(json.loads(text, parse_constant=lambda constant: None))


def _literal(text: str) -> dict[str, Any]:
    try:
        return _json(text)
    except ValueError:
        return _dictionary(ast.literal_eval(text))


def _dictionary(value: Any) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise ValueError("not a dictionary")
    return value
