from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from genrec.data import Catalog
from genrec.data.raw import amazon
from genrec.errors import GenrecError

REVIEW = {
    "reviewerID": "A1",
    "asin": "0001",
    "reviewerName": "x",
    "helpful": [0, 1],
    "reviewText": 'It\'s "good" \\ é\n',
    "overall": 5.0,
    "summary": "Five Stars",
    "unixReviewTime": 1_400_000_000,
    "reviewTime": "05 13, 2014",
}
REVIEW_2023 = {
    "rating": 5.0,
    "title": "t",
    "text": "u<br />v",
    "images": [],
    "asin": "B0VARIANT",
    "parent_asin": "B0PARENT",
    "user_id": "AE",
    "timestamp": 1_588_687_728_923,
    "helpful_vote": 0,
    "verified_purchase": True,
}


def write(path: Path, lines: list[Any], form: Any = json.dumps) -> Path:
    text = "".join((line if isinstance(line, str) else form(line)) + "\n" for line in lines)
    path.write_bytes(gzip.compress(text.encode()) if path.suffix == ".gz" else text.encode())
    return path


def test_gift_cards(shared: Path) -> None:
    folder = shared / "data" / "others" / "amazon-2018-gift-cards"
    frame, bad = amazon.reviews(folder / "Gift_Cards_5.json.gz", 2018)
    assert (bad.count, bad.total) == (0, 2972)
    assert frame.schema == {"user": pl.String, "item": pl.String, "time": pl.Float64, "row": pl.UInt32}
    assert frame.row(0) == ("A31UBHTUUIFJUT", "B004LLIKVU", 1529193600.0, 0)
    assert frame["row"].to_list() == list(range(2972))
    assert (frame["user"].n_unique(), frame["item"].n_unique()) == (458, 148)
    everything, bad = amazon.metadata(folder / "meta_Gift_Cards.json.gz", 2018)
    assert (bad.count, bad.total, len(everything)) == (0, 1547, 1547)
    items, _ = amazon.metadata(folder / "meta_Gift_Cards.json.gz", 2018, frame["item"])
    assert items.equals(everything.filter(pl.col("item").is_in(frame["item"].implode())))
    assert len(items) == 148
    # The counts of the data's own README; `feature` gives two more items a description.
    nulls = items.null_count().row(0, named=True)
    assert {name: 148 - nulls[name] for name in ("title", "brand", "categories")} == {
        "title": 148,
        "brand": 119,
        "categories": 146,
    }
    assert all(Catalog(items).texts())
    card = items.row(by_predicate=pl.col("item") == "B004Q7CK9M", named=True)
    assert card["title"] == "Amazon.com Gift Card in a Greeting Card (Various Designs)"
    assert (card["brand"], card["price"], card["categories"]) == ("Amazon", 40.0, ["Gift Cards", "Gift Cards"])
    assert not items["description"].str.contains("<br>|&amp;|  ").any()


@pytest.mark.parametrize("name", ["reviews.json", "reviews.json.gz"])
@pytest.mark.parametrize("version", [2014, 2018])
def test_reviews_of_2014_and_2018(tmp_path: Path, name: str, version: amazon.Version) -> None:
    lines = [REVIEW, REVIEW | {"reviewerID": "A2", "vote": "1,234", "style": {"Color:": " Red"}}, REVIEW]
    frame, bad = amazon.reviews(write(tmp_path / name, lines), version)
    assert frame.rows() == [(user, "0001", 1.4e9, row) for row, user in enumerate(["A1", "A2", "A1"])]
    assert bad.count == 0


