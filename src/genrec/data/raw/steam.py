"""Steam reviews and games, as the authors of SASRec collected them (W.-C. Kang and J. McAuley, ICDM 2018)."""

from __future__ import annotations

from pathlib import Path

import polars as pl

from genrec.data.catalog import BRAND, CATEGORIES, DESCRIPTION, KEY, TITLE
from genrec.data.interactions import ITEM, ROW, TIME, USER
from genrec.data.raw import text
from genrec.data.raw.lines import EVERY, BadLines, read_literal_lines

_TEXTS = ("title", "app_name", "developer", "publisher", "price", "release_date", "sentiment")
_LISTS = ("genres", "tags", "specs")
_LINKS = ("url", "reviews_url")


def reviews(path: Path) -> tuple[pl.DataFrame, BadLines]:
    """Read who reviewed what on which day.

    Args:
        path: ``steam_reviews.json.gz``, gzipped or not.

    Returns:
        ``user`` and ``item`` (text), ``time`` (float64, the day's start in seconds since 1970, UTC), ``row`` (the line
        from 0), in the file's order with repetitions; and the lines without user, game or date.

    Raises:
        GenrecError: if the file is missing, cut short or empty, or more than 1 % of the lines are bad.
    """
    day = pl.col("date").str.to_date("%Y-%m-%d", strict=False)
    valid = text.present("username", "product_id") & day.is_not_null()
    schema = {"username": pl.String(), "product_id": pl.String(), "date": pl.String()}
    frame, bad = read_literal_lines(path, schema, valid)
    time = day.cast(pl.Datetime("us")).dt.epoch("s").cast(pl.Float64)
    return frame.select(pl.col("username").alias(USER), pl.col("product_id").alias(ITEM), time.alias(TIME), ROW), bad


def games(path: Path, keep: pl.Series | None = None) -> tuple[pl.DataFrame, BadLines]:
    """Read what is known about the games; of several lines about one game the first counts.

    A game without ``id`` has the number in its links. There is no description: specs, price, release date and
    sentiment stand in for it.

    Args:
        path: ``steam_games.json.gz``, gzipped or not.
        keep: the keys of the games to read, all if None.

    Returns:
        ``item``, ``title``, ``brand`` (developer, else publisher) and ``description`` (text, null if there is none),
        ``categories`` (list of text: genres, then tags, each once) and ``price`` (float64, US dollars), in the file's
        order; and the lines without a key.

    Raises:
        GenrecError: if the file is missing, cut short or empty, or more than 1 % of the lines are bad.
    """
    schema: dict[str, pl.DataType] = dict.fromkeys(("id", *_TEXTS, *_LISTS, *_LINKS), pl.String())
    key = pl.coalesce(text.clean(pl.col("id")), *(pl.col(link).str.extract(r"/app/(\d+)") for link in _LINKS))
    wanted = EVERY if keep is None else key.is_in(keep.implode())
    frame, bad = read_literal_lines(path, schema, key.is_not_null(), wanted)
    title, name, developer, publisher, price, date, sentiment = (text.clean(pl.col(column)) for column in _TEXTS)
    genres, tags, specs = (text.strings(pl.col(column)) for column in _LISTS)
    parts = [text.joined([specs], ", "), price, date, sentiment]
    description = pl.concat_str(parts, separator=". ", ignore_nulls=True)
    items = (
        frame.with_columns(key.alias(KEY))
        .unique(KEY, keep="first", maintain_order=True)
        .select(
            KEY,
            pl.coalesce(title, name).alias(TITLE),
            pl.coalesce(developer, publisher).alias(BRAND),
            pl.when(description != "").then(description).alias(DESCRIPTION),
            text.filled(pl.concat_list(genres, tags).list.unique(maintain_order=True)).alias(CATEGORIES),
            text.price(pl.col("price")).alias("price"),
        )
    )
    return items, bad
