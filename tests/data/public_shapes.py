"""Shapes of public data sets, as their owners and the tools around them write them, and more of what files can be."""

from __future__ import annotations

import gzip
import io
import json
from collections.abc import Callable
from datetime import date
from decimal import Decimal
from typing import Any

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from .shapes import (
    CSV,
    FRAME,
    ITEMS,
    NAMES,
    RECORDS,
    ROWS,
    TWELVE,
    Shape,
    catalogue,
    lines,
    log,
    parquet,
    shelf,
    text,
    times,
    zipped,
)

UNREAD = "columns of the interactions that are not read"
HEADLESS = "its first line must name them"
MOMENT = "%a %b %d %H:%M:%S %z %Y"
DAYS = ("Tue Apr 03", "Wed Apr 04", "Thu Apr 05", "Fri Apr 06", "Sat Apr 07", "Sun Apr 08")


def rows(write: Callable[[int, int], str], header: str = "") -> bytes:
    """A line for every user and item, each counted from 1; the users take the items in their order."""
    body = [write(user, item) for user in range(1, 4) for item in range(1, 7)]
    return "".join(f"{line}\n" for line in ([header] if header else []) + body).encode()


def records(write: Callable[[int, int], dict[str, Any]]) -> bytes:
    return rows(lambda user, item: json.dumps(write(user, item)))


def each(write: Callable[[int], Any], header: str = "") -> bytes:
    """A line for every item."""
    found = [write(item) for item in range(1, 7)]
    return "".join(f"{line}\n" for line in ([header] if header else []) + found).encode()


def public(name: str, file: str, content: bytes, user: str = "user", item: str = "item", **more: Any) -> Shape:
    """A log under its own name, and a second file if it is an item table."""
    files = {file: content, **more.pop("items", {})}
    options = {"user": user, "item": item, **more.pop("options", {})}
    if len(files) > 1:
        options["items"] = list(files)[1]
    return Shape(name, files, options, **more)


def arrow(**columns: Any) -> bytes:
    """The log as pyarrow writes it, with some columns of other kinds."""
    log = {name: pa.array(FRAME[name].to_list()) for name in NAMES}
    file = io.BytesIO()
    pq.write_table(pa.table({**log, **columns}), file)
    return file.getvalue()


NUMBERS = [int(item[1:]) for _, item, _ in ROWS]

