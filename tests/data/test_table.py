from __future__ import annotations

import json
from pathlib import Path

import polars as pl
import pytest

from genrec.data import Dataset, DateSplit, LeaveOneOut, Ragged, Table
from genrec.errors import GenrecError

# Two users go through six items in turn; item 007 keeps its zeros.
ROWS = [(user, f"00{item}", 10 * item + ord(user)) for user in "ab" for item in range(1, 7)]
FRAME = pl.DataFrame(ROWS, ["who", "what", "when"], orient="row")


def table(file: str, **options) -> Table:
    return Table(file, user="who", item="what", timestamp="when", **{"k_core": 2, "split": LeaveOneOut(), **options})


def keys(dataset: Dataset, lists: Ragged) -> list[list[str]]:
    return [[dataset.catalog.keys[item] for item in items] for items in lists]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    FRAME.write_csv(tmp_path / "log.csv")
    FRAME.write_ndjson(tmp_path / "log.jsonl")
    FRAME.write_parquet(tmp_path / "log.parquet")
    return tmp_path


@pytest.mark.parametrize("ending", ["csv", "jsonl", "parquet"])
def test_all_kinds_of_file_are_the_same(root: Path, ending: str) -> None:
    dataset = table(f"log.{ending}").load(root)
    assert dataset.name == "log"
    assert dataset.users == ["a", "b"]
    assert sorted(dataset.catalog.keys) == [f"00{item}" for item in range(1, 7)]
    assert keys(dataset, dataset.train) == [["001", "002", "003", "004"]] * 2
    assert keys(dataset, dataset.test) == [["006"]] * 2


def test_k_core_and_repetitions(root: Path) -> None:
    more = pl.DataFrame([("a", "009", 0), ("c", "001", 0), ("a", "001", 10_000)], FRAME.columns, orient="row")
    pl.concat([FRAME, more]).write_csv(root / "log.csv")
    dataset = table("log.csv").load(root)
    assert dataset.users == ["a", "b"]
    assert "009" not in dataset.catalog.keys
    assert keys(dataset, dataset.test) == [["006"]] * 2  # the repetition at 10,000 does not count


def test_items_with_text(root: Path) -> None:
    (root / "items.csv").write_text(
        "what,title,categories\n" + "".join(f"00{n},T{n},X|Y{n}\n" for n in range(9, 0, -1))
    )
    dataset = table("log.csv", items="items.csv").load(root)
    texts = dict(zip(dataset.catalog.keys, dataset.catalog.texts(), strict=True))
    assert texts == {f"00{n}": f"T{n}. X, Y{n}" for n in range(1, 7)}


@pytest.mark.parametrize(
    "times",
    [["1970-01-01", "1970-01-02", "1970-01-03"], ["1970-01-01T00:00:00", "1970-01-02 00:00:00", "1970-01-03T00:00:00"]],
)
def test_iso_dates(root: Path, times: list[str]) -> None:
    rows = [(user, f"i{n}", time) for user in "ab" for n, time in enumerate([times[0], *times])]
    pl.DataFrame(rows, FRAME.columns, orient="row").write_csv(root / "dates.csv")
    dataset = table("dates.csv", split=DateSplit(t1=86400, t2=2 * 86400)).load(root)
    assert [len(lists.values) for lists in (dataset.train, dataset.validation, dataset.test)] == [4, 2, 2]
    typed = pl.read_csv(root / "dates.csv", try_parse_dates=True)
    assert typed["when"].dtype.is_temporal()
    typed.write_parquet(root / "dates.parquet")
    same = table("dates.parquet", split=DateSplit(t1="1970-01-02", t2="1970-01-03")).load(root)
    assert same.test.values.tolist() == dataset.test.values.tolist()


def error_of(source: Table, root: Path) -> str:
    with pytest.raises(GenrecError) as error:
        source.load(root)
    assert "\n" not in str(error.value)
    return str(error.value)


