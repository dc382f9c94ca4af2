from __future__ import annotations

import gzip
import json
from pathlib import Path

import polars as pl
import pytest

from genrec.data import Dataset, DateSplit, LeaveOneOut, QuantileSplit, Ragged, Table
from genrec.data.files import compressed, reading
from genrec.errors import GenrecError

# Two users go through six items in turn; item 007 keeps its zeros.
ROWS = [(user, f"00{item}", 10 * item + ord(user)) for user in "ab" for item in range(1, 7)]
FRAME = pl.DataFrame(ROWS, ["who", "what", "when"], orient="row")


def table(file: str | dict[str, str], **options) -> Table:
    columns = {"user": "who", "item": "what", "timestamp": "when"}
    return Table(file, **{**columns, "k_core": 2, "split": LeaveOneOut(), **options})


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
    assert "log.jsonl, row 2: `who` is [1], not text or a number" in error_of(table("log.jsonl"), root)


def test_missing_files_and_columns(root: Path) -> None:
    (root / "log.xlsx").write_text("")
    assert "none of the tables" in error_of(table("log.xlsx"), root)
    assert "no column `user`; its columns are: who, what, when" in error_of(Table("log.csv"), root)
    (root / "empty.csv").write_text("")
    assert "is empty" in error_of(table("empty.csv"), root)
    (root / "bad.parquet").write_text("PAR1 nothing")
    assert "cannot read" in error_of(table("bad.parquet"), root)


def test_files_of_the_working_folder(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The folder of the data comes first, and where a file lies does not change what is made of it."""
    below, here = root / "there" / "data", root / "here"
    below.mkdir(parents=True)
    here.mkdir()
    monkeypatch.chdir(here)
    assert error_of(table(" "), below).startswith("the name of a file is empty")
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
    assert "row 2: no value in column `what`" in error_of(table("log.csv"), root)
    (root / "log.csv").write_text("who,what,when\na,x,yesterday\n")
    assert "row 1: `yesterday` in column `when` is neither a number nor an ISO date" in error_of(table("log.csv"), root)


def test_items_that_the_item_table_lacks(root: Path) -> None:
    (root / "items.csv").write_text("what,title\n" + "".join(f"00{n},T{n}\n" for n in range(1, 5)))
    kept = table("log.csv", items="items.csv").load(root)
    assert kept.notes["findings"]["items that the item table lacks, kept without text"] == 2
    assert kept.notes["findings"]["interactions with them, kept"] == 4
    assert kept.catalog.titles[kept.catalog.keys.index("005")] == ""
    dropped = table("log.csv", items="items.csv", unlisted="drop").load(root)
    assert sorted(dropped.catalog.keys) == ["001", "002", "003", "004"]
    (root / "items.csv").write_text("what,title\n1.0,x\n2.5,y\n")
    message = "keys are there as `1.0`, here as `001`; they must be written alike"
    assert message in error_of(table("log.csv", items="items.csv"), root)


def test_words_that_a_key_does_not_know(root: Path) -> None:
    (root / "items.csv").write_text("what\n001\n")
    assert error_of(table("log.csv", repeats="last"), root) == "repeats is first or all, not `last`"
    message = error_of(table("log.csv", items="items.csv", unlisted="ignore"), root)
    assert message == "unlisted is keep or drop, not `ignore`"
    three = {"train": "log.csv", "training": "log.csv", "valid": "log.csv", "test": "log.csv"}
    assert "not for train, training, valid, test" in error_of(Table(three), root)


def test_folders_whose_names_look_like_patterns(root: Path) -> None:
    folder = root / "logs [2020]"
    folder.mkdir()
    for name in ("a.csv", "b.csv"):
        FRAME.filter(pl.col("who") == name[0]).write_csv(folder / name)
    for name in (folder.name, "*.csv"):
        place = root if name == folder.name else folder
        assert table(name).load(place).users == ["a", "b"]


def test_a_core_of_nothing(root: Path) -> None:
    assert "lower k_core" in error_of(table("log.csv", k_core=7), root)


def test_movielens(shared: Path, tmp_path: Path) -> None:
    folder = shared / "data" / "others" / "movielens-latest-small-2016"
    files = str(folder / "ratings.csv"), str(folder / "movies.csv")
    dataset = Table(*files, user="userId", item="movieId").load(tmp_path)
    assert dataset.name == "ratings"
    # Most users rate everything in one sitting: those who came after the first cut are dropped.
    assert 0.7 * 100_004 < len(dataset.train.values) < 0.8 * 100_004
    assert all(dataset.catalog.titles)


def test_a_file_in_any_order_is_the_same_data_set(root: Path) -> None:
    """All at one moment: sorted by item or shuffled, nothing of the file's order is left."""
    rows = FRAME.with_columns(when=pl.lit(7))
    made = []
    for order in (rows, rows.sample(fraction=1, shuffle=True, seed=1), rows.reverse()):
        order.write_csv(root / "log.csv")
        made.append(table("log.csv").load(root))
    assert made[0].notes["interactions_tied"] == len(FRAME)
    for other in made[1:]:
        assert (other.users, other.catalog.keys) == (made[0].users, made[0].catalog.keys)
        for part in ("train", "validation", "test"):
            assert keys(other, getattr(other, part)) == keys(made[0], getattr(made[0], part))


def test_a_home_folder_and_other_machines(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import fsspec

    monkeypatch.setenv("HOME", str(root))
    made = table("~/log.csv").load(root / "none")
    expected = [["001", "002", "003", "004"]] * 2
    assert keys(made, made.train) == expected
    memory = fsspec.filesystem("memory")
    for name in ("log.csv", "log.parquet"):
        memory.pipe(f"/bucket/{name}", (root / name).read_bytes())
        made = table(f"memory://bucket/{name}").load(root)
        assert (made.name, keys(made, made.train)) == ("log", expected)
    assert len(table("memory://bucket/*.csv").load(root).users) == 2
    memory.pipe("/bucket/log[1].csv", (root / "log.csv").read_bytes())
    assert len(table("memory://bucket/log[1].csv").load(root).users) == 2
    assert "there is no file `memory://bucket/none.csv`" in error_of(table("memory://bucket/none.csv"), root)
    assert "cannot look up `s4://x/y.csv`" in error_of(table("s4://x/y.csv"), root)


def test_bombs_are_refused_before_they_go_off(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compressed, "HARMLESS", 10_000)
    (root / "bomb.csv.gz").write_bytes(gzip.compress(b"who,what,when\n" + b"a,b,1\n" * 100_000))
    assert "that is no file of records" in error_of(table("bomb.csv.gz"), root)
    monkeypatch.setattr(reading, "MANY", 1000)
    pl.DataFrame({"who": [1], "what": [1], "when": [1]}).select(pl.all().repeat_by(1_000_000).explode()).write_parquet(
        root / "bomb.parquet"
    )
    assert "bytes for 1,000,000 rows" in error_of(table("bomb.parquet"), root)


def test_a_table_without_times_cannot_be_cut_by_time(root: Path) -> None:
    assert "set split to LeaveOneOut" in error_of(table("log.csv", timestamp=None, split=QuantileSplit()), root)
    three = dict.fromkeys(("test", "valid", "train"), "log.csv")
    assert "not cut again" in error_of(table(three), root)
    assert table(three, split=None).load(root).name == "log"
    (root / "train.csv").write_bytes((root / "log.csv").read_bytes())
    assert table({**three, "train": "train.csv"}, split=None).load(root).name == root.name
    files = {"train": "log.csv", "test": "log.csv"}
    assert "a file for each of training, validation, test" in error_of(Table(files), root)