PUBLIC = [
    public(
        "Yelp (`review.json`, `business.json`)",
        "review.json",
        records(
            lambda u, i: {"user_id": f"u{u}", "business_id": f"i{i}", "text": "a\nb", "date": f"2018-07-0{i} 22:09:11"}
        ),
        "user_id",
        "business_id",
        items={
            "business.json": each(
                lambda i: json.dumps({"business_id": f"i{i}", "name": "Apn", "categories": "Food, Bars"})
            )
        },
        options={"timestamp": "date"},
        said={
            UNREAD: "text",
            "`categories` with a comma, semicolon or > inside, each read as one: lists have | between": 6,
        },
        titles={"i1": "Apn"},
    ),
    public(
        "Goodreads (`.json.gz`, a count for every genre)",
        "goodreads.json.gz",
        gzip.compress(
            records(
                lambda u, i: {"user_id": f"u{u}", "book_id": f"{i}", "date_added": f"{DAYS[i - 1]} 07:44:10 -0700 2012"}
            )
        ),
        "user_id",
        "book_id",
        items={
            "books.json.gz": gzip.compress(
                each(lambda i: json.dumps({"book_id": f"{i}", "title": "T", "genres": {"fiction": 3, "war": i}}))
            )
        },
        options={"timestamp": "date_added", "time_format": MOMENT},
        said={"`genres` with objects, read by their names": 6},
        categories={"1": ["fiction", "war"]},
    ),
    public(
        "Last.fm 1K, which has no line with names",
        "lastfm1k.tsv",
        rows(lambda u, i: f"user_{u}\t2009-05-0{i}T23:08:57Z\tf1b1\tDeep Dish\t{i}\tTrack {i}"),
        refused=f"lastfm1k.tsv` has no column `user`.*{HEADLESS}",
    ),
    public(
        "Last.fm 1K with names",
        "lastfm1k.tsv",
        rows(lambda u, i: f"user_{u}\t2009-05-0{i}T23:08:57Z\tDeep Dish\t{i}", "user\ttimestamp\tartist\titem"),
        said={"separator of lastfm1k.tsv": "tab", UNREAD: "artist"},
    ),
    public(
        "Last.fm 1K where tracks have no id",
        "lastfm1k.tsv",
        rows(lambda u, i: f"user_{u}\t2009-05-0{i}T23:08:57Z\t{'' if i == 3 else i}", "user\ttimestamp\titem"),
        refused="lastfm1k.tsv, row 3: no value in column `item`",
    ),
    public(
        "Gowalla's check-ins",
        "gowalla.txt",
        rows(lambda u, i: f"{u}\t2010-10-1{i}T23:55:27Z\t30.23\t-97.79\t2284{i}", "user\ttime\tlat\tlon\titem"),
        options={"timestamp": "time"},
        said={"separator of gowalla.txt": "tab", UNREAD: "lat, lon"},
    ),
    public(
        "Foursquare's moments (`time_format`)",
        "foursquare.txt",
        rows(
            lambda u, i: f"{u}\t{i}x\tArts & Crafts\t{DAYS[i - 1]} 18:00:09 +0000 2012", "user\titem\tkind\ttimestamp"
        ),
        options={"time_format": MOMENT},
        said={"separator of foursquare.txt": "tab", UNREAD: "kind"},
    ),
    public(
        "RetailRocket's events",
        "events.csv",
        rows(
            lambda u, i: f"{1433221332117 + i},{u},{'view' if i % 2 else 'addtocart'},{i},",
            "timestamp,visitorid,event,itemid,order",
        ),
        "visitorid",
        "itemid",
        said={UNREAD: "event, order", "times in `timestamp`": "milliseconds, read as seconds"},
    ),
    public(
        "Yoochoose's clicks, which have no line with names",
        "yoochoose-clicks.dat",
        rows(lambda u, i: f"{u},2014-04-07T10:51:09.27{i}Z,21453685{i},0"),
        refused=f"yoochoose-clicks.dat` has no column `user`.*{HEADLESS}",
    ),
    public(
        "Yoochoose's clicks with names",
        "yoochoose-clicks.dat",
        rows(lambda u, i: f"{u},2014-04-07T10:51:09.27{i}Z,21453685{i}", "session,timestamp,item"),
        "session",
    ),
    public(
        "Diginetica's sessions",
        "views.csv",
        rows(lambda u, i: f"{u};NA;{i};{i * 1000}", "session_id;user_id;item_id;timeframe"),
        "session_id",
        "item_id",
        options={"timestamp": "timeframe"},
        said={"separator of views.csv": "semicolon", UNREAD: "user_id"},
    ),
    public(
        "Diginetica's users, most of them `NA`",
        "views.csv",
        rows(lambda u, i: f"{u};NA;{i};{i * 1000}", "session_id;user_id;item_id;timeframe"),
        "user_id",
        "item_id",
        options={"timestamp": "timeframe"},
        refused="views.csv, row 1: `NA` in column `user_id` is a missing value",
    ),
    public(
        "Book-Crossing (`encoding: latin-1`)",
        "BX-Ratings.csv",
        rows(lambda u, i: f'"{u}";"00{i}4X";"5"', '"User-ID";"ISBN";"Rating"'),
        "User-ID",
        "ISBN",
        items={
            "BX-Books.csv": each(lambda i: f'"00{i}4X";"Café \\"x\\" &amp; {i}";"A"', '"ISBN";"Title";"Author"')
            .decode()
            .encode("latin-1")
        },
        options={"timestamp": None, "encoding": "latin-1"},
        said={
            "quotes of BX-Books.csv behind a backslash": "read as quotes",
            "`Title` with codes such as &amp;, read as characters": 6,
            "columns of the item table that are not read": "Author",
        },
        titles={"0014X": 'Café "x" & 1'},
    ),
    public(
        "Netflix (`mv_0000001.txt`)",
        "mv_0000001.txt",
        b"1:\n1488844,3,2005-09-06\n",
        refused=f"mv_0000001.txt` has no column `user`.*{HEADLESS}",
    ),
    public(
        "MIND's behaviours",
        "behaviors.tsv",
        rows(lambda u, i: f"{u}\tU{u}\t11/11/2019 9:05:58 AM\tN1 N2\tN4-1 N5-0"),
        refused=f"behaviors.tsv` has no column `user`.*{HEADLESS}",
    ),
    shelf(
        "MIND's news: quotes inside of fields",
        each(lambda i: f'i{i}\troyals\tThe "Brands" of {i}\'s 5" pipe', "item\tcategory\ttitle"),
        "news.tsv",
        titles={"i1": 'The "Brands" of 1\'s 5" pipe'},
        categories={"i1": ["royals"]},
    ),
    public(
        "KuaiRec",
        "matrix.csv",
        rows(lambda u, i: f"{u},{i},2020-07-05 00:08:23,159387890{i}.438,1.2", "user_id,video_id,time,timestamp,ratio"),
        "user_id",
        "video_id",
        said={UNREAD: "time, ratio"},
    ),
    public(
        "MicroLens with titles",
        "pairs.csv",
        rows(lambda u, i: f"{u},{i},158314187{i}000", "user,item,timestamp"),
        items={"titles.csv": each(lambda i: f'{i},"视频 #tag, {i}"', "item,title")},
        said={"times in `timestamp`": "milliseconds, read as seconds"},
        titles={"2": "视频 #tag, 2"},
    ),
    public(
        "Tmall as RecBole has it: times such as `1.435E9`",
        "tmall.inter",
        rows(lambda u, i: f"{u}\t{i}\t1.43{i}E9", "user_id:token\titem_id:token\ttimestamp:float"),
        "user_id",
        "item_id",
        said={"separator of tmall.inter": "tab"},
    ),
    public(
        "H&M: articles with zeros in front",
        "transactions.csv",
        rows(lambda u, i: f"2018-09-2{i},{u}abc,066354100{i}", "t_dat,customer_id,article_id"),
        "customer_id",
        "article_id",
        items={"articles.csv": each(lambda i: f"066354100{i},Strap top {i}", "article_id,title")},
        options={"timestamp": "t_dat"},
        titles={"0663541003": "Strap top 3"},
    ),
    public(
        "H&M where one table has lost the zeros",
        "transactions.parquet",
        parquet(
            pl.DataFrame(
                [(f"{u}", 663541000 + i, date(2018, 9, i)) for u in range(3) for i in range(1, 7)], NAMES, orient="row"
            )
        ),
        items={"articles.csv": each(lambda i: f"066354100{i},Strap top {i}", "item,title")},
        refused="keys are there as `0663541001`, here as `66354100.`; they must be written alike",
    ),
    public(
        "Instacart: places in the basket as times",
        "orders.csv",
        rows(lambda u, i: f"{u},{i},{i},1", "order_id,product_id,add_to_cart_order,reordered"),
        "order_id",
        "product_id",
        options={"timestamp": "add_to_cart_order"},
        said={UNREAD: "reordered"},
    ),
    public(
        "Taobao's behaviour, which has no line with names",
        "UserBehavior.csv",
        rows(lambda u, i: f"{u},{i},{u},pv,151154407{i}"),
        refused=f"UserBehavior.csv` has no column `user`.*{HEADLESS}",
    ),
    public(
        "PixelRec",
        "pixel.csv",
        rows(lambda u, i: f"i{i},u{u},2022-05-0{i} 10:00:00", "item_id,user_id,timestamp"),
        "user_id",
        "item_id",
    ),
    public(
        "Anime: `-1` is no rating, genres have commas",
        "rating.csv",
        rows(lambda u, i: f"{u},{i},{-1 if i == 6 else 8}", "user_id,anime_id,rating"),
        "user_id",
        "anime_id",
        items={"anime.csv": each(lambda i: f'{i},"Kimi &#039;no","Drama, War"', "anime_id,name,genre")},
        options={"timestamp": None, "min_rating": 0},
        counts=(3, 5, 15),
        said={
            "interactions rated below 0, left out": 3,
            "`genre` with a comma, semicolon or > inside, each read as one: lists have | between": 6,
        },
        titles={"1": "Kimi 'no"},
        categories={"1": ["Drama, War"]},
    ),
    public(
        "Million Song triplets with names",
        "triplets.txt",
        rows(lambda u, i: f"b80344{u}\tSOAKIMP{i}\t{i}", "user\titem\tplays"),
        options={"timestamp": None},
        said={"separator of triplets.txt": "tab", UNREAD: "plays"},
    ),
    public(
        "OTTO's sessions: a list of events a line",
        "otto.jsonl",
        lines([{"session": 1, "events": [{"aid": 1, "ts": 1661724000278}]}]),
        "session",
        "events",
        options={"timestamp": None},
        refused=r"otto.jsonl, row 1: `events` is \[{\"aid\": 1",
    ),
    shelf(
        "TMDB's genres, objects written as text",
        catalogue("genres", "[{'id': 16, 'name': 'Animation'}, {'id': 35, 'name': 'War'}]"),
        said={"`genres` with objects, read by their names": 1},
        categories={"i1": ["Animation", "War"]},
    ),
    # -- parquet, as other tools write it
    log("dictionaries (parquet)", arrow(item=pa.array([r[1] for r in ROWS]).dictionary_encode()), "log.parquet"),
    log("decimals as keys", arrow(item=pa.array([Decimal(n) for n in NUMBERS])), "log.parquet"),
    log("keys of 64 bits", arrow(item=pa.array([2**64 - 9 + n for n in NUMBERS], pa.uint64())), "log.parquet"),
    log("bytes that are text", arrow(item=pa.array([r[1].encode() for r in ROWS])), "log.parquet"),
    log(
        "bytes that are no text",
        arrow(item=pa.array([b"\xff"] * 18)),
        "log.parquet",
        refused="log.parquet, row 1: .* kind Binary",
    ),
    log(
        "lists as keys (parquet)",
        arrow(item=pa.array([["a"]] * 18)),
        "log.parquet",
        refused=r"row 1: `\['a'\]` in column `item`",
    ),
    log(
        "nanoseconds with a zone (parquet)",
        arrow(timestamp=pa.array([r[2] * 10**9 for r in ROWS], pa.timestamp("ns", "Europe/Berlin"))),
        "log.parquet",
    ),
    log(
        "an index that pandas kept",
        arrow(__index_level_0__=pa.array(range(18))),
        "log.parquet",
        said={UNREAD: "__index_level_0__"},
    ),
    Shape(
        "parts with dates and with numbers",
        {
            "parts/1.parquet": parquet(FRAME[:9]),
            "parts/2.parquet": parquet(FRAME[9:].with_columns(timestamp=date(2014, 5, 1))),
        },
        {"interactions": "parts"},
        refused="column `timestamp` holds dates in some of the files .*parts/1.parquet",
    ),
    # -- keys
    log("keys such as `1e5`", CSV.replace(b",i1,", b",1e5,"), keys=("1e5",)),
    log(
        "keys `12` and `12.0`",
        text([(u, f"{i[1:]}.0" if i > "i3" else i[1:], t) for u, i, t in ROWS]),
        said={TWELVE: 9},
    ),
    log(
        "marks around a key that cannot be seen",
        CSV.replace(b"u1,i3", b"u1,\xe2\x80\x8bi3"),
        said={"keys in `item` with blanks around them, which were cut off": 1},
    ),
    log(
        "`\\N` as a key", CSV.replace(b"u1,i3", b"\\N,i3"), refused=r"row 3: `\\N` in column `user` is a missing value"
    ),
    log(
        "a list, written as a key",
        CSV.replace(b"u1,i3", b"u1,\"['A', 'B']\""),
        refused="row 3: .* is a list, written as text",
    ),
    log(
        "RecBole's sequences as keys",
        rows(lambda u, i: f"{u}\t1 2 3\t{i}", "user:token\titem:token_seq\ttimestamp:float"),
        "log.inter",
        refused="log.inter` holds lists in column `item:token_seq`",
    ),
    log("a column for two", CSV, options={"item": "user"}, refused="`user` is to be two columns of .*log.csv"),
    # -- quotes, lines, names
    log(
        'a quote that is left open: `"u1`',
        CSV.replace(b"u1,i3", b'"u1,i3').replace(b"u2,i3,", b'u2",i3,'),
        refused="row 3: .*is a quote left open",
    ),
    log(
        "a quote left open where nothing is read",
        text([(*r, {2: '"Wow', 4: 'Wow"'}.get(n, "x")) for n, r in enumerate(ROWS)], names=(*NAMES, "review")),
        counts=(3, 6, 16),
        said={"fields of log.csv with whole lines in them, as if a quote were left open": 1, UNREAD: "review"},
    ),
    log(
        "line ends inside of quotes",
        text([(*r, '"a\nb, ""c"""') for r in ROWS], names=(*NAMES, "review")),
        said={UNREAD: "review"},
    ),
    log("a NUL inside", CSV.replace(b"u1,i3", b"u1,i\x003"), refused="log.csv` is no text, or in UTF-16"),
    log(
        "columns without names",
        text([(n, *r, "", "") for n, r in enumerate(ROWS)], names=("", *NAMES, "", "")),
        said={UNREAD: "column 1, column 5, column 6"},
    ),
    log(
        "lines of blanks, and the end of a file of DOS", CSV + b"   \n\x1a", said={"blank lines of log.csv left out": 2}
    ),
    log("a name that looks like a pattern", CSV, "log[1].csv"),
    log("an archive of a Mac", zipped(**{"log.csv": CSV, "__MACOSX/._log.csv": b"x"}), "log.csv.zip"),
    log("zstd", b"\x28\xb5\x2f\xfd", "log.csv.zst", refused="log.csv.zst` is compressed with zstd"),
    log("JSON lines in UTF-16", lines(RECORDS).decode().encode("utf-16"), "log.jsonl"),
    log(
        "JSON lines in latin-1",
        b'{"user": "\xeb"}\n',
        "log.jsonl",
        refused="log.jsonl, line 1: no UTF-8 text .*`encoding`",
    ),
    log(
        "a JSON name twice",
        b'{"user": 1, "user": 2}\n',
        "log.jsonl",
        refused="log.jsonl, line 1: .*two values of `user`",
    ),
    log("no JSON at all", b"\n", "log.jsonl", refused="log.jsonl` holds no rows"),
    log("nothing but names", b"user,item,timestamp\n", refused="log.csv` holds no rows"),
    # -- times
    log(
        "`20140513103000`",
        times(lambda day: 20_140_513_103_000 + day),
        refused="`20140513103000` in column `timestamp` may be a date or a number: set time_format to %Y%m%d%H%M%S",
    ),
    log('`time_format: "%Y%m%d%H"`', times(lambda day: 2_014_051_310 + day), options={"time_format": "%Y%m%d%H"}),
    log(
        "`20140513`, and a zero",
        times(lambda day: 20_140_512 + day if day else 0),
        refused="`20140513` in column `timestamp` may be",
    ),
    log(
        "microseconds",
        times(lambda day: (1_400_000_000 + day) * 10**6),
        said={"times in `timestamp`": "microseconds, read as seconds"},
    ),
    log(
        "nanoseconds",
        times(lambda day: (1_400_000_000 + day) * 10**9),
        said={"times in `timestamp`": "nanoseconds, read as seconds"},
    ),
    log(
        "a time of 0",
        times(lambda day: 1_400_000_000 + day if day else 0),
        said={"times in `timestamp` before 1973, such as 0": 3},
    ),
    log(
        "a time that no unit explains",
        times(lambda day: 10 ** (20 + day)),
        refused="row 6: `1e.25` in column `timestamp` is no time",
    ),
    log("the year 2099", times(lambda day: f"2099-01-0{day + 1}")),
    log(
        "`1,400,000,000`",
        times(lambda day: f'"1,400,000,00{day}"'),
        refused="row 1: `1,400,000,000` in column `timestamp` is neither",
    ),
    # -- ratings, splits
    log(
        "a list as a rating",
        lines([{**r, "rating": [5]} for r in RECORDS]),
        "log.jsonl",
        options={"min_rating": 4},
        refused=r"row 1: `\[5\]` .* is no rating",
    ),
    log(
        "nothing rated as high",
        text([(*r, 1) for r in ROWS], names=(*NAMES, "rating")),
        options={"min_rating": 4},
        refused="log: no interaction is left: min_rating",
    ),
    log(
        "a word that is no split",
        text([(*r, "train" if r[1] != "i5" else "holdout") for r in ROWS], names=(*NAMES, "split")),
        options={"split": "given"},
        refused="log.csv, row 5: `holdout` in column `split` is no split",
    ),
    Shape(
        "one table for all splits",
        {"log.csv": CSV},
        {"interactions": dict.fromkeys(("train", "valid", "test"), "log.csv"), "split": None},
        counts=(3, 6, 54),
        said={
            "interactions that stand in several splits": 18,
            "interactions later than what the same user has in a later split": 30,
        },
    ),
    # -- items
    shelf("genres as numpy writes them", catalogue("genres", "['A' 'B']"), categories={"i1": ["A", "B"]}),
    shelf("genres in round brackets", catalogue("genres", "('A', 'B')"), categories={"i1": ["A", "B"]}),
    shelf("a title such as `[REC]`", catalogue("title", "[REC]"), titles={"i1": "[REC]"}),
    shelf(
        "smileys, Hebrew, an accent by itself", catalogue("title", "🎮 שלום e\u0301"), titles={"i1": "🎮 שלום e\u0301"}
    ),
    shelf("a title of two lines", catalogue("title", '"a\n\tb"'), titles={"i1": "a\n\tb"}),
    shelf("a title of 200,000 letters", catalogue("title", "x" * 200_000), titles={"i1": "x" * 200_000}),
    shelf(
        "`Caf&eacute;`",
        catalogue("title", '"Caf&eacute; &amp; Bar"'),
        said={"`title` with codes such as &amp;, read as characters": 1},
        titles={"i1": "Café & Bar"},
    ),
    shelf(
        "a price of -1 or infinity",
        parquet(pl.DataFrame({"item": ITEMS, "price": [2.5, -1.0, float("inf"), float("nan"), None, 0.0]})),
        "items.parquet",
        said={"`price` that are no price, such as —, read as missing": 2},
        prices={"i1": 2.5, "i2": None, "i3": None, "i6": 0.0},
    ),
    shelf(
        "a title of bytes",
        parquet(pl.DataFrame({"item": ITEMS, "title": [b"\xff"] * 6})),
        "items.parquet",
        refused="the column `title` of the item table holds bytes",
    ),
]
"""All of them."""
