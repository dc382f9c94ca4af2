from __future__ import annotations

import gzip
from pathlib import Path

import polars as pl
import pytest

from genrec.data import Catalog
from genrec.data.raw import movielens
from genrec.errors import GenrecError


def write(path: Path, text: str, encoding: str = "utf-8") -> Path:
    content = text.encode(encoding)
    path.write_bytes(gzip.compress(content) if path.suffix == ".gz" else content)
    return path


def test_latest_small(shared: Path) -> None:
    folder = shared / "data" / "others" / "movielens-latest-small-2016"
    frame, bad = movielens.ratings(folder / "ratings.csv")
    assert (bad.count, bad.total, len(frame)) == (0, 100_004, 100_004)
    assert frame.schema == {"user": pl.String, "item": pl.String, "time": pl.Float64, "row": pl.UInt32}
    assert frame.row(0) == ("1", "31", 1260759144.0, 1)
    assert (frame["user"].n_unique(), frame["item"].n_unique()) == (671, 9066)
    items, bad = movielens.movies(folder / "movies.csv")
    assert (bad.count, len(items)) == (0, 9125)
    assert items["title"].null_count() == 0
    assert len(frame.join(items, "item", how="anti")) == 0
    movies = {row.pop("item"): row for row in items.rows(named=True)}
    assert movies["11"] == {"title": "American President, The (1995)", "categories": ["Comedy", "Drama", "Romance"]}
    assert movies["40"]["title"] == "Cry, the Beloved Country (1995)"
    listed = (folder / "movies.csv").read_text()
    assert items["categories"].null_count() == listed.count("(no genres listed)") > 0
    assert len(Catalog(items)) == 9125


RATINGS = {
    "u.data": "196\t242\t3\t881250949\n186\t302\t3\t891717742\n",
    "ratings.dat": "196::242::3::881250949\n186::302::3.5::891717742\n",
    "ratings.csv": "userId,movieId,rating,timestamp\r\n196,242,3.0,881250949\r\n186,302,3.5,891717742\r\n",
}


@pytest.mark.parametrize("ending", ["", ".gz"])
@pytest.mark.parametrize("name", RATINGS)
def test_ratings(tmp_path: Path, name: str, ending: str) -> None:
    frame, bad = movielens.ratings(write(tmp_path / f"{name}{ending}", RATINGS[name]))
    first = 1 if name.endswith("csv") else 0
    assert frame.rows() == [("196", "242", 881250949, first), ("186", "302", 891717742, first + 1)]
    assert (bad.count, bad.total) == (0, 2)


@pytest.mark.parametrize("name", RATINGS)
def test_bad_ratings(tmp_path: Path, name: str) -> None:
    *header, good, last = RATINGS[name].splitlines()
    cut = last[:-10]
    path = write(tmp_path / name, "\n".join([*header, *[good] * 150, cut, good.replace("8812", "x"), *[good] * 70]))
    frame, bad = movielens.ratings(path)
    first = 151 + len(header)
    assert (len(frame), bad.count, bad.total, bad.first) == (220, 2, 222, (first, first + 1))
    with pytest.raises(GenrecError, match="1 of 2 lines"):
        movielens.ratings(write(path, "\n".join([*header, good, cut])))


def test_movies_of_100k(tmp_path: Path) -> None:
    flags = ["|".join("1" if genre in chosen else "0" for genre in range(19)) for chosen in ({3, 4, 5}, {0}, {1, 18})]
    lines = [
        f"1|Toy Story (1995)|01-Jan-1995||http://us.imdb.com/M/title-exact?Toy%20Story%20(1995)|{flags[0]}",
        f"267|unknown||||{flags[1]}",
        f"1294|Cité & Ætt (1995)|08-Feb-1996||http://x|{flags[2]}",
        f"3|Nothing||||{'|'.join('0' * 19)}",
        f"1|again||||{flags[2]}",
    ]
    items, bad = movielens.movies(write(tmp_path / "u.item", "\n".join(lines) + "\n", "latin-1"))
    assert bad.count == 0
    assert items.rows() == [
        ("1", "Toy Story (1995)", ["Animation", "Children's", "Comedy"]),
        ("267", "unknown", ["unknown"]),
        ("1294", "Cité & Ætt (1995)", ["Action", "Western"]),
        ("3", "Nothing", None),
    ]


def test_movies_of_1m_and_later(tmp_path: Path) -> None:
    dat = "1::Toy Story (1995)::Animation|Children's|Comedy\n73::Misérables, Les (1995)::Drama|Musical\n"
    items, _ = movielens.movies(write(tmp_path / "movies.dat", dat, "latin-1"))
    assert items.rows() == [
        ("1", "Toy Story (1995)", ["Animation", "Children's", "Comedy"]),
        ("73", "Misérables, Les (1995)", ["Drama", "Musical"]),
    ]
    csv = (
        'movieId,title,genres\n1,"Misérables, Les ""2"" (1995)",Drama|Musical\n'
        "2,Plain,(no genres listed)\n3,,Drama\n1,again,Drama\n"
    )
    items, _ = movielens.movies(write(tmp_path / "movies.csv.gz", csv))
    assert items.rows() == [
        ("1", 'Misérables, Les "2" (1995)', ["Drama", "Musical"]),
        ("2", "Plain", None),
        ("3", None, ["Drama"]),
    ]


def test_a_table_of_something_else(tmp_path: Path) -> None:
    path = write(tmp_path / "ratings.csv", "userId,movieId,rating\n1,2,3\n")
    with pytest.raises(GenrecError, match="no column `timestamp`; its columns are: userId, movieId, rating"):
        movielens.ratings(path)
    write(path, "")
    with pytest.raises(GenrecError, match="holds no lines"):
        movielens.ratings(path)