@pytest.mark.parametrize(
    "line",
    [
        '{"reviewerID": "A1", "asin": "1", "unixReviewTime": 14',
        "{'reviewerID': 'A1', 'asin': '1', 'unixReviewTime': 1}",
        *({name: value for name, value in REVIEW.items() if name != missing} for missing in ("asin", "reviewerID")),
        *(REVIEW | {"unixReviewTime": time} for time in (None, "yesterday", [1])),
        REVIEW | {"asin": " "},
        REVIEW | {"reviewerID": None},
    ],
)
def test_bad_reviews(tmp_path: Path, line: Any) -> None:
    path = tmp_path / "reviews.json"
    frame, bad = amazon.reviews(write(path, [REVIEW] * 120 + [line] + [REVIEW] * 80), 2014)
    assert (bad.count, bad.total, bad.first) == (1, 201, (121,))
    assert frame["row"].to_list() == [*range(120), *range(121, 201)]
    write(path, [REVIEW] * 120 + [line] * 2)
    with pytest.raises(GenrecError, match=r"reviews.json`: 2 of 122 lines cannot be read \(line 121, 122\)"):
        amazon.reviews(path, 2014)


def test_reviews_of_2023(tmp_path: Path) -> None:
    frame, _ = amazon.reviews(write(tmp_path / "x.jsonl.gz", [REVIEW_2023, REVIEW_2023 | {"user_id": "AF"}]), 2023)
    assert frame.rows() == [("AE", "B0PARENT", 1_588_687_728.923, 0), ("AF", "B0PARENT", 1_588_687_728.923, 1)]
    table = ["user_id,parent_asin,rating,timestamp", "AE,0007,5.0,1588687728923", "AF,B0,1.0,1588687728000"]
    for name in ("x.csv", "x.csv.gz"):
        frame, bad = amazon.reviews(write(tmp_path / name, table), 2023)
        assert frame.rows() == [("AE", "0007", 1_588_687_728.923, 1), ("AF", "B0", 1_588_687_728.0, 2)]
        assert bad.total == 2
    with pytest.raises(GenrecError, match="is no csv of 2018: those of 2023 begin with the names"):
        amazon.reviews(tmp_path / "x.csv", 2018)
    for version, row in ((2014, "A1,0001,5.0,1400000000"), (2018, "0001,A1,5.0,1400000000")):
        frame, _ = amazon.reviews(write(tmp_path / "y.csv", [row, row.replace("5.0", "2.0")]), version, least=4)
        assert frame.rows() == [("A1", "0001", 1.4e9, 0)]
    broken = table[:1] + table[1:2] * 150 + ["AE,B0,5.0", "AE,,5.0,1588687728923"] + table[1:2] * 60
    frame, bad = amazon.reviews(write(tmp_path / "x.csv", broken), 2023)
    assert (len(frame), bad.count, bad.total, bad.first) == (210, 2, 212, (152, 153))


def test_a_wrong_version_and_a_file_cut_short(tmp_path: Path) -> None:
    path = write(tmp_path / "x.json.gz", [REVIEW | {"summary": str(n)} for n in range(1000)])
    with pytest.raises(GenrecError, match="1000 of 1000 lines"):
        amazon.reviews(path, 2023)
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(GenrecError, match=r"x\.json\.gz` to its end"):
        amazon.reviews(path, 2014)


def products(path: Path, version: amazon.Version, keep: list[str] | None = None) -> dict[str, dict[str, Any]]:
    frame, bad = amazon.metadata(path, version, keep and pl.Series(keep))
    assert bad.count == 0
    assert frame.schema == {
        "item": pl.String,
        "title": pl.String,
        "brand": pl.String,
        "description": pl.String,
        "categories": pl.List(pl.String),
        "price": pl.Float64,
    }
    return {row.pop("item"): row for row in frame.rows(named=True)}


NOTHING = {"title": None, "brand": None, "description": None, "categories": None, "price": None}


