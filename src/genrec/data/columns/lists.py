"""Lists in the cells of a table: as they are, or written as Python, JSON, numpy or RecBole write them."""

from __future__ import annotations

import ast
import json
import re
from typing import Any

import polars as pl

from genrec.data.columns.keys import MISSING
from genrec.data.files import Findings

BRACKETS = r"(?s)^\s*\[.*\]\s*$"
"""Texts that are lists as Python and JSON write them."""
QUOTED = rf"{BRACKETS}|^\s*\(\s*['\"].*\)\s*$|^\s*'[^']*'(\s*,\s*'[^']*')*\s*$"
"""The same, or with round brackets, or ``'A', 'B'`` (RecBole's sequences)."""
GAP = re.compile(r"""(?<=['"])\s+(?=['"])""")
"""What stands between the texts of a list as numpy writes it, where others have a comma."""


def written_lists(column: pl.Series, pattern: str) -> bool:
    """Whether some texts are lists, written as Python or JSON does."""
    return column.dtype == pl.String and bool(column.str.contains(pattern).any())


def read_lists(column: pl.Series, name: str, pattern: str, findings: Findings) -> pl.Series:
    """The texts of every cell.

    Args:
        column: lists, objects, or text of which some is `written_lists`.
        name: what its file calls it.
        pattern: what a written list looks like: `BRACKETS`, or `QUOTED`, which goes with bars between texts.
        findings: where it is said what was read in which way.
    """
    values = column.to_list()
    if column.dtype == pl.String:
        read = [_read(cell.strip()) if re.match(pattern, cell or "") else None for cell in values]
        values = [
            _plain(cell, pattern == QUOTED) if value is None else value
            for cell, value in zip(values, read, strict=True)
        ]
        findings.count(f"`{name}` written as lists, read as such", sum(value is not None for value in read))
    several = sum(isinstance(value, (list, tuple)) and len(value) > 1 and _is_list(value[0]) for value in values)
    findings.count(f"`{name}` with several paths, of which the first is read", several)
    objects = sum(any(isinstance(part, dict) for part in _listed(value)) for value in values)
    findings.count(f"`{name}` with objects, read by their names", objects)
    texts = [None if value is None else _texts(value) for value in values]
    missing = sum(each in MISSING for parts in texts for each in parts or ())
    findings.count(f"`{name}` such as nan or None, left out of their lists", missing)
    kept = [parts and [each for each in parts if each not in MISSING] for parts in texts]
    return pl.Series(name, kept, pl.List(pl.String))


def _plain(cell: str | None, bars: bool) -> list[str] | None:
    """A text among lists."""
    if cell is None or cell.strip() in ("", *MISSING):
        return None
    return cell.split("|") if bars else [cell]


def _is_list(value: Any) -> bool:
    return isinstance(value, (list, tuple))


def _listed(value: Any) -> list[Any]:
    """The parts of a cell; of several lists those of the first."""
    parts = list(value) if _is_list(value) else [value]
    return list(parts[0]) if parts and _is_list(parts[0]) else parts


def _texts(value: Any) -> list[str]:
    texts = [str(each).strip() for part in _listed(value) if part is not None for each in _of_object(part)]
    return [each for each in texts if each]


def _of_object(value: Any) -> list[Any]:
    """What an object says: its name; what it counts or marks; else all its values. Anything else is itself."""
    if not isinstance(value, dict):
        return [value]
    there = {name: each for name, each in value.items() if each is not None}
    if isinstance(there.get("name"), str):
        return [there["name"]]
    if all(isinstance(each, (int, float)) for each in there.values()):
        return [name for name, count in there.items() if count]
    return list(there.values())


def _read(cell: str) -> Any:
    """A list that was written as text; None of what only looks like one."""
    for reader in (json.loads, ast.literal_eval):
        try:
            value = reader(GAP.sub(", ", cell) if reader is ast.literal_eval else cell)
            str(value).encode()
        except (ValueError, SyntaxError, TypeError, RecursionError, MemoryError):
            continue
        return value
    return None
