"""Tables from files, by their ending, with errors that name the place."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import polars as pl

from genrec.errors import GenrecError


def read_table(path: Path) -> pl.DataFrame:
    """Read a ``.csv``, ``.jsonl`` or ``.parquet`` file.

    A csv file's columns are all text, so that a key such as ``007`` stays what it is.

    Raises:
        GenrecError: if the file is missing, of another kind, or broken.
    """
    readers = {
        ".csv": lambda: pl.read_csv(path, infer_schema=False),
        ".jsonl": lambda: read_jsonl(path),
        ".parquet": lambda: pl.read_parquet(path),
    }
    if path.suffix not in readers:
        raise GenrecError(f"`{path}` is none of the tables that can be read: {', '.join(readers)}")
    if not path.is_file():
        raise GenrecError(f"there is no file `{path}`")
    try:
        return readers[path.suffix]()
    except (pl.exceptions.PolarsError, OSError) as error:
        raise GenrecError(f"cannot read `{path}`: {' '.join(str(error).split())[:200]}") from error


def read_jsonl(path: Path) -> pl.DataFrame:
    """Read a file of one JSON object a line; empty lines are skipped.

    Raises:
        GenrecError: naming the line that is not a JSON object.
    """
    records = [record for _, record in json_lines(path)]
    try:
        return pl.DataFrame(records, infer_schema_length=None)
    except (pl.exceptions.PolarsError, TypeError) as error:
        raise GenrecError(f"{path}: a field has values of different kinds ({' '.join(str(error).split())})") from error


def json_lines(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """The objects of a file of one JSON object a line, and their lines, counted from 1; empty lines are skipped.

    Raises:
        GenrecError: naming the line that is not a JSON object.
    """
    with path.open("rb") as file:
        for number, line in enumerate(file, 1):
            if not line.strip():
                continue
            try:
                record = json.loads(line)
            except ValueError as error:
                raise GenrecError(f"{path}, line {number}: not valid JSON ({error})") from error
            if not isinstance(record, dict):
                raise GenrecError(f"{path}, line {number}: not a JSON object such as {{...}}")
            yield number, record