def test_a_broken_json_line(root: Path) -> None:
    with (root / "log.jsonl").open("a") as file:
        file.write('{"who": "a", "what":\n')
    assert "log.jsonl, line 13: not valid JSON" in error_of(table("log.jsonl"), root)
    (root / "log.jsonl").write_text("[1]\n")
    assert "log.jsonl, line 1: not a JSON object" in error_of(table("log.jsonl"), root)


def test_a_json_field_of_two_kinds(root: Path) -> None:
    (root / "log.jsonl").write_text(
        "".join(json.dumps({"who": who, "what": 1, "when": 1}) + "\n" for who in ("a", [1]))
    )
    assert "a field has values of different kinds" in error_of(table("log.jsonl"), root)


def test_missing_files_and_columns(root: Path) -> None:
    (root / "log.txt").write_text("")
    assert "none of the tables" in error_of(table("log.txt"), root)
    assert "no column `user`; its columns are: who, what, when" in error_of(Table("log.csv"), root)
    (root / "empty.csv").write_text("")
    assert "cannot read" in error_of(table("empty.csv"), root)
    (root / "bad.parquet").write_text("PAR1 nothing")
    assert "cannot read" in error_of(table("bad.parquet"), root)


def test_files_of_the_working_folder(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The folder of the data comes first, and where a file lies does not change what is made of it."""
    below, here = root / "there" / "data", root / "here"
    below.mkdir(parents=True)
    here.mkdir()
    monkeypatch.chdir(here)
    message = error_of(table("log.csv"), below)
    assert message.startswith(f"there is no file `log.csv` in `{below}`, beside it, or in the working folder `{here}`")
    assert "--data.root" in message
    assert error_of(table(str(root / "other.csv")), below) == f"there is no file `{root / 'other.csv'}`"
    (root / "log.csv").rename(here / "log.csv")
    (here / "items.csv").write_text("what,title\n" + "".join(f"00{n},T{n}\n" for n in range(1, 7)))
    found = table("log.csv", items="items.csv").load(below)
    assert sorted(found.catalog.titles) == [f"T{n}" for n in range(1, 7)]
    # A run that was made in `there` is loaded from `here`.
    (here / "log.csv").rename(below.parent / "log.csv")
    (here / "items.csv").rename(below / "items.csv")
    again = table("log.csv", items="items.csv").load(below)
    assert (again.name, again.users, keys(again, again.train)) == (found.name, found.users, keys(found, found.train))
    assert again.catalog.items.equals(found.catalog.items)
    FRAME.filter(pl.col("what") != "006").write_csv(below / "log.csv")
    assert "006" not in table("log.csv", items="items.csv").load(below).catalog.keys


def test_bad_values(root: Path) -> None:
    (root / "log.csv").write_text("who,what,when\na,x,1\nb,,2\n")
    assert "row 1: no value in column `what`" in error_of(table("log.csv"), root)
    (root / "log.csv").write_text("who,what,when\na,x,yesterday\n")
    assert "not all numbers or ISO dates" in error_of(table("log.csv"), root)


def test_items_that_the_item_table_lacks(root: Path) -> None:
    (root / "items.csv").write_text("what,title\n" + "".join(f"00{n},T{n}\n" for n in range(1, 5)))
    message = error_of(table("log.csv", items="items.csv"), root)
    assert "(2 such items in 4 interactions)" in message
    assert "item `005`" in message
    (root / "items.csv").write_text("what,title\n001,x\n001,y\n")
    assert "`001` is there twice" in error_of(table("log.csv", items="items.csv"), root)


def test_a_core_of_nothing(root: Path) -> None:
    assert "lower k_core" in error_of(table("log.csv", k_core=7), root)


def test_movielens(shared: Path) -> None:
    folder = shared / "data" / "others" / "movielens-latest-small-2016"
    dataset = Table("ratings.csv", "movies.csv", user="userId", item="movieId").load(folder)
    assert dataset.name == "ratings"
    # Most users rate everything in one sitting: those who came after the first cut are dropped.
    assert 0.7 * 100_004 < len(dataset.train.values) < 0.8 * 100_004
    assert all(dataset.catalog.titles)