def test_metadata_of_2014(tmp_path: Path) -> None:
    lines = [
        {
            "asin": "0001",
            "title": 'Kid\'s "Train" &amp; <b>Track</b>\n  Set &lt;i&gt;new',
            "brand": "O'Neill &amp; S\xf6hne",
            "description": "Ages < 5 & more.<br />Fun!<!-- a > b -->",
            "price": 12.99,
            "categories": [["Toys & Games", "Trains", "Track"], ["Sports"]],
            "related": {"also_bought": ["0002"]},
            "salesRank": {"Toys & Games": 5},
            "imUrl": "http://x/'y'.jpg",
        },
        {"asin": "0002"},
        "{u'asin': u'0003', u'title': u'Caf\\xe9 \\xbbs', u'brand': u'UNKNOWN', u'categories': [[u'Toys']]}",
        '{"asin": "0004", "title": "It\'s JSON", "brand": "", "categories": [[]], "description": null}',
        {"asin": "0001", "title": "A second one"},
        {"asin": "0005", "title": "nan", "brand": "Unknown", "description": "None", "price": "12"},
    ]
    assert products(write(tmp_path / "meta.json.gz", lines, repr), 2014) == {
        "0001": {
            "title": 'Kid\'s "Train" & Track Set new',
            "brand": "O'Neill & Söhne",
            "description": "Ages < 5 & more. Fun!",
            "categories": ["Toys & Games", "Trains", "Track"],
            "price": 12.99,
        },
        "0002": NOTHING,
        "0003": NOTHING | {"title": "Café »s", "categories": ["Toys"]},
        "0004": NOTHING | {"title": "It's JSON"},
        "0005": NOTHING | {"price": 12.0},
    }
    assert list(products(tmp_path / "meta.json.gz", 2014, ["0003", "0002", "missing"])) == ["0002", "0003"]
    assert products(tmp_path / "meta.json.gz", 2014, ["missing"]) == {}


def test_bad_metadata(tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.chdir(tmp_path)
    good = {"asin": "1", "title": "x"}
    lines = [*[good] * 200, "__import__('os').system('touch x')", {"title": "no key"}, *[good] * 100, "{'asin': '1"]
    frame, bad = amazon.metadata(write(tmp_path / "meta.json", lines, repr), 2014)
    assert (len(frame), bad.count, bad.total, bad.first) == (1, 3, 303, (201, 202, 303))
    assert not (tmp_path / "x").exists()


def test_metadata_of_2018(tmp_path: Path) -> None:
    lines = [
        {
            "asin": "B1",
            "title": "A &quot;card&quot;",
            "brand": "Acme",
            "category": ["Gift Cards", "Cards &amp; More", "</span></span>"],
            "description": ["First&nbsp;part.", "", "Second <p>part.</p>"],
            "feature": ["Feature 1", "Feature 2"],
            "price": "$1,012.99",
            "details": {"ASIN:": "B1"},
            "rank": "5 in Toys",
        },
        {"asin": "B2", "title": "var aPageStart = (new Date()).getTime();", "price": "$5.00 - $9.00", "category": []},
        {"asin": "B3", "title": " ", "price": ".a-box{margin:10px}", "description": "no list", "feature": []},
        {"asin": "B4", "brand": "None", "price": "", "description": "[odd", "feature": ["x"]},
        {"asin": "B1", "title": "again"},
    ]
    assert products(write(tmp_path / "meta.json", lines), 2018) == {
        "B1": {
            "title": 'A "card"',
            "brand": "Acme",
            "description": "First part. Second part. Feature 1 Feature 2",
            "categories": ["Gift Cards", "Cards & More"],
            "price": 1012.99,
        },
        "B2": NOTHING,
        "B3": NOTHING | {"description": "no list"},
        "B4": NOTHING | {"description": "[odd x"},
    }


def test_metadata_of_2023(tmp_path: Path) -> None:
    lines = [
        {
            "main_category": "Toys",
            "title": "Train",
            "parent_asin": "B1",
            "asin": "B9",
            "store": "Acme",
            "description": ["D."],
            "features": ["F."],
            "price": 7,
            "categories": ["Toys & Games", "Trains"],
            "details": '{"Brand": "Other"}',
        },
        {"parent_asin": "B2", "store": None, "price": "from 4.99", "categories": None, "details": {"a": 1}},
        {"parent_asin": "B3", "store": "Unknown", "price": "—", "features": []},
    ]
    assert products(write(tmp_path / "meta.jsonl.gz", lines), 2023) == {
        "B1": {
            "title": "Train",
            "brand": "Acme",
            "description": "D. F.",
            "categories": ["Toys & Games", "Trains"],
            "price": 7.0,
        },
        "B2": NOTHING,
        "B3": NOTHING,
    }
