"""MovieLens ratings and movies (GroupLens), in the formats of 100K, 1M and all later sets."""

from __future__ import annotations

from pathlib import Path

import polars as pl

from genrec.data.catalog import CATEGORIES, KEY, TITLE
from genrec.data.interactions import ITEM, ROW, TIME, USER
from genrec.data.raw import text
from genrec.data.raw.lines import EVERY, BadLines, is_utf8
from genrec.data.raw.separated import read_separated_lines

GENRES = (
    "unknown",
    "Action",
    "Adventure",
    "Animation",
    "Children's",
    "Comedy",
    "Crime",
    "Documentary",
    "Drama",
    "Fantasy",
    "Film-Noir",
    "Horror",
    "Musical",
    "Mystery",
    "Romance",
    "Sci-Fi",
    "Thriller",
    "War",
    "Western",
)
"""The flags of a movie of 100K, in the order of its ``u.genre``."""

FIRST_LINES = {
    ("csv", 0): "userId,movieId,rating,timestamp",
    ("csv", 1): "movieId,title,genres",
    ("dat", 0): r"\d+::\d+::[\d.]+::\d+$",
    ("dat", 1): r"\d+::.*::.*[^\d.]$",
    ("data", 0): r"\d+\t\d+\t\d+\t\d+$",
    ("item", 1): r"\d+\|",
}
"""What ratings (0) and movies (1) begin with, by the ending of their file."""

NO_GENRES = "(no genres listed)"


def ratings(path: Path, least: float | None = None) -> tuple[pl.DataFrame, BadLines]:
    """Read who rated what when.

    Args:
        path: ``ratings.csv``, ``ratings.dat`` (1M, 10M) or, with any other ending, ``u.data`` (100K); gzipped or not.
        least: the lowest rating that is wanted; None: whatever the rating.

    Returns:
        ``user`` and ``item`` (text), ``time`` (float64, seconds since 1970), ``row`` (the line from 0), in the file's
        order; and the lines without user, movie or time.

    Raises:
        GenrecError: if the file is missing, cut short or empty, or more than 1 % of the lines are bad.
    """
    schema = {"userId": pl.String(), "movieId": pl.String(), "rating": pl.Float64(), "timestamp": pl.Float64()}
    valid = text.present("userId", "movieId") & pl.col("timestamp").is_finite()
    ending = _ending(path)
    separator = {".csv": ",", ".dat": "::"}.get(ending, "\t")
    keep = EVERY
    if least is not None:
        valid &= pl.col("rating").is_finite()
        keep = pl.col("rating") >= least
    frame, bad = read_separated_lines(path, schema, separator, header=ending == ".csv", valid=valid, keep=keep)
    frame = frame.with_columns(text.whole(frame[name].str.strip_chars()) for name in ("userId", "movieId"))
    names = {"userId": USER, "movieId": ITEM, "timestamp": TIME}
    return frame.rename(names).select(USER, ITEM, TIME, ROW), bad


def movies(path: Path) -> tuple[pl.DataFrame, BadLines]:
    """Read titles and genres; of several lines about one movie the first counts.

    Args:
        path: ``movies.csv``, ``movies.dat`` (1M, 10M) or, with any other ending, ``u.item`` (100K); gzipped or not.

    Returns:
        ``item``, ``title`` (text, with the year) and ``categories`` (list of text, the genres in the file's order, null
        if there are none), in the file's order; and the lines without a key.

    Raises:
        GenrecError: if the file is missing, cut short or empty, or more than 1 % of the lines are bad.
    """
    ending = _ending(path)
    columns = ["movieId", "title", "genres"]
    genres = pl.col("genres").str.split("|")
    if ending not in (".csv", ".dat"):
        columns = ["movieId", "title", "date", "video", "url", *GENRES]
        genres = pl.concat_list(pl.when(pl.col(genre) == "1").then(pl.lit(genre)) for genre in GENRES).list.drop_nulls()
    schema: dict[str, pl.DataType] = dict.fromkeys(columns, pl.String())
    frame, bad = read_separated_lines(
        path,
        schema,
        separator={".csv": ",", ".dat": "::"}.get(ending, "|"),
        header=ending == ".csv",
        encoding="utf-8" if ending == ".csv" or is_utf8(path) else "latin-1",  # 100K and 1M are latin-1, 10M is not
        valid=text.present("movieId"),
    )
    frame = frame.with_columns(text.whole(frame["movieId"].str.strip_chars()))
    title = pl.col("title").str.strip_chars()
    genres = genres.list.eval(pl.element().filter(~pl.element().is_in(["", NO_GENRES])))
    items = frame.unique("movieId", keep="first", maintain_order=True).select(
        pl.col("movieId").alias(KEY),
        pl.when(title != "").then(title).alias(TITLE),
        text.filled(genres).alias(CATEGORIES),
    )
    return items, bad


def _ending(path: Path) -> str:
    return Path(path.name.removesuffix(".gz")).suffix
