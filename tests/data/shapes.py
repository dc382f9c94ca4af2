"""Shapes that people's files have: what is in them, how they are asked for, and what comes of it.

``python -m tests.data.shapes`` writes the tables of ``docs/files.md`` to the terminal; those of public data sets are
in `tests.data.public_shapes`.
"""

from __future__ import annotations

import bz2
import gzip
import io
import json
import zipfile
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import polars as pl

USERS, ITEMS = ("u1", "u2", "u3"), tuple(f"i{n}" for n in range(1, 7))
DAY = 86_400
ROWS = [(user, item, 1_400_000_000 + DAY * n) for user in USERS for n, item in enumerate(ITEMS)]
"""Three users go through six items, one a day."""
NAMES = ("user", "item", "timestamp")
ALL = (3, 6, 18)


@dataclass(frozen=True)
class Shape:
    """A file or several, and what they are read as.

    Args:
        name: what is special about it.
        files: by name.
        options: of `Table`, beside the files.
        counts: users, items and interactions.
        said: findings of the data card.
        refused: what the error says, in place of counts.
        titles: titles of some items, by key.
        categories: categories of some items, by key.
        prices: prices of some items, by key.
        texts: all that is said of some items, by key.
        keys: some keys of the catalogue.
    """

    name: str
    files: dict[str, bytes]
    options: dict[str, Any] = field(default_factory=dict)
    counts: tuple[int, int, int] = ALL
    said: dict[str, int | str] = field(default_factory=dict)
    refused: str | None = None
    titles: dict[str, str] = field(default_factory=dict)
    categories: dict[str, list[str]] = field(default_factory=dict)
    prices: dict[str, float | None] = field(default_factory=dict)
    texts: dict[str, str] = field(default_factory=dict)
    keys: tuple[str, ...] = ()


def text(rows: list[tuple[Any, ...]] = ROWS, separator: str = ",", names: tuple[str, ...] = NAMES) -> bytes:
    return "".join(separator.join(map(str, row)) + "\n" for row in [names, *rows]).encode()


