"""What people's tables tell about items, in the columns of `genrec.data.catalog`."""

from __future__ import annotations

import html

import polars as pl

from genrec.data.catalog import BRAND, CATEGORIES, DESCRIPTION, KEY, PRICE, TAGS, TITLE
from genrec.data.columns.keys import MISSING
from genrec.data.columns.lists import BRACKETS, QUOTED, read_lists, written_lists
from genrec.data.files import Findings
from genrec.data.raw import text
from genrec.errors import GenrecError

ALIASES = {
    TITLE: ("title", "name", "movie_title", "product_title", "app_name"),
    BRAND: ("brand", "store", "manufacturer", "developer"),
    DESCRIPTION: ("description", "features", "feature"),
    CATEGORIES: ("categories", "category", "genres", "genre", "main_category", "main_cat"),
    PRICE: ("price",),
    TAGS: ("tags",),
}
"""What a column may be called, in any case of letters. The first that is there counts; descriptions are joined."""
ENTITY = r"&(?:#\d+|#x[0-9a-fA-F]+|[A-Za-z][A-Za-z0-9]+);"
TOGETHER = r"\S(?:, ?|; ?| > )\S"
"""What may be several categories, or one with a comma in its name."""
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
    if column.dtype.is_nested() or written_lists(column, BRACKETS):
        return _filled(read_lists(column, name, BRACKETS, findings).list.join(" "), name, findings)
    return _filled(_written(column, name), name, findings)


def _written(column: pl.Series, name: str) -> pl.Series:
    """Numbers, dates and the like as text.

    Raises:
        GenrecError: if it is none.
    """
    if column.dtype in (pl.Binary, pl.Object):
        raise GenrecError(f"the column `{name}` of the item table holds bytes that are no text: leave it out")
    return column.cast(pl.String, strict=False)


def _filled(column: pl.Series, name: str, findings: Findings) -> pl.Series:
    """Text without blanks around it, null where there is none, or only a word for that."""
    stripped = _unescaped(column, name, findings).str.strip_chars()
    placeholder = stripped.is_in(MISSING)
    findings.count(f"`{name}` such as nan or None, read as missing", int(placeholder.sum() or 0))
    frame = pl.DataFrame({"text": stripped, "no": placeholder})
    return frame.select(pl.when(~pl.col("no") & (pl.col("text") != "")).then(pl.col("text"))).to_series()


def _unescaped(column: pl.Series, name: str, findings: Findings) -> pl.Series:
    """Text with characters where pages of the web have ``&amp;`` and its like."""
    coded = column.str.contains(ENTITY).fill_null(False)
    findings.count(f"`{name}` with codes such as &amp;, read as characters", int(coded.sum()))
    if not coded.any():
        return column
    return column.set(coded, None).fill_null(column.map_elements(html.unescape, return_dtype=pl.String))


def _categories(column: pl.Series, name: str, findings: Findings) -> pl.Series:
    """Lists of text: lists as they are or were written, or text with vertical bars."""
    if column.dtype.is_nested() or written_lists(column, QUOTED):
        lists = read_lists(column, name, QUOTED, findings)
    else:
        cells = _filled(_written(column, name), name, findings)
        together = int(cells.str.contains(TOGETHER).sum() or 0)
        findings.count(
            f"`{name}` with a comma, semicolon or > inside, each read as one: lists have | between", together
        )
        lists = cells.str.split("|")
    parts = pl.DataFrame({"row": range(len(lists)), "part": lists}).explode("part")
    part = _unescaped(parts["part"], name, findings).str.strip_chars()
    findings.count(f"`{name}` such as nan or None, left out of their lists", int(part.is_in(MISSING).sum() or 0))
    parts = parts.with_columns(part).filter(~part.is_in(["", NOT_GENRES, *MISSING]).fill_null(True))
    grouped = parts.group_by("row", maintain_order=True).agg("part")
    frame = pl.DataFrame({"row": range(len(lists))}).join(grouped, on="row", how="left", maintain_order="left")
    return frame["part"]


def _price(column: pl.Series, name: str, findings: Findings) -> pl.Series:
    """Numbers, also of ``$12.99``; null of anything else."""
    if column.dtype.is_numeric():
        written = column.cast(pl.Float64).fill_nan(None)
        prices = pl.DataFrame({"price": written}).select(
            pl.when(pl.col("price").is_finite() & (pl.col("price") >= 0)).then(pl.col("price"))
        )
    elif column.dtype.is_nested():
        written = column
        prices = pl.DataFrame({"price": pl.Series([None] * len(column), dtype=pl.Float64)})
    else:
        written = _filled(_written(column, name), name, findings)
        prices = pl.DataFrame({"price": written}).select(text.price(pl.col("price")))
    dropped = prices["price"].null_count() - written.null_count()
    findings.count(f"`{name}` that are no price, such as —, read as missing", dropped)
    return prices["price"]
