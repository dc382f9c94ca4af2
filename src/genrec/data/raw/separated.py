"""Lines of fields with something between them: csv, tabs, ``::``."""

from __future__ import annotations

import csv
from pathlib import Path

import polars as pl

from genrec.data.interactions import ROW
from genrec.data.raw.lines import EVERY, PARSED, BadLines, Schema, blocks, gather
from genrec.errors import GenrecError


def read_separated_lines(
    path: Path,
    schema: Schema,
    separator: str,
    header: bool = False,
    encoding: str = "utf-8",
    valid: pl.Expr = EVERY,
    keep: pl.Expr = EVERY,
) -> tuple[pl.DataFrame, BadLines]:
    """Read a file of lines such as ``1::Toy Story (1995)::Animation|Comedy``.

    A line with another number of fields is bad. Fields that are separated by commas may stand in double quotes.

    Args:
        path: the file.
        schema: the fields to read; without a header all fields there are, in order.
        separator: one or more characters.
        header: whether the first line names the fields.
        encoding: of the text.
        valid: false or null for a bad line.
        keep: false or null for a good line that is not wanted.

    Returns:
        As of `read_json_lines`.

    Raises:
        GenrecError: if the file is missing, cut short or empty, its header lacks a field, or more than 1 % of its
            lines are bad.
    """
    names = _header(path, separator, schema) if header else list(schema)

    def read(block: bytes, start: int) -> pl.DataFrame:
        line = pl.col("line")
        fields = line.str.split(separator)
        if separator == ",":
            quoted = pl.when(line.str.contains('"', literal=True)).then(line)
            fields = pl.coalesce(quoted.map_elements(_unquoted, return_dtype=pl.List(pl.String)), fields)
        frame = pl.DataFrame({"line": block.decode(encoding, "replace").split("\n")}).with_row_index(ROW, start)
        frame = frame.with_columns(line.str.strip_chars_end("\r")).filter(line.str.contains(r"\S"))
        frame = frame.filter(pl.col(ROW) > 0) if header else frame
        columns = {
            name: pl.col("fields").list.get(names.index(name), null_on_oob=True).cast(dtype, strict=False)
            for name, dtype in schema.items()
        }
        columns[PARSED] = pl.col("fields").list.len() == len(names)
        return frame.select(ROW, fields=fields).select(ROW, **columns)

    return gather(path, read, valid, keep)


def _unquoted(line: str) -> list[str]:
    """The fields of a line of csv; none if its quotes are broken."""
    try:
        return next(csv.reader([line], strict=True))
    except csv.Error:
        return []


def _header(path: Path, separator: str, schema: Schema) -> list[str]:
    """The names of a file's fields, those of `schema` among them."""
    _, block = next(blocks(path), (0, b""))
    if not block:
        return list(schema)  # `gather` complains
    names = block.split(b"\n")[0].decode("utf-8", "replace").strip().split(separator)
    for name in schema:
        if name not in names:
            raise GenrecError(f"`{path}` has no column `{name}`; its columns are: {', '.join(names)}")
    return names