def times(write: Callable[[int], Any]) -> bytes:
    """The log with its times written in another way; the argument counts days."""
    return text([(user, item, write((time - ROWS[0][2]) // DAY)) for user, item, time in ROWS])


def parquet(frame: pl.DataFrame) -> bytes:
    file = io.BytesIO()
    frame.write_parquet(file)
    return file.getvalue()


def zipped(**members: bytes) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return file.getvalue()


def lines(records: list[dict[str, Any]]) -> bytes:
    return "".join(json.dumps(record) + "\n" for record in records).encode()


FRAME = pl.DataFrame(ROWS, NAMES, orient="row")
RECORDS = [dict(zip(NAMES, row, strict=True)) for row in ROWS]
CSV = text()
WHOLE = pl.DataFrame({"user": [1, 2, 3] * 6, "item": sorted([*range(1, 7)] * 3), "timestamp": [*range(18)]})


def log(name: str, content: bytes, file: str = "log.csv", **more: Any) -> Shape:
    return Shape(name, {file: content}, **more)


def shelf(name: str, content: bytes, file: str = "items.csv", **more: Any) -> Shape:
    options = {"items": file, **more.pop("options", {})}
    return Shape(name, {"log.csv": CSV, file: content}, options, **more)


def catalogue(column: str, cell: str, rest: str = "x") -> bytes:
    """An item table with one column beside the key; the first item has the cell."""
    return text([(item, cell if item == "i1" else rest) for item in ITEMS], ";", ("item", column))


SEPARATOR = "separator of {}"
TWELVE = "keys in `item` such as 12.0 read as 12"

SHAPES = [
    # -- what stands between the fields, and around the text
    log("commas (`.csv`)", CSV),
    log("tabs in a `.csv`", text(separator="\t"), said={"separator of log.csv": "tab"}),
    log("tabs (`.tsv`)", text(separator="\t"), "log.tsv", said={"separator of log.tsv": "tab"}),
    log("semicolons", text(separator=";"), said={"separator of log.csv": "semicolon"}),
    log("vertical bars (`.txt`)", text(separator="|"), "log.txt", said={"separator of log.txt": "vertical bar"}),
    log("blanks (`.txt`)", text(separator=" "), "log.txt", said={"separator of log.txt": "blank"}),
    log('`separator: "^"`', text(separator="^"), options={"separator": "^"}),
    log(
        "RecBole's `.inter` with typed names",
        text(separator="\t", names=("user_id:token", "item_id:token", "timestamp:float")),
        "log.inter",
        options={"user": "user_id", "item": "item_id"},
        said={"separator of log.inter": "tab"},
    ),
    log("no line with names", text(ROWS[1:], names=ROWS[0]), refused="log.csv` has no column `user`; its columns are"),
    log("names in capitals", text(names=("User", "item", "timestamp")), refused=r"did you mean `User`\?"),
    log("a column twice", text([(*row, 1) for row in ROWS], names=(*NAMES, "item")), refused="two columns `item`"),
    log("quoted fields", CSV.replace(b"u1", b'"u,1"')),
    log("a line with too many fields", CSV + b"u1,i1,1,2\n", refused="log.csv, line 20: 4 fields for 3 columns"),
    log("a line cut short", CSV + b"u1,i1\n", refused="log.csv, row 19: no value in column `timestamp`"),
    log("blank lines at the end", CSV + b"\n\n", said={"blank lines of log.csv left out": 2}),
    log("blank lines at the beginning", b"\n\n" + CSV),
    log("line ends of Windows", CSV.replace(b"\n", b"\r\n")),
    log("line ends of old Macs", CSV.replace(b"\n", b"\r")),
    log("an empty file", b"", refused="log.csv` is empty"),
    log("UTF-8 with a mark", b"\xef\xbb\xbf" + CSV),
    log("UTF-16", CSV.decode().encode("utf-16")),
    log("UTF-16 without a mark", CSV.decode().encode("utf-16-le"), refused="no text, or in UTF-16: set `encoding`"),
    log("latin-1", CSV.replace(b"u1", b"Zo\xeb"), refused="line 2: no UTF-8 text .*: give its `encoding`"),
    log("`encoding: latin-1`", CSV.replace(b"u1", b"Zo\xeb"), options={"encoding": "latin-1"}),
    # -- packed, in parts, of another kind
    log("gzip", gzip.compress(CSV), "log.csv.gz"),
    log("bzip2", bz2.compress(CSV), "log.csv.bz2"),
    log("an archive of one file", zipped(log=CSV), "log.csv.zip"),
    log("an archive of two files", zipped(log=CSV, more=CSV), "log.csv.zip", refused="holds 2 files: unpack it"),
    log("gzip cut short", gzip.compress(CSV)[:-9], "log.csv.gz", refused="cannot read `.*log.csv.gz`"),
    log("JSON lines", lines(RECORDS), "log.jsonl"),
    log("a JSON list", json.dumps(RECORDS).encode(), "log.json"),
    log(
        "JSON by columns, as pandas writes it", json.dumps({n: FRAME[n].to_list() for n in NAMES}).encode(), "log.json"
    ),
    log("JSON lines in a `.json`", lines(RECORDS), "log.json"),
    log(
        "a JSON line that is cut off",
        lines(RECORDS) + b'{"user":',
        "log.jsonl",
        refused="log.jsonl, line 19: not valid",
    ),
    log("parquet", parquet(FRAME), "log.parquet"),
    Shape(
        "a folder of parquet parts",
        {"parts/1.parquet": parquet(FRAME[:9]), "parts/2.parquet": parquet(FRAME[9:]), "parts/_SUCCESS": b""},
        {"interactions": "parts"},
        said={"parts of the table": "1.parquet, 2.parquet"},
    ),
    Shape(
        "a pattern of csv parts",
        {"a1.csv": text(ROWS[:9]), "a2.csv": text(ROWS[9:]), "b.csv": b"x"},
        {"interactions": "a*.csv"},
        said={"parts of the table": "a1.csv, a2.csv"},
    ),
    log("a spreadsheet", b"PK", "log.xlsx", refused="none of the tables that can be read"),
    # -- keys
    log(
        "keys with zeros in front",
        CSV.replace(b"i", b"00").replace(b"00tem", b"item").replace(b"t00mestamp", b"timestamp"),
    ),
    log(
        "blanks around keys",
        CSV.replace(b",i1,", b", i1 ,"),
        said={"keys in `item` with blanks around them, which were cut off": 3},
    ),
    log("a key of blanks", CSV.replace(b"u1,i3,", b"u1,  ,"), refused="row 3: no value in column `item`"),
    log('a key `""`', CSV.replace(b"u1,i3,", b'u1,"",'), refused="row 3: no value in column `item`"),
    log("`nan` as a key", CSV.replace(b"u1,i3", b"nan,i3"), refused="row 3: `nan` in column `user` is a missing value"),
    log(
        "a float column of keys (parquet)",
        parquet(WHOLE.cast({"item": pl.Float64})),
        "log.parquet",
        said={TWELVE: 18},
    ),
    log(
        "keys with a fraction",
        parquet(FRAME.with_columns(item=pl.lit(1.5))),
        "log.parquet",
        refused="`1.5` in column `item`",
    ),
    log(
        "keys such as `12.0` as text",
        CSV.replace(b",i", b",").replace(b",tem", b",item").replace(b",1400", b".0,1400"),
        said={TWELVE: 18},
    ),
    log(
        "an object as a key",
        lines([{**RECORDS[0], "item": {"id": "i3"}}]),
        "log.jsonl",
        refused=r'row 1: `item` is {"id": "i3"}, not text',
    ),
    log(
        "a list as a key",
        lines([{**RECORDS[0], "item": ["B"]}]),
        "log.jsonl",
        refused=r'row 1: `item` is \["B"\], not text',
    ),
    # -- times
    log("ISO dates", times(lambda day: f"2014-05-{day + 10}")),
    log("ISO times with zones", times(lambda day: f"2014-05-{day + 10}T10:00:00+02:00")),
    log(
        "`05/03/2014`", times(lambda day: f"0{day + 1}/03/2014"), refused="row 1: `01/03/2014` in column .* time_format"
    ),
    log('`time_format: "%d/%m/%Y"`', times(lambda day: f"0{day + 1}/03/2014"), options={"time_format": "%d/%m/%Y"}),
    log(
        "`20140513`",
        times(lambda day: 20_140_513 + day),
        refused="`20140513` in column `timestamp` may be a date or a number",
    ),
    log('`time_format: "%Y%m%d"`', times(lambda day: 20_140_513 + day), options={"time_format": "%Y%m%d"}),
    log(
        "milliseconds",
        times(lambda day: (1_400_000_000 + day) * 1000),
        said={"times in `timestamp`": "milliseconds, read as seconds"},
    ),
    log(
        "seconds and milliseconds mixed",
        times(lambda day: (1_400_000_000 + day) * (1000 if day == 3 else 1)),
        refused="row 1: `1400000000` in column `timestamp` is a time in seconds, but `1400000003000` .*row 4",
    ),
    log(
        "a time `inf`",
        CSV.replace(b"u1,i3,1400172800", b"u1,i3,inf"),
        refused="row 3: `inf` in column `timestamp` is no number",
    ),
    log(
        "a time that is missing",
        CSV.replace(b"u1,i3,1400172800", b"u1,i3,"),
        refused="row 3: no value in column `timestamp`",
    ),
    # -- ratings, repetitions, splits
    log(
        "`min_rating: 4`",
        text([(*row, 5 if row[1] != "i6" else 1) for row in ROWS], names=(*NAMES, "rating")),
        options={"min_rating": 4},
        counts=(3, 5, 15),
        said={"interactions rated below 4, left out": 3},
    ),
    log("repeated pairs", text([*ROWS, ("u1", "i1", 1_500_000_000)])),
    log("`repeats: all`", text([*ROWS, ("u1", "i1", 1_500_000_000)]), options={"repeats": "all"}, counts=(3, 6, 19)),
    log(
        "a column `split`",
        text(
            [(*row, "train" if row[1] < "i5" else "valid" if row[1] < "i6" else "test") for row in ROWS],
            names=(*NAMES, "split"),
        ),
        options={"split": "given"},
    ),
    Shape(
        "three tables",
        {"train.csv": text(ROWS[:4] + ROWS[6:10]), "valid.csv": text(ROWS[4:5]), "test.csv": text(ROWS[5:6])},
        {"interactions": {"train": "train.csv", "valid": "valid.csv", "test": "test.csv"}, "split": None},
        counts=(2, 6, 10),
    ),
    log("no times (`timestamp: null`)", text([row[:2] for row in ROWS], names=NAMES[:2]), options={"timestamp": None}),
    # -- items
    shelf(
        "genres with bars (MovieLens)",
        catalogue("genres", "Comedy|War"),
        said={"column `genres`": "read as categories", "separator of items.csv": "semicolon"},
        categories={"i1": ["Comedy", "War"]},
    ),
    shelf(
        "categories `\"['A', 'B']\"`",
        catalogue("categories", "['A', 'B']"),
        said={"`categories` written as lists, read as such": 1},
        categories={"i1": ["A", "B"], "i2": ["x"]},
    ),
    shelf(
        "nested categories",
        lines([{"item": item, "categories": [["A", "B"], ["C"]]} for item in ITEMS]),
        "items.jsonl",
        said={"`categories` with several paths, of which the first is read": 6},
        categories={"i1": ["A", "B"]},
    ),
    shelf(
        "`Title`, `store`, `imdb`",
        text([(i, f"T {i}", "S", 7) for i in ITEMS], names=("item", "Title", "store", "imdb")),
        said={
            "column `Title`": "read as title",
            "column `store`": "read as brand",
            "columns of the item table that are not read": "imdb",
        },
        titles={"i1": "T i1"},
    ),
    shelf(
        "a title `nan`",
        catalogue("title", "nan"),
        said={"`title` such as nan or None, read as missing": 1},
        titles={"i1": "", "i2": "x"},
    ),
    shelf(
        "prices `$12.99` and `—`",
        catalogue("price", "$12.99", "—"),
        said={"`price` that are no price, such as —, read as missing": 5},
        prices={"i1": 12.99, "i2": None},
    ),
    shelf(
        "an item twice",
        text([*((i, i) for i in ITEMS), ("i1", "again")], names=("item", "title")),
        said={"rows of items that were there before, not read": 1},
        titles={"i1": "i1"},
    ),
    shelf(
        "items that the table lacks",
        text([("i1", "T")], names=("item", "title")),
        said={"items that the item table lacks, kept without text": 5},
        titles={"i1": "T", "i2": ""},
    ),
    shelf(
        "`unlisted: drop`",
        text([(i, i) for i in ITEMS[:5]], names=("item", "title")),
        options={"unlisted": "drop"},
        counts=(3, 5, 15),
        said={"items that the item table lacks, left out": 1},
    ),
    shelf(
        "items under other keys",
        text([("9", "T")], names=("item", "title")),
        refused="none of the items that were taken is in",
    ),
    shelf(
        "RecBole's `.item` with sequences",
        text(
            [(i, f"T {i}", "'A', 'B'" if i == "i1" else "'A'") for i in ITEMS],
            "\t",
            ("item:token", "title:token_seq", "categories:token_seq"),
        ),
        "toys.item",
        said={"`categories` written as lists, read as such": 6},
        titles={"i2": "T i2"},
        categories={"i1": ["A", "B"], "i2": ["A"]},
    ),
    shelf(
        "descriptions as lists, `features`",
        lines([{"item": i, "title": i, "description": ["D."], "features": ["F.", "G."]} for i in ITEMS]),
        "items.jsonl",
        said={"column `features`": "read as description"},
        texts={"i1": "i1. D. F. G."},
    ),
    shelf(
        "LETTER's `item.json`",
        json.dumps({i: {"title": f"T {i}", "description": ["a", "b"]} for i in ITEMS}).encode(),
        "items.json",
        titles={"i3": "T i3"},
    ),
]
"""All of them."""


def outcome(shape: Shape) -> str:
    """What comes of a shape, in a cell of a table."""
    if shape.refused:
        words = shape.refused.replace("\\", "").replace(" .*", " ...").replace(".*", " ... ").replace("`", "")
        return f"refused: {words}"
    users, items, interactions = shape.counts
    said = "; ".join(f"{what}: {count}" for what, count in shape.said.items())
    counts = f"{users} users, {items} items, {interactions} interactions"
    return counts + (f"; said: {said}" if said else "")


def page(shapes: list[Shape]) -> str:
    """A table of the documentation."""
    cells = [(shape.name, outcome(shape)) for shape in shapes]
    rows = [f"| {name} | {result} |".replace("`|`", "a bar") for name, result in cells]
    return "\n".join(["| file | comes to |", "| --- | --- |", *rows]) + "\n"


if __name__ == "__main__":
    from .public_shapes import PUBLIC

    print(page(SHAPES), page(PUBLIC), sep="\n", end="")
