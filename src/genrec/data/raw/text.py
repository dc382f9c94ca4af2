"""Text as it was scraped, made readable: expressions on columns of text."""

from __future__ import annotations

import html
import json

import polars as pl

SLICE = 20_000
"""Rows that are cleaned at a time."""

_TAG = r"(?s)<!--.*?-->|</?[A-Za-z][^<>]*>"
_SPACE = r"[\s\p{Cc}]+"
_NOTHING = ["", "nan", "None"]
_PRICE = r"^\s*\$?\s*((?:[0-9]{1,3}(?:,[0-9]{3})+|[0-9]+)(?:\.[0-9]+)?)\s*$"


def present(*columns: str) -> pl.Expr:
    """Whether all these columns of keys hold one."""
    return pl.all_horizontal(pl.col(column).str.contains(r"\S") for column in columns)


def whole(keys: pl.Series) -> pl.Series:
    """Keys that are all whole numbers, some of them written as ``12.0`` or ``12.``, become ``12``; others stay."""
    if keys.str.contains(".", literal=True).any() and keys.str.contains(r"^[+-]?\d+(\.0*)?$").all():
        return keys.str.replace(r"\.0*$", "")
    return keys


def select(frame: pl.DataFrame, *columns: pl.Expr) -> pl.DataFrame:
    """As ``frame.select``, a slice at a time: cleaning text takes several times the text's memory."""
    slices = range(0, max(1, len(frame)), SLICE)
    return pl.concat(frame.slice(start, SLICE).select(*columns) for start in slices)


def clean(text: pl.Expr) -> pl.Expr:
    """Text without HTML entities, tags and runs of white space; null where nothing, ``nan`` or ``None`` is left."""
    marked = pl.when(text.str.contains("&", literal=True)).then(text)
    text = pl.coalesce(marked.map_elements(html.unescape, return_dtype=pl.String), text)
    text = text.str.replace_all(_TAG, " ").str.replace_all(_SPACE, " ").str.strip_chars()
    return pl.when(~text.is_in(_NOTHING)).then(text)


def strings(text: pl.Expr) -> pl.Expr:
    """Lists of clean text from lists written as JSON; of a list of lists the first; empty for null."""
    lists = text.map_elements(_strings, return_dtype=pl.List(pl.String)).fill_null([])
    return lists.list.eval(clean(pl.element()).drop_nulls())


def joined(lists: list[pl.Expr], separator: str) -> pl.Expr:
    """The texts of several columns of lists, one after another; null if there is none."""
    text = pl.concat_list(lists).list.join(separator)
    return pl.when(text != "").then(text)


def filled(lists: pl.Expr) -> pl.Expr:
    """Lists, null where they are empty."""
    return pl.when(lists.list.len() > 0).then(lists)


def price(text: pl.Expr) -> pl.Expr:
    """``1299.5`` of ``1299.5`` and ``$1,299.50``; null of anything else, a range and a decimal comma among it."""
    return text.str.extract(_PRICE).str.replace_all(",", "", literal=True).cast(pl.Float64)


def _strings(text: str) -> list[str]:
    """The texts of a JSON list; what is no list is the only text."""
    try:
        values = json.loads(text) if text.startswith("[") else [text]
    except ValueError:
        values = [text]
    if values and isinstance(values[0], list):
        values = values[0]
    return [str(value) for value in values if value is not None]
