"""Records written as JSON: one a line, or all in one document."""

from __future__ import annotations

import io
import json
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import IO, Any

import polars as pl

from genrec.data.files.compressed import opened
from genrec.data.files.encoding import marked
from genrec.data.files.places import Part
from genrec.errors import GenrecError

Record = dict[str, Any]
TOGETHER = 100_000
"""Records of a long file that are looked at together."""


def json_lines(path: Path) -> Iterator[tuple[int, Record]]:
    """The objects of a file of one JSON object a line, and their lines, counted from 1; empty lines are skipped.

    Raises:
        GenrecError: if the file cannot be read; naming the line that is not a JSON object.
    """
    try:
        with path.open("rb") as file, opened(file, str(path)) as lines:
            yield from records_of_lines(lines, str(path))
    except (OSError, EOFError) as error:
        raise GenrecError(f"cannot read `{path}`: {' '.join(str(error).split())[:200]}") from error


def records_of_lines(lines: Iterable[bytes | str], name: str) -> Iterator[tuple[int, Record]]:
    """As `json_lines`, of lines that are read already."""
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        record = parse(line, f"{name}, line {number}")
        if not isinstance(record, dict):
            raise GenrecError(f"{name}, line {number}: not a JSON object such as {{...}}")
        yield number, record


def parse(text: bytes | str, where: str) -> Any:
    """A JSON value.

    Raises:
        GenrecError: if it is none, nested too deeply, or holds half a character, which is no text.
    """
    try:
        value = json.loads(text, object_pairs_hook=_object)
        if ("\\u" if isinstance(text, str) else b"\\u") in text:  # type: ignore[operator]
            json.dumps(value, ensure_ascii=False).encode()
    except UnicodeDecodeError as error:
        raise GenrecError(f"{where}: no UTF-8 text ({error.reason}): give its `encoding`, such as latin-1") from error
    except UnicodeEncodeError as error:
        raise GenrecError(f"{where}: half a character ({error.object[error.start]!r}), which is no text") from error
    except RecursionError as error:
        raise GenrecError(f"{where}: nested too deeply") from error
    except ValueError as error:
        raise GenrecError(f"{where}: not valid JSON ({error})") from error
    return value


def _object(pairs: list[tuple[str, Any]]) -> Record:
    record = dict(pairs)
    if len(record) < len(pairs):
        names = [name for name, _ in pairs]
        raise ValueError(f"two values of `{next(name for name in names if names.count(name) > 1)}`")
    return record


def read_records(
    part: Part, keys: Sequence[str], encoding: str | None, rows: int | None = None
) -> Iterator[pl.DataFrame]:
    """Read a file of JSON: an object a line, a list of objects, an object of objects or lists.

    Of an object of objects, the outer names are the keys of the items (LETTER's ``item.json``), or the names of the
    columns if those of `keys` are among them (what pandas writes).

    Args:
        part: the file.
        keys: the names of fields that must be text or numbers. The first is what outer names are.
        encoding: of the text; UTF-8, 16 or 32 if None.
        rows: if not None, files of an object a line are read `TOGETHER` at a time; others are one value.

    Raises:
        GenrecError: naming the line that is not JSON, or the field and row that has no key.
    """
    try:
        with part.open() as file, opened(file, part.name) as content:
            buffered = io.BufferedReader(content)  # type: ignore[type-var]
            known = encoding or marked(buffered.peek(4))
            lines: IO[Any] = io.TextIOWrapper(buffered, known, newline="\n") if known else buffered
            found = False
            fields: dict[str, None] = {}
            for before, records in _rows(lines, part, keys, rows):
                found = True
                yield frame_of(records, keys, part.name, before, fields)
    except LookupError as error:
        raise GenrecError(f"there is no encoding `{encoding}`: give one such as latin-1 or utf-16") from error
    except (OSError, EOFError, UnicodeError) as error:
        raise GenrecError(f"cannot read `{part.name}`: {' '.join(str(error).split())[:200]}") from error
    if not found:
        raise GenrecError(f"`{part.name}` holds no rows")


def _rows(lines: IO[Any], part: Part, keys: Sequence[str], rows: int | None) -> Iterator[tuple[int, list[Record]]]:
    """Records that follow one another, and how many came before."""
    if part.ending not in (".jsonl", ".ndjson"):
        records = _document(lines, part, keys)
        if records:
            yield 0, records
        return
    before, found = 0, (record for _, record in records_of_lines(lines, part.name))
    while records := list(found if rows is None else islice(found, TOGETHER)):
        yield before, records
        before += len(records)


def _document(lines: IO[Any], part: Part, keys: Sequence[str]) -> list[Record]:
    text = lines.read()
    if not text.strip():
        raise GenrecError(f"`{part.name}` is empty")
    first, _, rest = text.strip().partition("\n" if isinstance(text, str) else b"\n")
    if rest.strip() and _is_object(first):
        return [
            record for _, record in records_of_lines(text.split("\n" if isinstance(text, str) else b"\n"), part.name)
        ]
    value = parse(text, part.name)
    if isinstance(value, dict) and value:
        inner = list(value.values())
        if any(key in value for key in keys):
            if all(isinstance(column, (dict, list)) for column in inner):
                columns = [list(column.values()) if isinstance(column, dict) else column for column in inner]
                if len({len(column) for column in columns}) == 1:
                    return [dict(zip(value, row, strict=True)) for row in zip(*columns, strict=True)]
            else:
                value = [value]  # a file of one line
        elif all(isinstance(each, dict) for each in inner):
            return [{**record, keys[0]: key} for key, record in value.items()]
    if not isinstance(value, list) or not all(isinstance(record, dict) for record in value):
        raise GenrecError(f"`{part.name}` is no list of JSON objects, and no object of them")
    return value


def _is_object(line: Any) -> bool:
    try:
        return isinstance(json.loads(line), dict)
    except (ValueError, RecursionError):
        return False


def frame_of(
    records: list[Record], keys: Sequence[str], name: str, before: int = 0, fields: dict[str, None] | None = None
) -> pl.DataFrame:
    """A column for every field; one of several kinds of values becomes text, with JSON for what is none.

    Args:
        records: of a file, or a part of it.
        keys: the names of fields that must be text or numbers.
        name: of the file.
        before: how many records came before.
        fields: those of the records before, which have a column too; those of these records are added.

    Raises:
        GenrecError: naming field and row of a key that is neither text nor a number.
    """
    columns = []
    fields = {} if fields is None else fields
    fields.update((field, None) for record in records for field in record)
    for field in fields:
        values = [record.get(field) for record in records]
        if field in keys:
            _check_keys(values, field, name, before)
        columns.append(_column(field, values))
    return pl.DataFrame(columns)


def _check_keys(values: list[Any], field: str, name: str, before: int) -> None:
    for row, value in enumerate(values, before + 1):
        if isinstance(value, bool) or not isinstance(value, (str, int, float, type(None))):
            raise GenrecError(f"{name}, row {row}: `{field}` is {json.dumps(value)[:80]}, not text or a number")


def _column(name: str, values: list[Any]) -> pl.Series:
    kinds = {type(value) for value in values if value is not None}
    if kinds <= {int, float} or len(kinds) == 1:
        try:
            return pl.Series(name, values, strict=kinds != {int, float})
        except (pl.exceptions.PolarsError, TypeError, OverflowError):
            pass  # lists of different kinds, or numbers too large
    return pl.Series(name, [_as_text(value) for value in values], pl.String)


def _as_text(value: Any) -> str | None:
    return value if value is None or isinstance(value, str) else json.dumps(value, ensure_ascii=False)
