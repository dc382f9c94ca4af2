"""Amazon reviews of 2014, 2018 and 2023 (J. McAuley's group), and what they tell about the products."""

from __future__ import annotations

from pathlib import Path
from typing import Literal, NamedTuple

import polars as pl

from genrec.data.catalog import BRAND, CATEGORIES, DESCRIPTION, KEY, PRICE, TITLE
from genrec.data.interactions import ITEM, ROW, TIME, USER
from genrec.data.raw import text
from genrec.data.raw.lines import EVERY, BadLines, read_json_lines, read_literal_lines
from genrec.data.raw.present import first_line, first_record
from genrec.data.raw.separated import read_separated_lines
from genrec.errors import GenrecError

Version = Literal[2014, 2018, 2023]


class _Fields(NamedTuple):
    """What a version calls its fields, and how many units of its time are a second."""

    user: str
    item: str
    time: str
    second: int
    rating: str
    brand: str
    description: tuple[str, ...]
    categories: str


_FIELDS = {
    2014: _Fields("reviewerID", "asin", "unixReviewTime", 1, "overall", "brand", ("description",), "categories"),
    2018: _Fields(
        "reviewerID", "asin", "unixReviewTime", 1, "overall", "brand", ("description", "feature"), "category"
    ),
    2023: _Fields(
        "user_id", "parent_asin", "timestamp", 1000, "rating", "store", ("description", "features"), "categories"
    ),
}


def reviews(path: Path, version: Version, least: float | None = None) -> tuple[pl.DataFrame, BadLines]:
    """Read who reviewed what when.

    Args:
        path: ``reviews_<Category>_5.json.gz`` (2014), ``<Category>_5.json.gz`` (2018), ``<Category>.jsonl.gz`` (2023),
            or, by its ending, a csv of ratings alone, with a header in 2023 and without one before; gzipped or not.
        version: the year of the release.
        least: the lowest rating that is wanted; None: whatever the rating.

    Returns:
        ``user`` and ``item`` (text), ``time`` (float64, seconds since 1970), ``row`` (the line from 0), in the file's
        order with repetitions; and the lines without user, item or time.

    Raises:
        GenrecError: if the file is missing, cut short or empty, a csv file is of another year, or more than 1 % of the
            lines are bad.
    """
    fields = _FIELDS[version]
    schema: dict[str, pl.DataType] = {fields.user: pl.String(), fields.item: pl.String(), fields.time: pl.Float64()}
    keep = EVERY
    valid = text.present(fields.user, fields.item) & pl.col(fields.time).is_finite()
    if least is not None:
        schema[fields.rating] = pl.Float64()
        valid &= pl.col(fields.rating).is_finite()
        keep = pl.col(fields.rating) >= least
    if path.name.removesuffix(".gz").endswith(".csv"):
        if (version == 2023) != first_line(path).startswith("user_id,"):
            raise GenrecError(
                f"`{path}` is no csv of {version}: those of 2023 begin with the names of their columns, user_id first, "
                "those before with a rating"
            )
        if version != 2023:
            order = (fields.user, fields.item) if version == 2014 else (fields.item, fields.user)
            schema = {**dict.fromkeys(order, pl.String()), fields.rating: pl.Float64(), fields.time: pl.Float64()}
        frame, bad = read_separated_lines(path, schema, ",", header=version == 2023, valid=valid, keep=keep)
    else:
        frame, bad = read_json_lines(path, schema, valid, keep)
    time = pl.col(fields.time) / fields.second
    return frame.select(pl.col(fields.user).alias(USER), pl.col(fields.item).alias(ITEM), time.alias(TIME), ROW), bad


def are_reviews(path: Path, version: Version) -> bool:
    """Whether a file looks like reviews of this year, or ratings."""
    fields = _FIELDS[version]
    if path.name.removesuffix(".gz").endswith(".csv"):
        cells = first_line(path).split(",")
        return cells[:2] == [fields.user, fields.item] if version == 2023 else len(cells) == 4 and cells[3].isdigit()
    return first_record(path).keys() >= {fields.user, fields.item, fields.time}


def are_products(path: Path, version: Version) -> bool:
    """Whether a file looks like the products' metadata of this year."""
    fields, record = _FIELDS[version], first_record(path)
    return fields.item in record and fields.user not in record


def metadata(path: Path, version: Version, keep: pl.Series | None = None) -> tuple[pl.DataFrame, BadLines]:
    """Read what is known about the products; of several lines about one product the first counts.

    Args:
        path: ``meta_<Category>.json.gz`` or, of 2023, ``meta_<Category>.jsonl.gz``; gzipped or not.
        version: the year of the release.
        keep: the keys of the products to read, all if None.

    Returns:
        ``item``, ``title``, ``brand`` and ``description`` (text without HTML, null if there is none), ``categories``
        (one list of text, from the widest to the narrowest) and ``price`` (float64, US dollars), in the file's order;
        and the lines without a key.

    Raises:
        GenrecError: if the file is missing, cut short or empty, or more than 1 % of the lines are bad.
    """
    fields = _FIELDS[version]
    columns = [fields.item, "title", fields.brand, *fields.description, fields.categories, PRICE]
    # Everything as text: a list becomes JSON, and a text where others have a list is not lost.
    schema: dict[str, pl.DataType] = dict.fromkeys(columns, pl.String())
    wanted = EVERY if keep is None else pl.col(fields.item).is_in(keep.implode())
    read = read_literal_lines if version == 2014 else read_json_lines
    frame, bad = read(path, schema, text.present(fields.item), wanted)
    # Some titles of 2018 are the page's JavaScript.
    title = pl.when(~pl.col("title").str.contains("getTime", literal=True)).then(pl.col("title"))
    brand = text.clean(pl.col(fields.brand))
    items = text.select(
        frame.unique(fields.item, keep="first", maintain_order=True),
        pl.col(fields.item).alias(KEY),
        text.clean(title).alias(TITLE),
        pl.when(brand.str.to_lowercase() != "unknown").then(brand).alias(BRAND),
        text.joined([text.strings(pl.col(name)) for name in fields.description], " ").alias(DESCRIPTION),
        text.filled(text.strings(pl.col(fields.categories))).alias(CATEGORIES),
        text.price(pl.col(PRICE)).alias(PRICE),
    )
    return items, bad
