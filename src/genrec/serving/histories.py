"""Histories in a file, read a window of users at a time: memory does not grow with how many there are.

A ``.parquet`` file has a column ``history``, a list of item keys in every row, and may have a column ``user``. A
``.jsonl`` file has a line for every user: such a list, or an object with ``history`` and perhaps ``user``. What else
there is in a row is not read.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

from genrec.data.files import Part
from genrec.data.files.compressed import opened
from genrec.data.files.records import parse
from genrec.errors import GenrecError

HISTORY, USER = "history", "user"
LINES = (".jsonl", ".ndjson")
TOGETHER = 2**13
"""Rows of a parquet file that are decoded together."""
WHOLE = 2**63
"""Whole numbers from here on are in no table."""


class Row(NamedTuple):
    """A user of a file.

    Args:
        where: file and row, for errors.
        user: what he is called there; without a name, his number from 0 on.
        history: the keys of his items, oldest first.
    """

    where: str
    user: str | int
    history: list[str]


def windows(path: Path, size: int) -> Iterator[list[Row]]:
    """All users of a file, so many at a time.

    Raises:
        GenrecError: if the file cannot be read, or holds nobody; naming the row that is no history.
    """
    try:
        rows = _rows(path)
        window = list(islice(rows, size))
        if not window:
            raise GenrecError(f"`{path}` holds no histories (--histories)")
        while window:
            yield window
            window = list(islice(rows, size))
    except (OSError, EOFError) as error:
        reason = getattr(error, "strerror", None) or " ".join(str(error).split())[:200]
        raise GenrecError(f"cannot read `{path}` (--histories): {reason}") from error


def _rows(path: Path) -> Iterator[Row]:
    kind: type[Any] | None = None
    for number, (where, record) in enumerate(_records(path)):
        fields: dict[str, Any] = record if isinstance(record, dict) else {HISTORY: record}
        history: Any = fields.get(HISTORY)
        user: Any = fields.get(USER)
        if not isinstance(history, list) or not all(isinstance(key, str) for key in history):
            example = '["m1", "m7"]'
            raise GenrecError(
                f"{where}: a history is a list of item keys, which are texts, such as {example}, not {history!r:.80}"
            )
        if USER in fields and not _is_name(user):
            raise GenrecError(f"{where}: `{USER}` is a text or a whole number, not {user!r:.80}")
        # The first row says what all are called, if they are: one column holds one kind.
        kind = kind or type(user)
        if type(user) is not kind:
            raise GenrecError(
                f"{where}: `{USER}` is {user!r:.80}, but {_KINDS[kind]} in the rows before: write all alike"
            )
        name: str | int = user if USER in fields else number
        yield Row(where, name, history)


_KINDS = {str: "a text", int: "a whole number", type(None): "missing"}


def _is_name(user: Any) -> bool:
    return isinstance(user, str) or (type(user) is int and -WHOLE <= user < WHOLE)


def _records(path: Path) -> Iterator[tuple[str, Any]]:
    """What the file holds, and where it is; rows and lines are counted from 1."""
    ending = Part.local(path).ending
    if ending == ".parquet":
        yield from _of_table(path)
    elif ending in LINES:
        with path.open("rb") as file, opened(file, str(path)) as lines:
            for number, line in enumerate(lines, 1):
                if line.strip():
                    where = f"{path}, line {number}"
                    yield where, parse(line, where)
    else:
        raise GenrecError(f"histories are read from .parquet or .jsonl, not `{path.name}` (--histories)")


def _of_table(path: Path) -> Iterator[tuple[str, Any]]:
    import pyarrow as pa  # takes longer than most tables
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(path, pre_buffer=False) as file:
            names = file.schema_arrow.names
            if HISTORY not in names:
                raise GenrecError(f"`{path}` has no column `{HISTORY}` (--histories), but {', '.join(names)}")
            number = 0
            for batch in file.iter_batches(TOGETHER, columns=[name for name in (USER, HISTORY) if name in names]):
                for record in batch.to_pylist():
                    number += 1
                    yield f"{path}, row {number}", record
    except pa.ArrowInvalid as error:
        raise GenrecError(f"cannot read `{path}` (--histories): {' '.join(str(error).split())[:200]}") from error
