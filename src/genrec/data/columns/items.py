"""What people's tables tell about items, in the columns of `genrec.data.catalog`."""

from __future__ import annotations

import ast
import json
import re
from typing import Any

import polars as pl

from genrec.data.catalog import BRAND, CATEGORIES, DESCRIPTION, KEY, PRICE, TAGS, TITLE
from genrec.data.columns.keys import MISSING
from genrec.data.files import Findings
from genrec.data.raw import text

ALIASES = {
    TITLE: ("title", "name", "movie_title", "product_title", "app_name"),
    BRAND: ("brand", "store", "manufacturer", "developer"),
    DESCRIPTION: ("description", "features", "feature"),
    CATEGORIES: ("categories", "category", "genres", "genre", "main_category", "main_cat"),
    PRICE: ("price",),
    TAGS: ("tags",),
}
"""What a column may be called, in any case of letters. The first that is there counts; descriptions are joined."""
BRACKETS = r"(?s)^\s*\[.*\]\s*$"
"""Texts that are lists as Python and JSON write them."""
QUOTED = rf"{BRACKETS}|^\s*'[^']*'(\s*,\s*'[^']*')*\s*$"
"""The same, or ``'A', 'B'`` (RecBole's sequences)."""
NOT_GENRES = "(no genres listed)"


def item_table(table: pl.DataFrame, key: pl.Series, findings: Findings) -> pl.DataFrame:
    """The columns of `Catalog`, made of what a table has.

    Args:
        table: as it was read.
        key: the items' keys.
        findings: where it is said which columns were taken for what, and which values were dropped.
    """
    columns = [key.rename(KEY)]
    lower = {name.strip().lower(): name for name in reversed(table.columns) if name != key.name}
    used = {key.name}
    for ours, names in ALIASES.items():
        there = [lower[name] for name in names if name in lower]
        there = there if ours == DESCRIPTION else there[:1]
        if not there:
            continue
        used.update(there)
        for name in there:
            if name != ours:
                findings[f"column `{name}`"] = f"read as {ours}"
        read = {PRICE: _price, CATEGORIES: _categories}.get(ours, _text)
        parts = [read(table[name], name, findings) for name in there]
        columns.append((parts[0] if len(parts) == 1 else _joined(parts)).rename(ours))
    ignored = [name for name in table.columns if name not in used]
    if ignored:
        findings["columns of the item table that are not read"] = ", ".join(ignored)
    items = pl.DataFrame(columns)
    twice = len(items) - items[KEY].n_unique()
    findings.count("rows of items that were there before, not read", twice)
    return items.unique(KEY, keep="first", maintain_order=True) if twice else items


def _joined(parts: list[pl.Series]) -> pl.Series:
    joined = pl.concat_str(*(pl.col(f"{n}") for n in range(len(parts))), separator=" ", ignore_nulls=True)
    frame = pl.DataFrame([part.rename(f"{n}") for n, part in enumerate(parts)])
    return frame.select(pl.when(joined != "").then(joined).alias("joined")).to_series()


def _text(column: pl.Series, name: str, findings: Findings) -> pl.Series:
    """Text; of a list, its parts one after another."""
    if column.dtype.is_nested() or _written_lists(column, BRACKETS):
        return _filled(_lists(column, name, BRACKETS, findings).list.join(" "), name, findings)
    return _filled(column.cast(pl.String, strict=False), name, findings)


def _filled(column: pl.Series, name: str, findings: Findings) -> pl.Series:
    """Text without blanks around it, null where there is none, or only a word for that."""
    stripped = column.str.strip_chars()
    placeholder = stripped.is_in(MISSING)
    findings.count(f"`{name}` such as nan or None, read as missing", int(placeholder.sum() or 0))
    frame = pl.DataFrame({"text": stripped, "no": placeholder})
    return frame.select(pl.when(~pl.col("no") & (pl.col("text") != "")).then(pl.col("text"))).to_series()


def _categories(column: pl.Series, name: str, findings: Findings) -> pl.Series:
    """Lists of text: lists as they are or were written, or text with vertical bars."""
    if column.dtype.is_nested() or _written_lists(column, QUOTED):
        lists = _lists(column, name, QUOTED, findings)
    else:
        lists = _filled(column.cast(pl.String, strict=False), name, findings).str.split("|")
    nothing = ["", NOT_GENRES, *MISSING]
    lists = lists.list.eval(pl.element().str.strip_chars()).list.eval(
        pl.element().filter(~pl.element().is_in(nothing).fill_null(True))
    )
    frame = pl.DataFrame({"lists": lists})
    return frame.select(pl.when(pl.col("lists").list.len() > 0).then(pl.col("lists"))).to_series()


def _written_lists(column: pl.Series, pattern: str) -> bool:
    """Whether some texts are lists, written as Python or JSON does."""
    return column.dtype == pl.String and bool(column.str.contains(pattern).any())


def _lists(column: pl.Series, name: str, pattern: str, findings: Findings) -> pl.Series:
    values = column.to_list()
    if column.dtype == pl.String:
        bars = pattern == QUOTED
        values = [_read(cell.strip(), bars) if re.match(pattern, cell or "") else _plain(cell, bars) for cell in values]
        written = int(column.str.contains(pattern).sum() or 0)
        findings.count(f"`{name}` written as lists, read as such", written)
    cells = [_parts(value) for value in values]
    findings.count(f"`{name}` with several paths, of which the first is read", sum(several for _, several in cells))
    return pl.Series(name, [parts for parts, _ in cells], pl.List(pl.String))


def _plain(cell: str | None, bars: bool) -> list[str] | None:
    """A text among lists."""
    if cell is None or cell.strip() in ("", *MISSING):
        return None
    return cell.split("|") if bars else [cell]


def _parts(value: Any) -> tuple[list[str] | None, bool]:
    """The texts of a cell, and whether it holds several lists, of which the first counts."""
    if value is None:
        return None, False
    if isinstance(value, dict):
        value = [part for part in value.values() if part is not None]
    if not isinstance(value, (list, tuple)):
        value = [value]
    several = bool(value) and isinstance(value[0], (list, tuple))
    parts = [part for part in (value[0] if several else value) if part is not None]
    texts = [part.strip() if isinstance(part, str) else str(part) for part in parts]
    return [part for part in texts if part and part not in MISSING], several and len(value) > 1


def _read(cell: str, bars: bool) -> Any:
    """A list that was written as text; what only looks like one stays text."""
    for reader in (json.loads, ast.literal_eval):
        try:
            value = reader(cell)
            str(value).encode()
        except (ValueError, SyntaxError, TypeError, RecursionError, MemoryError):
            continue
        return value
    return _plain(cell, bars)


def _price(column: pl.Series, name: str, findings: Findings) -> pl.Series:
    """Numbers, also of ``$12.99``; null of anything else."""
    if column.dtype.is_numeric():
        finite = pl.DataFrame({"price": column.cast(pl.Float64)})
        return finite.select(pl.when(pl.col("price").is_finite()).then(pl.col("price"))).to_series()
    if column.dtype.is_nested():
        column = pl.Series(name, [None] * len(column), pl.String)
    written = _filled(column.cast(pl.String, strict=False), name, findings)
    prices = pl.DataFrame({"price": written}).select(text.price(pl.col("price"))).to_series()
    findings.count(
        f"`{name}` that are no price, such as —, read as missing", prices.null_count() - written.null_count()
    )
    return prices
