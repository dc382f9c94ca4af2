from __future__ import annotations

import gzip
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from genrec.data.raw import steam
from genrec.errors import GenrecError

REVIEW = (
    "{u'username': u'Chaos Syren', u'hours': 0.1, u'products': 41, u'product_id': u'725280', u'page_order': 0, "
    "u'date': u'2017-12-17', u'text': u'It\\'s \"fine\" \\u2661 {not} \\\\ more', u'early_access': False, u'page': 1}"
)


def write(path: Path, lines: list[str]) -> Path:
    path.write_bytes(gzip.compress("".join(line + "\n" for line in lines).encode()))
    return path


def test_reviews(tmp_path: Path) -> None:
    other = REVIEW.replace("Chaos Syren", "O\\'Neill \\xe9").replace("2017-12-17", "1970-01-02")
    frame, bad = steam.reviews(write(tmp_path / "steam_reviews.json.gz", [REVIEW, other, REVIEW]))
    day = 17_517 * 86_400  # 2017-12-17
    assert frame.rows() == [
        ("Chaos Syren", "725280", day, 0),
        ("O'Neill é", "725280", 86_400, 1),
        ("Chaos Syren", "725280", day, 2),
    ]
    assert frame.schema == {"user": pl.String, "item": pl.String, "time": pl.Float64, "row": pl.UInt32}
    assert (bad.count, bad.total) == (0, 3)


@pytest.mark.parametrize(
    "line",
    [
        "{u'username': u'x', u'product_id': u'1'}",
        "{u'product_id': u'1', u'date': u'2017-12-17'}",
        "{u'username': u'x', u'product_id': None, u'date': u'2017-12-17'}",
        "{u'username': u'x', u'product_id': u'1', u'date': u'Posted yesterday'}",
        "{u'username': u'x', u'product_id': u'1', u'date': u'2017-02-30'}",
        REVIEW[:60],
        "__import__('os').system('touch x')",
    ],
)
def test_bad_reviews(tmp_path: Path, monkeypatch: Any, line: str) -> None:
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "steam_reviews.json.gz"
    frame, bad = steam.reviews(write(path, [REVIEW] * 100 + [line] + [REVIEW] * 100))
    assert (len(frame), bad.count, bad.total, bad.first) == (200, 1, 201, (101,))
    assert not (tmp_path / "x").exists()
    with pytest.raises(GenrecError, match="1 of 2 lines"):
        steam.reviews(write(path, [line, REVIEW]))


def test_a_file_cut_short(tmp_path: Path) -> None:
    path = write(tmp_path / "steam_reviews.json.gz", [REVIEW] * 1000)
    path.write_bytes(path.read_bytes()[:-9])
    with pytest.raises(GenrecError, match=r"steam_reviews\.json\.gz` to its end"):
        steam.reviews(path)


def test_games(tmp_path: Path) -> None:
    lines = [
        "{u'publisher': u'Kotoshiro', u'genres': [u'Action', u'Indie'], u'app_name': u'Lost Kitty', u'sentiment': "
        "u'Mostly Positive', u'title': u'Lost &amp; Found', u'url': u'http://store.steampowered.com/app/761140/Lost/', "
        "u'release_date': u'2018-01-04', u'tags': [u'Indie', u'Strategy'], u'price': 4.99, u'specs': "
        "[u'Single-player', u'Co-op'], u'early_access': False, u'id': u'761140', u'developer': u'Kotoshiro\\u2122'}",
        "{u'app_name': u'Only a Name', u'publisher': u'P', u'price': u'Free To Play', "
        "u'reviews_url': u'http://steamcommunity.com/app/200/reviews/?browsefilter=mostrecent', u'tags': [u'Puzzle']}",
        "{u'url': u'http://store.steampowered.com/app/300', u'id': u'', u'title': u'', u'genres': []}",
        "{u'id': u'761140', u'title': u'again'}",
    ]
    frame, bad = steam.games(write(tmp_path / "steam_games.json.gz", lines))
    assert bad.count == 0
    assert frame.rows() == [
        (
            "761140",
            "Lost & Found",
            "Kotoshiro™",
            "Single-player, Co-op. 4.99. 2018-01-04. Mostly Positive",
            ["Action", "Indie", "Strategy"],
            4.99,
        ),
        ("200", "Only a Name", "P", "Free To Play", ["Puzzle"], None),
        ("300", None, None, None, None, None),
    ]
    assert frame.columns == ["item", "title", "brand", "description", "categories", "price"]
    kept, _ = steam.games(tmp_path / "steam_games.json.gz", pl.Series(["300", "200", "1"]))
    assert kept.equals(frame[1:])
    _, bad = steam.games(write(tmp_path / "games.json.gz", lines * 50 + ["{u'title': u'no key'}"]))
    assert bad.first == (201,)
